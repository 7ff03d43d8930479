"""The explanation of a clip that Python code gets: one for each of its time cells, with the frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from livecam.errors import InputError
from livecam.explanation import Prediction
from livecam.picture.frame import Frame
from livecam.python.explanation import Explanation, png_for_notebook
from livecam.python.pictures import Picture, frame_of


@dataclass(frozen=True, slots=True, repr=False)
class ClipExplanation:
    """The explanation of a clip: the model's prediction, and where and when it sees evidence for a class.

    `Explainer` makes it. In a notebook the middle frame of each time cell is displayed with its heatmap, in a row.

    Attributes:
        frames: The frames of the clip.
        cells: The explanation of each time cell, the earliest first, with the frame in its middle. All have one scale:
            the same value of a map has the same heat in each. `cell_frames` says which frames of the clip it covers.
        label, index, score: The name, number and probability of the class that is explained.
        predictions: The model's best classes, the best first.
        cam: The signed maps of this class on the layer's own grid, (t, h, w) float32, not scaled.
        heatmap: What is drawn of them: (t, h, w) float32 from 0 to 1.
        strongest: The cell with the strongest evidence; its `peak` says where.
    """

    frames: tuple[Frame, ...]
    cells: tuple[Explanation, ...]

    @property
    def label(self) -> str:
        """The name of the class."""
        return self.cells[0].label

    @property
    def index(self) -> int | None:
        """The number of the class."""
        return self.cells[0].index

    @property
    def score(self) -> float:
        """The probability of the class, 0..1, or a number in the unit of the cells."""
        return self.cells[0].score

    @property
    def predictions(self) -> tuple[Prediction, ...]:
        """The model's best classes for the clip, the best first."""
        return self.cells[0].predictions

    @property
    def cam(self) -> np.ndarray:
        """The signed maps, (t, h, w) float32, not scaled."""
        return np.stack([cell.cam for cell in self.cells])

    @property
    def heatmap(self) -> np.ndarray:
        """The heat of the maps, (t, h, w) float32 in [0, 1]."""
        return np.stack([cell.heatmap for cell in self.cells])

    @property
    def strongest(self) -> Explanation:
        """The cell with the strongest evidence, the first of these if there are several."""
        return max(self.cells, key=lambda cell: float(cell.cam.max()))

    def draw(self, **style: Any) -> list[np.ndarray]:
        """Draw each frame with the heatmap of the time cell that covers it.

        Args:
            **style: As in `Explanation.draw`.

        Returns:
            New pictures, (H, W, 3) uint8 RGB, one for each frame.
        """
        covered = [cell.cell_frames or (0, 0) for cell in self.cells]
        return [
            replace(cell, frame=frame).draw(**style)
            for cell, (first, last) in zip(self.cells, covered, strict=True)
            for frame in self.frames
            if first <= frame.index <= last
        ]

    def _repr_png_(self) -> bytes:
        """Return the row of pictures that notebooks display."""
        return png_for_notebook(np.hstack([cell.draw() for cell in self.cells]))

    def __repr__(self) -> str:
        of_cell = repr(self.cells[0]).removeprefix("Explanation(").removesuffix(")")
        return f"ClipExplanation({of_cell}, {len(self.frames)} frames, {len(self.cells)} time cells)"


def frames_of(clip: Sequence[Picture]) -> tuple[Frame, ...]:
    """Return the pictures of a clip as frames, which count from 0 unless they are frames with indices of their own.

    Raises InputError if one cannot be read, or if they differ in size.
    """
    frames = tuple(map(frame_of, clip))
    if any(later.index <= earlier.index for earlier, later in pairwise(frames)):
        frames = tuple(replace(frame, index=place) for place, frame in enumerate(frames))
    if len(sizes := list(dict.fromkeys(frame.upright_size for frame in frames))) > 1:
        (width, height), (other_width, other_height), *_ = sizes
        raise InputError(f"the frames of a clip have one size, not {width}x{height} and {other_width}x{other_height}")
    return frames

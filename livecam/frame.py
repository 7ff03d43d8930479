"""What travels through the stages: a Frame, and the Explanation that belongs to it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from livecam.errors import InputError
from livecam.media import Orientation, Region


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One picture of a source.

    `picture` stays as the decoder gave it (planes, pts, time base, colour tags); nothing may write into it, the decoder
    still refers to it. `index` counts from 0. `captured_seconds` is when it arrived, on the clock of
    `time.perf_counter`. `path` is the file that a still picture came from, `color_profile` the ICC profile of its RGB,
    None where it has none.
    """

    picture: av.VideoFrame
    index: int = 0
    captured_seconds: float = field(default_factory=time.perf_counter)
    orientation: Orientation = Orientation()
    sample_aspect_ratio: Fraction = Fraction(1)
    path: Path | None = None
    color_profile: bytes | None = None

    @classmethod
    def from_rgb(cls, image: np.ndarray) -> Frame:
        """(H, W, 3) uint8 RGB -> a frame that looks at it where it lies. Raises InputError for anything else."""
        is_rgb = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
        if not is_rgb or not image.size:
            what = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            raise InputError(f"a picture is a (H, W, 3) uint8 RGB array, not {what}")
        return cls(picture=av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(image), "rgb24"))

    @property
    def pts_seconds(self) -> float | None:
        """Presentation time in the source, None for a picture without one."""
        return self.picture.time

    @property
    def upright_size(self) -> tuple[int, int]:
        """(width, height) in pixels as shown: turned upright, pixels not yet made square."""
        return self.orientation.swap(self.picture.width, self.picture.height)


@dataclass(frozen=True, slots=True)
class Prediction:
    """One class of a prediction; the score is a probability in 0..1."""

    index: int
    label: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassMap:
    """The evidence for one class.

    `cam` is the signed float32 map (h, w) on the target layer's own grid, of the upright picture, not scaled. `heatmap`
    is what is shown of it: (h, w) float32 in [0, 1], 0 up to the map's value `cutoff`, 1 at full heat; all 0 where
    there is no evidence. `title` is the label, or in words what else the map shows. `cutoff` is 0 unless
    a threshold was asked for.
    """

    index: int
    label: str
    title: str
    score: float
    cam: np.ndarray
    heatmap: np.ndarray
    cutoff: float = 0.0

    @property
    def has_evidence(self) -> bool:
        """Whether there is anything to be shown."""
        return bool(self.heatmap.any())


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why the model said what it said of one frame: a map for each class that was asked for, in that order.

    `index`, `label`, `score`, `cam` and `heatmap` are those of the first. `region` is the part of the upright picture
    that the maps cover. `predictions` are the model's best classes, best first, whichever are explained.
    `runner_up` is the map of the next best class, which is not shown, if it was asked for.
    `explained_seconds` is when the maps were ready, on the clock of `time.perf_counter`.

    `age_frames` is 0 where the model saw this very frame. Else all is of the frame so many earlier, `age_seconds` by
    their times (None where they have none), and the maps are carried along by optical flow (`livecam.explain.carrier`).
    """

    classes: tuple[ClassMap, ...]
    predictions: tuple[Prediction, ...]
    runner_up: ClassMap | None = None
    region: Region = Region()
    frame_index: int = 0
    age_frames: int = 0
    age_seconds: float | None = 0.0
    explained_seconds: float = field(default_factory=time.perf_counter)

    @property
    def index(self) -> int:
        """The number of the class."""
        return self.classes[0].index

    @property
    def label(self) -> str:
        """The name of the class."""
        return self.classes[0].label

    @property
    def score(self) -> float:
        """The probability of the class, 0..1."""
        return self.classes[0].score

    @property
    def cam(self) -> np.ndarray:
        """The signed map, (h, w) float32, not scaled."""
        return self.classes[0].cam

    @property
    def heatmap(self) -> np.ndarray:
        """What is shown of the map, (h, w) float32 in [0, 1]."""
        return self.classes[0].heatmap

    @property
    def peak(self) -> tuple[float, float] | None:
        """(x, y) of the strongest evidence in fractions of the upright picture; None where there is no evidence."""
        return self.peak_of(self.classes[0])

    def peak_of(self, one: ClassMap) -> tuple[float, float] | None:
        """The same of any of `classes`."""
        if not one.has_evidence:
            return None
        rows, columns = one.heatmap.shape
        row, column = np.unravel_index(int(one.heatmap.argmax()), one.heatmap.shape)
        left, top, right, bottom = self.region
        x = left + (right - left) * (float(column) + 0.5) / columns
        y = top + (bottom - top) * (float(row) + 0.5) / rows
        return min(max(x, 0.0), 1.0), min(max(y, 0.0), 1.0)

    def overlay(self, image: np.ndarray, *, caption: bool = False, **style: Any) -> np.ndarray:
        """(H, W, 3) uint8 RGB -> a new (H', W', 3) uint8 RGB with the heatmap blended in, or as `style` says.

        `style` is as in `livecam.render.Style`: view, opacity, colormap, contour, colorbar. A view with several tiles
        gives a larger picture. Raises LivecamError.
        """
        from livecam.render import Renderer, Style  # a convenience for callers; nothing here depends on drawing

        draw = Renderer("gbrp", Style(caption=caption, **style))
        return draw(Frame.from_rgb(image), self).to_ndarray(format="rgb24")

"""The explanation that Python code gets: it keeps its picture, so that it can be drawn, saved and shown."""

from __future__ import annotations

import io
import os
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageShow

from livecam import explanation
from livecam.errors import OutputError
from livecam.names import PICTURE_ENDINGS
from livecam.picture.frame import Frame
from livecam.render import Renderer, Style
from livecam.sinks.base import check_place
from livecam.sinks.pictures import encoded
from livecam.system.files import check_distinct, write_whole
from livecam.system.window_check import check_screen

_NOTEBOOK_SIDE = 1280
"""The longest side in pixels of a picture in a notebook, which every picture makes larger."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Explanation(explanation.Explanation):
    """The explanation of one picture: the model's prediction, and a map of the evidence for each class.

    `Explainer` makes it. It keeps a reference to the picture, to draw on it: an array must not be changed in place as
    long as its explanation is drawn, and many explanations hold many pictures in memory (6 MB for one of 1920x1080 in
    RGB, 3 MB for a frame of a video). To keep only the maps, keep `heatmap` or `cam`.

    In a notebook it is displayed as its picture. `draw`, `save` and `show` take the fields of `livecam.Style` as
    keywords: `view`, `colormap`, `caption`, and so on.

    Attributes:
        label, index, score: The name, number and probability of the class that is explained, the first of `classes`.
        cam: The signed map of this class on the layer's own grid, (h, w) float32, not scaled.
        heatmap: What is drawn of it: (h, w) float32 from 0 to 1, which is full heat.
        peak: The (x, y) of the strongest evidence in fractions of the picture; None if there is no evidence.
        classes: All classes that are explained; each has label, index, score, cam and heatmap.
        predictions: The model's best classes, the best first; each has label, index and score.
        boxes: All boxes of a model that detects objects (`detects`), the most probable first; each of the `classes` has
            those that it explains.
        unit: None if scores are probabilities; else they are numbers in this unit, such as "years", or "".
        are_shares: True if scores are shares of the picture, as of a model that segments. Each of the `classes` has its
            pixels then, `mask`, (h, w) bool over the region.
        point: The (x, y) that was asked for, in fractions of the picture; the scores are those there.
        region: The part of the picture that the maps cover, as fractions: left, top, right, bottom.
        frame: The picture with its index, time and file.
        method: The name of the method.
        runner_up: The map of the next best class, if the explainer was asked for it.
        frame_index: The index of the frame.
        clip_frames, cell_frames: The first and the last frame of the clip that the model saw, and of those of it that
            the maps are of; None if it saw a picture alone.
        age_frames, age_seconds: 0, since the model saw this very picture.
        explained_seconds: When the maps were ready, on the clock of `time.perf_counter`.
    """

    frame: Frame
    method: str

    @classmethod
    def of(cls, data: explanation.Explanation, frame: Frame, method: str) -> Explanation:
        """Join an explanation with its picture."""
        known = {field.name: getattr(data, field.name) for field in fields(data)}
        return cls(**known, frame=frame, method=method)

    def draw(self, **style: Any) -> np.ndarray:
        """Draw the explanation over its picture; several classes side by side, unless the style has another view.

        Args:
            **style: The fields of `livecam.Style`.

        Returns:
            A new picture, (H, W, 3) uint8 RGB, upright; larger than the picture if the view has several panels.

        Raises:
            LivecamError: A field of the style is out of range.
        """
        view = "classes" if len(self.classes) > 1 else "overlay"
        rgb = Renderer("gbrp", Style(**{"view": view, **style}))(self.frame, self).to_ndarray(format="rgb24")
        return self.frame.in_square_pixels(self.frame.orientation.upright(rgb))

    def save(self, path: str | os.PathLike[str], **style: Any) -> None:
        """Write the picture with its heatmap to a file, which is replaced if it exists.

        It appears under its name when it is complete.

        Args:
            path: The file; its ending says the format: .jpg, .png, .webp, .tif or .bmp.
            **style: As in `draw`.

        Raises:
            OutputError: The file cannot be written, or it is the one that the picture was read from.
        """
        output = Path(path)
        if output.suffix.lower() not in PICTURE_ENDINGS:
            raise OutputError(f"{output}: a picture ends in {', '.join(PICTURE_ENDINGS)}; change the ending")
        check_place(output, overwrite=True)
        check_distinct([self.frame.path] if self.frame.path else [], [output])
        write_whole(output, encoded(self.draw(**style), output, self.frame.color_profile))

    def show(self, **style: Any) -> None:
        """Show the picture with its heatmap: in a notebook below the cell, else in the system's viewer of pictures.

        Args:
            **style: As in `draw`.

        Raises:
            OutputError: There is no screen, or no viewer.
        """
        if _is_notebook():
            ImageShow.IPythonViewer().show(_for_notebook(self.draw(**style)))
            return
        check_screen("save the picture")
        if not ImageShow.show(Image.fromarray(self.draw(**style))):
            raise OutputError("no viewer of pictures is installed, such as xdg-open; save the picture")

    def _repr_png_(self) -> bytes:
        """Return the picture as notebooks display it."""
        return png_for_notebook(self.draw())

    def __repr__(self) -> str:
        width, height = self.frame.upright_size
        more = f" and {len(self.classes) - 1} more" if len(self.classes) > 1 else ""
        rows, columns = self.cam.shape
        of = f"{self.label!r} {self.described(self.score)}{more}"
        return f"Explanation({of}, {self.method}, map {columns}x{rows}, picture {width}x{height})"


def _is_notebook() -> bool:
    """Return True if IPython runs this code and displays pictures."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and "image/png" in shell.display_formatter.active_types


def png_for_notebook(rgb: np.ndarray) -> bytes:
    """Return a PNG of a picture, (H, W, 3) uint8 RGB, that is small enough for a notebook."""
    file = io.BytesIO()
    _for_notebook(rgb).save(file, "PNG")
    return file.getvalue()


def _for_notebook(rgb: np.ndarray) -> Image.Image:
    image = Image.fromarray(rgb)
    image.thumbnail((_NOTEBOOK_SIDE, _NOTEBOOK_SIDE))
    return image

"""What travels through the stages: a Frame, and the Explanation that belongs to it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from fractions import Fraction

import av
import numpy as np

from livecam.errors import InputError
from livecam.media import Orientation, Region


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One picture of a source.

    `picture` stays as the decoder gave it (planes, pts, time base, colour tags); nothing may write into it, the decoder
    still refers to it. `index` counts from 0. `captured_seconds` is when it arrived, on the clock of
    `time.perf_counter`.
    """

    picture: av.VideoFrame
    index: int = 0
    captured_seconds: float = field(default_factory=time.perf_counter)
    orientation: Orientation = Orientation()
    sample_aspect_ratio: Fraction = Fraction(1)

    @classmethod
    def from_rgb(cls, image: np.ndarray) -> Frame:
        """(H, W, 3) uint8 RGB -> a frame. Raises InputError for anything else."""
        is_rgb = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
        if not is_rgb or not image.size:
            what = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            raise InputError(f"a picture is a (H, W, 3) uint8 RGB array, not {what}")
        return cls(picture=av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24"))

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
class Explanation:
    """Why the model said `label`: the map of one class on one frame.

    `cam` is the signed float32 map (h, w) on the target layer's own grid, of the upright picture, not scaled.
    `region` is the part of the upright picture that the map covers. `predictions` are the model's best classes, best
    first, whichever class is explained. `explained_seconds` is when the map was ready, on the clock of
    `time.perf_counter`.
    """

    index: int
    label: str
    score: float
    cam: np.ndarray
    predictions: tuple[Prediction, ...]
    region: Region = Region()
    frame_index: int = 0
    explained_seconds: float = field(default_factory=time.perf_counter)

    @property
    def heatmap(self) -> np.ndarray:
        """(h, w) float32 in [0, 1]: the positive evidence, divided by its maximum; all 0 where there is none."""
        evidence = np.maximum(self.cam, 0)
        peak = float(evidence.max())
        return evidence / peak if peak > 0 else evidence

    @property
    def peak(self) -> tuple[float, float] | None:
        """(x, y) of the strongest evidence in fractions of the upright picture; None where there is no evidence."""
        if self.cam.max() <= 0:
            return None
        rows, columns = self.cam.shape
        row, column = np.unravel_index(int(self.cam.argmax()), self.cam.shape)
        left, top, right, bottom = self.region
        x = left + (right - left) * (float(column) + 0.5) / columns
        y = top + (bottom - top) * (float(row) + 0.5) / rows
        return min(max(x, 0.0), 1.0), min(max(y, 0.0), 1.0)

    def overlay(self, image: np.ndarray, *, opacity: float = 0.5, colormap: str = "jet") -> np.ndarray:
        """(H, W, 3) uint8 RGB -> a new (H, W, 3) uint8 RGB with the heatmap blended in. Raises InputError."""
        from livecam.render.overlay import overlay_rgb  # a convenience for callers; nothing here depends on drawing

        return overlay_rgb(Frame.from_rgb(image), self, opacity=opacity, colormap=colormap)

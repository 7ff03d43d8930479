"""What travels through the stages: a Frame, and the Explanation that belongs to it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from livecam.errors import InputError
from livecam.picture.media import Orientation


@dataclass(frozen=True, slots=True, kw_only=True, weakref_slot=True)
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

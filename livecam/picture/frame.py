"""The frame: one picture of a source, as it travels through the stages of a run."""

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

    Attributes:
        picture: The picture as the decoder gave it: planes, pts, time base and colour tags. It must not be written to,
            since the decoder still refers to it.
        index: Its number in the source, from 0.
        captured_seconds: The time of its arrival, on the clock of `time.perf_counter`.
        orientation: The rotation or reflection that turns it upright.
        sample_aspect_ratio: Width by height of its pixels, before it is turned.
        path: The file that a still picture came from, None for a frame of a video.
        is_damaged: True if a part of it, or of a picture that it is predicted from, was lost on the way.
        color_profile: The ICC profile of its RGB, None if it has none.
    """

    picture: av.VideoFrame
    index: int = 0
    captured_seconds: float = field(default_factory=time.perf_counter)
    orientation: Orientation = Orientation()
    sample_aspect_ratio: Fraction = Fraction(1)
    path: Path | None = None
    is_damaged: bool = False
    color_profile: bytes | None = None

    @classmethod
    def from_rgb(cls, image: np.ndarray) -> Frame:
        """Make a frame of an (H, W, 3) uint8 RGB array without copying it. Raises InputError for anything else."""
        is_rgb = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
        if not is_rgb or not image.size:
            what = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            raise InputError(f"a picture is a (H, W, 3) uint8 RGB array, not {what}")
        return cls(picture=av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(image), "rgb24"))

    @property
    def pts_seconds(self) -> float | None:
        """The presentation time in seconds, None if the picture has none."""
        return self.picture.time

    @property
    def upright_size(self) -> tuple[int, int]:
        """(width, height) in pixels, turned upright; the pixels need not be square."""
        return self.orientation.swap(self.picture.width, self.picture.height)

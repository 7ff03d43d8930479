"""The frame: one picture of a source, as it travels through the stages of a run."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, fields
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, VideoReformatter

from livecam.errors import InputError
from livecam.picture.color import Color
from livecam.picture.media import Orientation
from livecam.system import cores
from livecam.system.stores import AnyPath


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
        path: The file, or the object in a store, that a still picture came from, None for a frame of a video.
        is_damaged: True if a part of it, or of a picture that it is predicted from, was lost on the way.
        color_profile: The ICC profile of its RGB, None if it has none.
        dropped: In a loop over `Explainer.stream`: how many frames of a camera or stream were dropped before this one,
            since they came faster than the loop took them.
    """

    picture: av.VideoFrame
    index: int = 0
    captured_seconds: float = field(default_factory=time.perf_counter)
    orientation: Orientation = Orientation()
    sample_aspect_ratio: Fraction = Fraction(1)
    path: AnyPath | None = None
    is_damaged: bool = False
    color_profile: bytes | None = None
    dropped: int = 0

    def __reduce__(self) -> tuple[Any, ...]:
        """Let pickle and copy take the pixels as RGB, since FFmpeg's pictures cannot be pickled."""
        picture = self.picture
        others = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "picture"}
        return _restored, (picture.to_ndarray(format="rgb24"), picture.pts, picture.time_base, others)

    @classmethod
    def from_rgb(cls, image: np.ndarray) -> Frame:
        """Make a frame of an (H, W, 3) uint8 RGB array without copying it. Raises InputError for anything else."""
        is_rgb = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
        if not is_rgb or not image.size:
            what = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            raise InputError(f"a picture is a (H, W, 3) uint8 RGB array, not {what}")
        return cls(picture=av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(image), "rgb24"))

    def to_rgb(self) -> np.ndarray:
        """Convert the picture to an array, (H, W, 3) uint8 RGB, upright; its pixels need not be square."""
        color = Color.of(self.picture)
        rgb = VideoReformatter().reformat(
            self.picture,
            format="rgb24",
            src_colorspace=color.swscale_space,
            src_color_range=color.swscale_range,
            dst_color_range=ColorRange.JPEG,
            threads=cores.SCALER,
        )
        return self.orientation.upright(rgb.to_ndarray())

    def in_square_pixels(self, upright: np.ndarray) -> np.ndarray:
        """Stretch a picture of this frame's pixels, (H, W, 3) uint8 and upright, so that it looks right on a screen."""
        height, width = upright.shape[:2]
        square_width = max(round(width * self.orientation.upright_aspect(self.sample_aspect_ratio)), 1)
        return upright if square_width == width else cv2.resize(upright, (square_width, height))

    @property
    def pts_seconds(self) -> float | None:
        """The presentation time in seconds, None if the picture has none."""
        return self.picture.time

    @property
    def upright_size(self) -> tuple[int, int]:
        """(width, height) in pixels, turned upright; the pixels need not be square."""
        return self.orientation.swap(self.picture.width, self.picture.height)


def _restored(rgb: np.ndarray, pts: int | None, time_base: Fraction | None, others: dict[str, Any]) -> Frame:
    frame = Frame(picture=Frame.from_rgb(rgb).picture, **others)
    if time_base is not None:
        frame.picture.pts, frame.picture.time_base = pts, time_base
    return frame

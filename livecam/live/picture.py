"""The picture that was drawn, as it is recorded and as it is shown: upright."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import ColorRange, VideoReformatter

from livecam import threads
from livecam.color import Color
from livecam.frame import Frame
from livecam.media import Orientation
from livecam.planes import planes

_SHORTEST_SIDE = 480
"""Pixels, of what is shown: smaller pictures are made larger by a whole number, so that text on them can be read."""


def upright_picture(picture: av.VideoFrame, orientation: Orientation) -> av.VideoFrame:
    """A planar picture turned as it is to be seen, itself where it is so already; time and colour tags are kept."""
    if orientation == Orientation():
        return picture
    turned = av.VideoFrame(*orientation.swap(picture.width, picture.height), picture.format.name)
    for plane, into in zip(planes(picture), planes(turned), strict=True):
        np.copyto(into, orientation.upright(plane))
    turned.pts, turned.time_base, turned.duration = picture.pts, picture.time_base, picture.duration
    turned.colorspace, turned.color_range = picture.colorspace, picture.color_range
    turned.color_primaries, turned.color_trc = picture.color_primaries, picture.color_trc
    return turned


def upright_aspect(frame: Frame) -> Fraction:
    """The shape of a pixel as it is seen, width by height."""
    return 1 / frame.sample_aspect_ratio if frame.orientation.transposed else frame.sample_aspect_ratio


class ToScreen:
    """Makes of upright pictures what a screen shows: (H, W, 3) uint8 BGR with square pixels."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    @staticmethod
    def size(width: int, height: int, aspect: Fraction) -> tuple[int, int]:
        """(width, height) that a picture of this size has on the screen."""
        width = max(round(width * aspect), 1)
        scale = max(-(-_SHORTEST_SIDE // min(width, height)), 1)
        return width * scale, height * scale

    def __call__(self, picture: av.VideoFrame, aspect: Fraction, *, enlarged: bool = True) -> np.ndarray:
        """A picture whose pixels have this aspect, `enlarged` where it would be too small to be written on."""
        size = max(round(picture.width * aspect), 1), picture.height
        if enlarged:
            size = self.size(picture.width, picture.height, aspect)
        color = Color.of(picture)
        return self._reformatter.reformat(
            picture,
            *size,
            "bgr24",
            src_colorspace=color.swscale_space,
            src_color_range=color.swscale_range,
            dst_color_range=ColorRange.JPEG,
            threads=threads.SCALER,
        ).to_ndarray()

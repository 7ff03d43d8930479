"""Several pictures in one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, VideoReformatter

from livecam.picture.color import Color
from livecam.picture.frame import Frame
from livecam.picture.media import Orientation
from livecam.picture.planes import planes
from livecam.system import cores

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
            threads=cores.SCALER,
        ).to_ndarray()


def arranged(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """(H, W, 3) uint8 each -> one (H', W', 3) uint8: a grid in reading order, each as large as fits a pane.

    One picture is itself. The panes are as large as the first, made smaller so that the grid's sides are no longer than
    the first's by more than half.
    """
    if len(pictures) == 1:
        return pictures[0]
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    first_height, first_width = pictures[0].shape[:2]
    scale = min(1.5 / columns, 1.0)
    width, height = round(first_width * scale), round(first_height * scale)
    grid = np.zeros((rows * height, columns * width, 3), np.uint8)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        _fit(picture, grid[row * height : (row + 1) * height, column * width : (column + 1) * width])
    return grid


def _fit(picture: np.ndarray, pane: np.ndarray) -> None:
    """Into the middle of a pane, its aspect kept."""
    height, width = pane.shape[:2]
    scale = min(width / picture.shape[1], height / picture.shape[0])
    size = max(round(picture.shape[1] * scale), 1), max(round(picture.shape[0] * scale), 1)
    x, y = (width - size[0]) // 2, (height - size[1]) // 2
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    cv2.resize(picture, size, dst=pane[y : y + size[1], x : x + size[0]], interpolation=interpolation)

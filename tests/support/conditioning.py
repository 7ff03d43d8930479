"""Pictures as a decoder gives them, what a Conditioner makes of them, and how they look."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np

from livecam.picture.color import Color
from livecam.picture.media import Media, media_of
from livecam.picture.planes import planes
from livecam.sources.conditioning import Conditioner, conditioned

TIME_BASE = Fraction(1, 25)

BT2020, BT709, PQ, HLG = 9, 1, 16, 18


def picture_of(
    rgb: np.ndarray, number: int = 0, *, pixel_format: str = "yuv420p", space: int = 6, full: bool = False
) -> av.VideoFrame:
    """Make a picture of (H, W, 3) uint8 RGB as a decoder would, tagged with its colour space and range."""
    color = Color(space, full)
    height, width, _ = rgb.shape
    exact = av.VideoFrame(width, height, "yuv444p")
    for plane, values in zip(planes(exact), color.yuv_from_rgb(rgb.reshape(-1, 3)).T, strict=True):
        plane[:] = values.reshape(height, width)
    exact.color_range = color.swscale_range
    picture = exact.reformat(format=pixel_format)
    picture.colorspace, picture.color_range = space, color.swscale_range
    return timed(picture, number)


def timed(picture: av.VideoFrame, number: int) -> av.VideoFrame:
    picture.pts, picture.time_base, picture.duration = 3 * number - 5, TIME_BASE / 3, 3
    return picture


def through(pictures: Sequence[av.VideoFrame]) -> tuple[Media, list[av.VideoFrame]]:
    """Condition pictures; each has to come out once, with its time, as the media say."""
    media = conditioned(media_of(pictures[0], time_base=TIME_BASE))
    times = [(picture.pts, picture.time_base) for picture in pictures]
    out = list(Conditioner("it", media).pictures(pictures))
    assert [(picture.pts, picture.time_base) for picture in out] == times
    for picture in out:
        assert (picture.width, picture.height) == (media.width, media.height)
        assert picture.format.name.replace("yuvj", "yuv") == media.pixel_format.replace("yuvj", "yuv")
        assert not picture.interlaced_frame
    return media, out


def shown(picture: av.VideoFrame) -> np.ndarray:
    """Convert a picture to RGB by its tags, in floats: (H, W, 3) in 0..255."""
    if picture.format.is_rgb:
        return picture.to_ndarray(format="rgb24").astype(float)
    luma, *chroma = (plane.astype(float) for plane in planes(picture))
    height, width = luma.shape
    full = [plane.repeat(height // plane.shape[0], 0).repeat(width // plane.shape[1], 1) for plane in chroma]
    matrix, offset = Color.of(picture).rgb_from_yuv()
    return np.clip(np.stack([luma, *full], axis=2) @ matrix.T + offset, 0, 255)


PATCHES = np.array([[(200, 40, 60), (20, 180, 90), (30, 60, 220), (240, 240, 240), (16, 16, 16), (128, 128, 128)]])

COLORS = PATCHES.astype(np.uint8).repeat(16, 0).repeat(16, 1)

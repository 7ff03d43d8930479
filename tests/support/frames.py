"""Frames of a smooth picture in any format, and pictures back in RGB."""

from __future__ import annotations

from collections.abc import Sequence

import av
import numpy as np

from livecam.picture.frame import Frame
from livecam.picture.media import Orientation
from livecam.picture.planes import planes
from livecam.picture.transfer import DevicePlanes, Transfer

ROTATED = Orientation.of((0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30))
"""By a quarter turn clockwise."""
TAGS = {"BT.709": (1, 1), "BT.601": (6, 1), "full range": (1, 2), "BT.2020": (9, 1)}
"""Colour spaces and ranges, as FFmpeg numbers them."""
_SWSCALE_SPACE = {1: 1, 6: 5, 9: 9}


def video_frame(
    width: int = 192, height: int = 108, pixel_format: str = "yuv420p", tags: tuple[int, int] = (1, 1), **facts: object
) -> Frame:
    """Make a frame of a smooth picture, so that the resolution of the chroma does not matter; `facts` as in Frame."""
    x, y = np.meshgrid(np.linspace(20, 230, width), np.linspace(30, 220, height))
    image = np.stack([x, y, (x + y) / 2], axis=2).astype(np.uint8)
    space, color_range = tags
    picture = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(
        format=pixel_format, dst_colorspace=_SWSCALE_SPACE[space], dst_color_range=color_range
    )
    picture.colorspace, picture.color_range = space, color_range
    return Frame(picture=picture, **facts)  # type: ignore[arg-type]


def rgb(picture: av.VideoFrame, tags: tuple[int, int]) -> np.ndarray:
    """Convert a picture with these tags to (H, W, 3) uint8 RGB."""
    space, color_range = tags
    return picture.reformat(
        format="rgb24", src_colorspace=_SWSCALE_SPACE[space], src_color_range=color_range, interpolation="BILINEAR"
    ).to_ndarray()


def uploads(frames: Sequence[Frame], transfer: Transfer) -> list[DevicePlanes]:
    """Upload the planes of frames."""
    return [transfer.upload(planes(frame.picture)) for frame in frames]

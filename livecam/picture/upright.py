"""Turning pictures upright."""

from __future__ import annotations

import av
import numpy as np

from livecam.picture.media import Orientation
from livecam.picture.planes import planes


def upright_picture(picture: av.VideoFrame, orientation: Orientation) -> av.VideoFrame:
    """Turn a planar picture upright, keeping its time and colour tags; one that is upright already is returned."""
    if orientation == Orientation():
        return picture
    turned = av.VideoFrame(*orientation.swap(picture.width, picture.height), picture.format.name)
    for plane, into in zip(planes(picture), planes(turned), strict=True):
        np.copyto(into, orientation.upright(plane))
    turned.pts, turned.time_base, turned.duration = picture.pts, picture.time_base, picture.duration
    turned.colorspace, turned.color_range = picture.colorspace, picture.color_range
    turned.color_primaries, turned.color_trc = picture.color_primaries, picture.color_trc
    return turned

"""Pictures of whatever format in the one that is drawn in."""

from __future__ import annotations

from collections.abc import Sequence

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from livecam import threads
from livecam.color import Color
from livecam.planes import drawn_format, padded_size


class Planar:
    """Brings pictures of whatever format to one of `PLANAR`, and makes new ones. Not for several threads at once."""

    def __init__(self, pixel_format: str) -> None:
        self.pixel_format = pixel_format
        self._reformatter = VideoReformatter()

    def readable(self, picture: av.VideoFrame, width: int, height: int) -> av.VideoFrame:
        """The picture in this format and size; itself where it is already, but for the name of its full-range twin."""
        if drawn_format(picture) == self.pixel_format and (picture.width, picture.height) == (width, height):
            return picture
        color = Color.of(picture)
        return self._reformatter.reformat(
            picture,
            width,
            height,
            self.pixel_format,
            src_colorspace=color.swscale_space,
            dst_colorspace=color.swscale_space,
            src_color_range=color.swscale_range,
            dst_color_range=color.swscale_range,
            threads=threads.SCALER,
        )

    def blank(self, width: int, height: int, like: av.VideoFrame) -> av.VideoFrame:
        """A new picture of that size padded, undefined inside, with the time and colour tags of another."""
        picture = av.VideoFrame(*padded_size(width, height, self.pixel_format), self.pixel_format)
        if like.time_base is not None:
            picture.pts, picture.time_base, picture.duration = like.pts, like.time_base, like.duration
        picture.colorspace, picture.color_primaries, picture.color_trc = (
            Color.space_tag(like),
            like.color_primaries,
            like.color_trc,
        )
        picture.color_range = 2 if Color.of(like).full_range else like.color_range
        return picture


def repeat_edges(planes: Sequence[np.ndarray], like: Sequence[np.ndarray]) -> None:
    """Where planes are larger than others by a line or column, repeat the last one there."""
    for plane, (height, width) in zip(planes, (smaller.shape for smaller in like), strict=True):
        plane[height:, :width] = plane[height - 1 : height, :width]
        plane[:, width:] = plane[:, width - 1 : width]

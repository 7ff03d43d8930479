"""Pictures of whatever format in the one that is drawn in."""

from __future__ import annotations

import av
from av.video.reformatter import VideoReformatter

from livecam.color import Color
from livecam.planes import padded_size


class Planar:
    """Brings pictures of whatever format to one of `PLANAR`, and makes new ones. Not for several threads at once."""

    def __init__(self, pixel_format: str) -> None:
        self.pixel_format = pixel_format
        self._reformatter = VideoReformatter()

    def readable(self, picture: av.VideoFrame) -> av.VideoFrame:
        """The same picture in this format; itself where it is already, but for the name of its full-range twin."""
        if picture.format.name in (self.pixel_format, self.pixel_format.replace("yuv", "yuvj")):
            return picture
        color = Color.of(picture)
        return self._reformatter.reformat(
            picture,
            format=self.pixel_format,
            src_colorspace=color.swscale_space,
            dst_colorspace=color.swscale_space,
            src_color_range=color.swscale_range,
            dst_color_range=color.swscale_range,
            threads=1,
        )

    def blank(self, like: av.VideoFrame) -> av.VideoFrame:
        """A new picture of `padded_size`, undefined inside, with the time and colour tags of another."""
        width, height = padded_size(like.width, like.height, self.pixel_format)
        picture = av.VideoFrame(width, height, self.pixel_format)
        if like.time_base is not None:
            picture.pts, picture.time_base, picture.duration = like.pts, like.time_base, like.duration
        picture.colorspace, picture.color_primaries, picture.color_trc = (
            Color.space_tag(like),
            like.color_primaries,
            like.color_trc,
        )
        picture.color_range = 2 if Color.of(like).full_range else like.color_range
        return picture

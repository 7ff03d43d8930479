"""FFmpeg's filters, chained to turn decoded pictures of one form into those of another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import cast

import av
from av.filter import Graph
from av.filter.context import FilterContext

from livecam.picture.color import Color
from livecam.picture.media import Media
from livecam.sources.tone_mapping import TABLE_FORMAT
from livecam.system import cores

_SCALING = "bicubic+accurate_rnd+full_chroma_int"
_HDR_SIDE_DATA = ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL", "DYNAMIC_HDR_PLUS")
_LEFT = 1
"""FFmpeg's AVChromaLocation that is assumed where none is given."""


class Filters:
    """A chain of filters, built by calling its methods in order, up to `finish`; then pictures are put through it.

    Args:
        picture: One of the pictures that go in.
        color: What their Y, U and V mean, whatever their tags say.
    """

    def __init__(self, picture: av.VideoFrame, color: Color) -> None:
        assert picture.time_base is not None  # every decoded picture has one
        self._time_base, self._begin_pts = picture.time_base, picture.pts
        self._graph = Graph()
        self._graph.threads = cores.SCALER
        self._begin = self._end = self._source(picture)
        self._table: av.VideoFrame | None = None
        if not picture.format.is_rgb:
            self._add("setparams", colorspace=color.space, range=color.swscale_range)

    def deinterlace(self) -> None:
        """Make pictures progressive that are marked as interlaced; each comes out when the next one has gone in."""
        self._add("bwdif", mode="send_frame", deint="interlaced")

    def lay_on_white(self) -> None:
        """Blend pictures with white where they are transparent."""
        both = self._add("split")
        self._add("drawbox", color="white", t="fill", replace=1)
        both.link_to(self._add("overlay", format="auto"), 1, 1)

    def tone_map(self, table: av.VideoFrame) -> None:
        """Map HDR pictures to SDR by a table, a Hald picture, and forget what their side data tell about HDR."""
        self._add("scale", flags=_SCALING)
        self._add("format", pix_fmts=TABLE_FORMAT)
        table.pts, table.time_base = self._begin_pts, self._time_base
        self._table, self._tables = table, self._source(table)
        self._tables.link_to(self._add("haldclut", clut="first"), 0, 1)
        for kind in _HDR_SIDE_DATA:
            self._add("sidedata", mode="delete", type=kind)

    def fit(self, media: Media, color: Color, width: int, height: int) -> None:
        """Convert pictures to the format and tags of media, at a width and height; larger media get black borders.

        `color` is what the tags of the media mean.
        """
        pixel_format = media.pixel_format.replace("yuvj", "yuv")
        wanted = av.VideoFormat(pixel_format)
        without_subsampling = "yuv444p" if wanted.components[0].bits == 8 else "yuv444p16le"
        meant = {
            "out_color_matrix": color.space,
            "out_range": color.swscale_range,
            "out_chroma_loc": media.chroma_location or _LEFT,
        }
        self._add("scale", width=width, height=height, flags=_SCALING, **({} if wanted.is_rgb else meant))
        if (width, height) != (media.width, media.height):
            # pad would round an odd size down where the chroma has fewer pixels.
            self._add("format", pix_fmts=pixel_format if wanted.is_rgb else without_subsampling)
            self._add("pad", width=media.width, height=media.height, x=-1, y=-1)
        self._add("format", pix_fmts=pixel_format)
        if not wanted.is_rgb:
            self._add(
                "setparams",
                colorspace=media.color_space,
                range=media.color_range,
                color_primaries=media.color_primaries,
                color_trc=media.color_transfer,
            )

    def finish(self) -> None:
        """Complete the chain."""
        self._add("settb", expr=self._time_base)
        self._add("buffersink")
        self._graph.configure()
        if self._table is not None:
            self._tables.push(self._table)
            self._tables.push(None)

    def put(self, picture: av.VideoFrame | None) -> Iterator[av.VideoFrame]:
        """Put a picture in, or None after the last one, and yield those that come out."""
        self._begin.push(picture)
        with suppress(av.BlockingIOError, av.EOFError):
            while True:
                yield cast(av.VideoFrame, self._end.pull())

    def _source(self, picture: av.VideoFrame) -> FilterContext:
        return self._graph.add(
            "buffer",
            video_size=f"{picture.width}x{picture.height}",
            pix_fmt=picture.format.name,
            time_base=str(self._time_base),
            colorspace=str(picture.colorspace),
            range=str(picture.color_range),
        )

    def _add(self, name: str, **options: object) -> FilterContext:
        node = self._graph.add(name, **{key: str(value) for key, value in options.items()})
        self._end.link_to(node)
        self._end = node
        return node

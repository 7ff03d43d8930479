"""The render stage: a frame and its explanation become the picture that the sink takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from livecam.explanation import Explanation
from livecam.picture.color import Color
from livecam.picture.frame import Frame
from livecam.picture.planes import PLANAR, drawn_format, padded_size, planes
from livecam.render.canvas import Canvas
from livecam.render.layout import Layout
from livecam.render.views import Style, paint_nothing, panels_of
from livecam.system import cores


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
            threads=cores.SCALER,
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


if TYPE_CHECKING:
    from livecam.picture.transfer import DevicePlanes


class Renderer:
    """Draws explanations in a style, as pictures of `pixel_format`, one of `PLANAR`.

    Several panels are made smaller to fit `largest_side`, in pixels. Not for use by several threads at once.
    """

    def __init__(self, pixel_format: str, style: Style, *, largest_side: int | None = None) -> None:
        self._style = style
        self._largest_side = largest_side
        self._planar = Planar(pixel_format)

    def __call__(self, frame: Frame, explanation: Explanation, uploaded: DevicePlanes | None = None) -> av.VideoFrame:
        """A new 8-bit picture with the frame's time and colour tags; the frame itself is left as it is.

        `uploaded` are the planes of the frame's picture where they are on a device already: then what covers the
        picture is drawn there, as long as the picture need not be converted or scaled first.
        """
        painters = panels_of(self._style.view, len(explanation.classes))
        layout = Layout.of(
            len(painters), frame.picture.width, frame.picture.height, frame.orientation, self._largest_side
        )
        readable = self._planar.readable(frame.picture, layout.width, layout.height)
        source = planes(readable)
        picture = self._planar.blank(*layout.size, like=frame.picture)
        for number in range(layout.places):
            panel = self._panel(picture, layout, number)
            shown = [new[: plane.shape[0], : plane.shape[1]] for plane, new in zip(source, panel, strict=True)]
            canvas = self._canvas(frame, source, shown, uploaded if readable is frame.picture else None)
            paint = painters[number] if number < len(painters) else paint_nothing
            paint(canvas, explanation, self._style)
            canvas.settle()
            repeat_edges(panel, source)
        return picture

    def _canvas(
        self, frame: Frame, ground: list[np.ndarray], shown: list[np.ndarray], uploaded: DevicePlanes | None
    ) -> Canvas:
        facts = ground, shown, self._planar.pixel_format, Color.of(frame.picture), frame.orientation
        if uploaded is None:
            return Canvas(*facts)
        from livecam.render.device_canvas import (
            DeviceCanvas,  # torch takes seconds to import, and the host needs none of it
        )

        return DeviceCanvas(*facts, uploaded)

    def _panel(self, picture: av.VideoFrame, layout: Layout, number: int) -> list[np.ndarray]:
        """The planes of one panel; a single one has all of the picture, its padding included."""
        x, y = layout.origin(number)
        across, down = PLANAR[self._planar.pixel_format]
        width, height = padded_size(*layout.panel_size, self._planar.pixel_format)
        luma, *chroma = planes(picture)
        return [
            luma[y : y + height, x : x + width],
            *(plane[y // down : (y + height) // down, x // across : (x + width) // across] for plane in chroma),
        ]

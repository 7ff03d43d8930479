"""The render stage: a frame and its explanation become the picture that the sink takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np

from livecam.color import Color
from livecam.frame import Explanation, Frame
from livecam.planes import PLANAR, padded_size, planes
from livecam.render.canvas import Canvas
from livecam.render.layout import Layout
from livecam.render.planar import Planar, repeat_edges
from livecam.render.views import Style, paint_nothing, tiles_of

if TYPE_CHECKING:
    from livecam.transfer import DevicePlanes


class Renderer:
    """Draws explanations in a style, as pictures of `pixel_format`, one of `PLANAR`.

    Several tiles are made smaller to fit `largest_side`, in pixels. Not for use by several threads at once.
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
        painters = tiles_of(self._style.view, len(explanation.classes))
        layout = Layout.of(
            len(painters), frame.picture.width, frame.picture.height, frame.orientation, self._largest_side
        )
        readable = self._planar.readable(frame.picture, layout.width, layout.height)
        source = planes(readable)
        picture = self._planar.blank(*layout.size, like=frame.picture)
        for number in range(layout.places):
            tile = self._tile(picture, layout, number)
            shown = [new[: plane.shape[0], : plane.shape[1]] for plane, new in zip(source, tile, strict=True)]
            canvas = self._canvas(frame, source, shown, uploaded if readable is frame.picture else None)
            paint = painters[number] if number < len(painters) else paint_nothing
            paint(canvas, explanation, self._style)
            canvas.settle()
            repeat_edges(tile, source)
        return picture

    def _canvas(
        self, frame: Frame, ground: list[np.ndarray], shown: list[np.ndarray], uploaded: DevicePlanes | None
    ) -> Canvas:
        facts = ground, shown, self._planar.pixel_format, Color.of(frame.picture), frame.orientation
        if uploaded is None:
            return Canvas(*facts)
        from livecam.render.device import DeviceCanvas  # torch takes seconds to import, and the host needs none of it

        return DeviceCanvas(*facts, uploaded)

    def _tile(self, picture: av.VideoFrame, layout: Layout, number: int) -> list[np.ndarray]:
        """The planes of one tile; a single one has all of the picture, its padding included."""
        x, y = layout.origin(number)
        across, down = PLANAR[self._planar.pixel_format]
        width, height = padded_size(*layout.tile_size, self._planar.pixel_format)
        luma, *chroma = planes(picture)
        return [
            luma[y : y + height, x : x + width],
            *(plane[y // down : (y + height) // down, x // across : (x + width) // across] for plane in chroma),
        ]

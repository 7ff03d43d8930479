"""The render stage: a frame and its explanation become the picture that the sink takes."""

from __future__ import annotations

import av

from livecam.choices import COLORMAPS
from livecam.color import Color
from livecam.errors import LivecamError
from livecam.frame import Explanation, Frame
from livecam.planes import planes
from livecam.render.caption import draw_caption
from livecam.render.overlay import copy_planes, overlay_planes
from livecam.render.planar import Planar


class Renderer:
    """Draws the heatmap, in `colormap` and with `opacity` in 0..1, and one line with the class and its score.

    `pixel_format` is one of `PLANAR`. Not for use by several threads at once. Raises LivecamError.
    """

    def __init__(
        self, pixel_format: str = "yuv420p", *, opacity: float = 0.5, colormap: str = "jet", caption: bool = True
    ) -> None:
        if not 0 <= opacity <= 1:
            raise LivecamError(f"opacity is from 0 to 1, not {opacity}")
        if colormap not in COLORMAPS:
            raise LivecamError(f"colormap is one of {', '.join(COLORMAPS)}, not {colormap!r}")
        self._planar = Planar(pixel_format)
        self._opacity = opacity
        self._colormap = colormap
        self._caption = caption

    def __call__(self, frame: Frame, explanation: Explanation) -> av.VideoFrame:
        """A new 8-bit picture with the frame's time and colour tags; the frame itself is left as it is."""
        picture = self._planar.blank(frame.picture)
        target = planes(picture)
        source = planes(self._planar.readable(frame.picture))
        copy_planes(source, target)
        shown = [copy[: plane.shape[0], : plane.shape[1]] for plane, copy in zip(source, target, strict=True)]
        overlay_planes(frame, shown, explanation, opacity=self._opacity, colormap=self._colormap)
        if self._caption:
            text = f"{explanation.label}  {explanation.score:.0%}"
            draw_caption(shown, text, frame.orientation, Color.of(frame.picture).full_range)
        return picture

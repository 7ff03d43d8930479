"""The render stage: draws a frame and its explanation as the picture for the sink."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from livecam.explanation import Explanation
from livecam.picture.color import Color
from livecam.picture.frame import Frame
from livecam.picture.media import Orientation
from livecam.picture.planes import PLANAR, drawn_format, padded_size, planes
from livecam.render.canvas import BLACK, Canvas
from livecam.render.layout import Layout, lay_out, lay_out_above
from livecam.render.timeline import SHARE, Past, draw_timeline
from livecam.render.views import CONTOUR_HEAT, VIEWS, Style
from livecam.system import cores

if TYPE_CHECKING:
    from livecam.picture.transfer import DevicePlanes

log = logging.getLogger("livecam")


class Renderer:
    """Draws explanations in one style. Not thread-safe.

    Args:
        pixel_format: The format of the pictures that it returns, one of `livecam.picture.planes.PLANAR`.
        style: What is drawn.
        largest_side: The maximum width and height of a picture of several panels, in pixels.
        past: What was drawn before, for views with a timeline; to go on from there.
    """

    def __init__(
        self, pixel_format: str, style: Style, *, largest_side: int | None = None, past: Past | None = None
    ) -> None:
        self._pixel_format = pixel_format
        self._style = style
        self._view = VIEWS[style.view]
        self._largest_side = largest_side
        self._past = past or Past()
        self._reformatter = VideoReformatter()
        self._told_of_contours = False

    def __call__(self, frame: Frame, explanation: Explanation, uploaded: DevicePlanes | None = None) -> av.VideoFrame:
        """Draw an explanation.

        Args:
            frame: The frame, which is only read.
            explanation: Its explanation.
            uploaded: The planes of the frame on a device, if they are on one already. Maps are then blended there,
                unless the frame has to be converted or scaled first.

        Returns:
            A new 8-bit picture with the frame's time and colour tags.
        """
        picture, color = frame.picture, Color.of(frame.picture)
        panels = self._view.panels_of(explanation)
        if self._style.contour:
            self._tell_of_contours(explanation)
        layout = self.layout(frame, explanation)
        converted = self._converted(picture, *layout.frame_size, color)
        drawn = self._blank(*layout.size, picture, color)
        ground, drawn_planes = planes(converted), planes(drawn)
        if not layout.is_filled:
            Canvas(drawn_planes, drawn_planes, self._pixel_format, color, frame.orientation).fill(BLACK)
        width, height = padded_size(*layout.panel_size, self._pixel_format)
        for (x, y), (draw, one) in zip(layout.origins, panels, strict=True):
            padded = _crop(drawn_planes, x, y, width, height, PLANAR[self._pixel_format])
            target = [plane[: below.shape[0], : below.shape[1]] for plane, below in zip(padded, ground, strict=True)]
            surface = ground, target, self._pixel_format, color, frame.orientation
            canvas = _canvas(*surface, uploaded if converted is picture else None)
            draw(canvas, explanation, one, self._style)
            canvas.settle()
            _repeat_edges(padded, ground)
        if layout.below:
            self._past.add(frame, explanation)
            target = _crop(drawn_planes, *layout.below[0], *layout.below[1], PLANAR[self._pixel_format])
            draw_timeline(
                Canvas(target, target, self._pixel_format, color, frame.orientation), self._past, self._style.colormap
            )
        return drawn

    def layout(self, frame: Frame, explanation: Explanation) -> Layout:
        """Return where the panels of an explanation are in the coded picture that is drawn."""
        panels, picture = self._view.count(len(explanation.classes)), frame.picture
        return _laid_out(self._style, panels, picture.width, picture.height, frame.orientation, self._largest_side)

    def _tell_of_contours(self, explanation: Explanation) -> None:
        """Tell once why a contour that was asked for is not drawn."""
        shown = explanation.classes if self._style.shows_all_classes else explanation.classes[:1]
        faint = next((one for one in shown if one.heatmap.max() < CONTOUR_HEAT), None)
        if faint is not None and not self._told_of_contours:
            self._told_of_contours = True
            log.warning(
                "no contour of %r in frame %d: its heat stays below half of full heat, which --scale sets",
                faint.title,
                explanation.frame_index,
            )

    def _converted(self, picture: av.VideoFrame, width: int, height: int, color: Color) -> av.VideoFrame:
        """Return the picture in the renderer's format and this size; the picture itself if it has both already."""
        if drawn_format(picture) == self._pixel_format and (picture.width, picture.height) == (width, height):
            return picture
        return self._reformatter.reformat(
            picture,
            width,
            height,
            self._pixel_format,
            src_colorspace=color.swscale_space,
            dst_colorspace=color.swscale_space,
            src_color_range=color.swscale_range,
            dst_color_range=color.swscale_range,
            threads=cores.SCALER,
        )

    def _blank(self, width: int, height: int, like: av.VideoFrame, color: Color) -> av.VideoFrame:
        """Return a new picture, padded, with undefined pixels and the time and colour tags of another."""
        picture = av.VideoFrame(*padded_size(width, height, self._pixel_format), self._pixel_format)
        if like.time_base is not None:
            picture.pts, picture.time_base, picture.duration = like.pts, like.time_base, like.duration
        picture.colorspace = Color.space_tag(like)
        picture.color_primaries, picture.color_trc = like.color_primaries, like.color_trc
        picture.color_range = 2 if color.full_range else like.color_range
        return picture


def drawn_size(
    style: Style, classes: int, width: int, height: int, orientation: Orientation, largest_side: int | None = None
) -> tuple[int, int]:
    """Return (width, height) of the pictures that a renderer returns, before padding to whole chroma pixels.

    Args:
        style: The renderer's style.
        classes: How many classes the explanations have.
        width: The width of the coded frames.
        height: Their height.
        orientation: How they are turned to stand upright.
        largest_side: The renderer's largest side.
    """
    panels = VIEWS[style.view].count(classes)
    return _laid_out(style, panels, width, height, orientation, largest_side).size


def _laid_out(
    style: Style, panels: int, width: int, height: int, orientation: Orientation, largest_side: int | None
) -> Layout:
    if VIEWS[style.view].has_timeline:
        return lay_out_above(SHARE, width, height, orientation, largest_side)
    return lay_out(panels, width, height, orientation, largest_side, style.columns)


def _canvas(
    ground: Sequence[np.ndarray],
    target: Sequence[np.ndarray],
    pixel_format: str,
    color: Color,
    orientation: Orientation,
    uploaded: DevicePlanes | None,
) -> Canvas:
    if uploaded is None:
        return Canvas(ground, target, pixel_format, color, orientation)
    from livecam.render.device_canvas import DeviceCanvas  # with torch, which the host does without

    return DeviceCanvas(ground, target, pixel_format, color, orientation, uploaded)


def _crop(
    planes: Sequence[np.ndarray], x: int, y: int, width: int, height: int, span: tuple[int, int]
) -> list[np.ndarray]:
    """View a rectangle of the picture in its planes; a chroma pixel spans `span` pixels, (across, down)."""
    luma, *chroma = planes
    across, down = span
    return [
        luma[y : y + height, x : x + width],
        *(plane[y // down : (y + height) // down, x // across : (x + width) // across] for plane in chroma),
    ]


def _repeat_edges(planes: Sequence[np.ndarray], like: Sequence[np.ndarray]) -> None:
    """Fill the extra line or column of planes that are larger than others by repeating the last one."""
    for plane, (height, width) in zip(planes, (smaller.shape for smaller in like), strict=True):
        plane[height:, :width] = plane[height - 1 : height, :width]
        plane[:, width:] = plane[:, width - 1 : width]

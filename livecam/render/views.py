"""The views: what is drawn into each panel of the picture that comes out."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from livecam.errors import LivecamError
from livecam.explanation import ClassMap, Explanation
from livecam.names import COLORMAPS, VIEWS
from livecam.render.canvas import Canvas
from livecam.render.caption import draw_caption, draw_colorbar


@functools.cache
def palette(colormap: str) -> np.ndarray:
    """(256, 3) uint8 RGB, from no evidence to the most."""
    levels = np.arange(256, dtype=np.uint8)
    bgr = cv2.applyColorMap(levels, getattr(cv2, f"COLORMAP_{colormap.upper()}"))
    return np.ascontiguousarray(bgr.reshape(256, 3)[:, ::-1])


# Okabe and Ito's colours, which people with any kind of colour vision can tell apart; white for the black.
TINTS = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (213, 94, 0),
    (204, 121, 167),
    (0, 114, 178),
    (255, 255, 255),
)


def tint(number: int) -> tuple[int, int, int]:
    """The colour of the class with this place in an explanation, RGB; they repeat."""
    return TINTS[number % len(TINTS)]


_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)
_SMOOTHING = 8
"""How much finer a map is made by cubic interpolation before it is spread over the picture."""
_HOT = 128
"""The level that the contour follows: half of full heat."""
_FAINT = 0.5
"""Below this peak, a fraction of full heat, the colours fade with it: they do not come and go all at once."""
_SOFT_EDGE = np.minimum(np.arange(256, dtype=np.float32) / 16, 1)
"""How the heat fades in above a cutoff, by level."""


@dataclass(frozen=True)
class Style:
    """How an explanation is drawn. Raises LivecamError.

    `view` is one of `livecam.names.VIEWS`, `opacity` that of the heat, in 0..1, `colormap` one of
    `livecam.names.COLORMAPS`. `caption` writes the class and its score, `contour` draws the border of the hottest
    region, `colorbar` what the colours mean.
    """

    view: str = "overlay"
    opacity: float = 0.5
    colormap: str = "jet"
    caption: bool = True
    contour: bool = False
    colorbar: bool = False

    def __post_init__(self) -> None:
        if self.view not in VIEWS:
            raise LivecamError(f"view is one of {', '.join(VIEWS)}, not {self.view!r}")
        if not 0 <= self.opacity <= 1:
            raise LivecamError(f"opacity is from 0 to 1, not {self.opacity}")
        if self.colormap not in COLORMAPS:
            raise LivecamError(f"colormap is one of {', '.join(COLORMAPS)}, not {self.colormap!r}")

    @property
    def shows_all_classes(self) -> bool:
        """Whether more than the first class is drawn."""
        return self.view in ("classes", "tints")


Painter = Callable[[Canvas, Explanation, Style], None]
"""Draws one panel, whose canvas holds the frame already."""


def panels_of(view: str, classes: int) -> list[Painter]:
    """The painters of a view's panels, in reading order, for explanations of so many classes."""
    if view == "classes":
        return [_overlay(number) for number in range(classes)]
    painters: dict[str, list[Painter]] = {
        "overlay": [_overlay(0)],
        "heatmap": [_map_alone(blocks=False)],
        "raw": [_map_alone(blocks=True)],
        "side-by-side": [_untouched, _overlay(0)],
        "panels": [_titled("original", _untouched), _titled("map", _map_alone(blocks=False)), _overlay(0)],
        "tints": [_tints],
    }
    return painters[view]


def paint_nothing(canvas: Canvas, explanation: Explanation, style: Style) -> None:
    """The place of a panel that there is none for."""
    canvas.fill(_BLACK)


def _untouched(canvas: Canvas, explanation: Explanation, style: Style) -> None:
    """The frame as it came."""


def _overlay(number: int) -> Painter:
    """The heatmap of one of the classes over the frame, which stays as it is where there is no evidence at all."""

    def paint(canvas: Canvas, explanation: Explanation, style: Style) -> None:
        one = explanation.classes[number]
        smooth = _smooth(one)
        if one.has_evidence and style.opacity:
            strength = style.opacity * min(float(one.heatmap.max()) / _FAINT, 1)
            opacity = strength * _SOFT_EDGE if one.cutoff > 0 else strength
            canvas.blend(smooth, explanation.region, palette(style.colormap), opacity)
        _add_extras(canvas, explanation, one, smooth, style)

    return paint


def _map_alone(blocks: bool) -> Painter:
    """The heatmap of the first class without the frame, smooth or in blocks, one for each cell of the layer's grid."""

    def paint(canvas: Canvas, explanation: Explanation, style: Style) -> None:
        one = explanation.classes[0]
        smooth = _smooth(one)
        canvas.fill(_BLACK)
        levels = _levels(one.heatmap) if blocks else smooth
        canvas.blend(levels, explanation.region, palette(style.colormap), 1.0, blocks)
        _add_extras(canvas, explanation, one, smooth, style)

    return paint


def _tints(canvas: Canvas, explanation: Explanation, style: Style) -> None:
    """Every class in a colour of its own over one frame, the more opaque the hotter."""
    # More opaque than an overlay, of which all is seen through the middle of its colours as well.
    by_level = np.linspace(0, min(style.opacity * 1.5, 1), 256, dtype=np.float32)
    smooth = [_smooth(one) for one in explanation.classes]
    for number, levels in enumerate(smooth):
        shade = np.array([tint(number)], np.uint8).repeat(256, axis=0)
        canvas.blend(levels, explanation.region, shade, by_level)
    for number, (one, levels) in enumerate(zip(explanation.classes, smooth, strict=True)):
        if style.contour:
            canvas.outline(levels, explanation.region, level=_HOT, rgb=tint(number))
        if style.caption:
            draw_caption(canvas, one.title, _facts(explanation, one), line=number, rgb=tint(number))


def _titled(title: str, painter: Painter) -> Painter:
    """A panel that is named by what it is."""

    def paint(canvas: Canvas, explanation: Explanation, style: Style) -> None:
        painter(canvas, explanation, dataclasses.replace(style, caption=False))
        if style.caption:
            draw_caption(canvas, title)

    return paint


def _add_extras(canvas: Canvas, explanation: Explanation, one: ClassMap, smooth: np.ndarray, style: Style) -> None:
    if style.contour and one.has_evidence:
        canvas.outline(smooth, explanation.region, level=_HOT, rgb=_WHITE)
    if style.colorbar:
        draw_colorbar(canvas, palette(style.colormap))
    if style.caption:
        draw_caption(canvas, one.title, _facts(explanation, one))


def _facts(explanation: Explanation, one: ClassMap) -> str:
    """The score, and how old the map is unless it is the frame's own."""
    age = explanation.age_frames
    return f"  {one.score:.0%}" + (f"  {age} frame{'s' if age > 1 else ''} old" if age else "")


def _levels(heatmap: np.ndarray) -> np.ndarray:
    """Heat in [0, 1] -> (h, w) uint8 levels, rounded off."""
    return np.round(np.clip(heatmap, 0, 1) * 255).astype(np.uint8)


def _smooth(one: ClassMap) -> np.ndarray:
    """The heatmap's levels on a finer grid.

    Stretched bilinearly over a whole picture, a coarse grid shows as diamonds. A cubic step on the small map takes them
    away at next to no cost.
    """
    return _levels(cv2.resize(one.heatmap, None, fx=_SMOOTHING, fy=_SMOOTHING, interpolation=cv2.INTER_CUBIC))

"""The views, which say what is drawn into each panel of the output picture."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from livecam.errors import LivecamError
from livecam.explanation import ClassMap, Explanation
from livecam.names import BLENDS, COLORMAPS
from livecam.render.canvas import BLACK, RGB, WHITE, Canvas, Palette
from livecam.render.caption import draw_caption, draw_colorbar

_SMOOTHING = 8
"""How many times finer a map is made by cubic interpolation before it is stretched over the picture."""
_HOT = 128
"""The level that the contour follows: half of full heat."""
_FAINT = 0.5
"""Below this peak, a fraction of full heat, a uniform blend fades with it, so that it does not appear and disappear
abruptly."""
_SOFT_EDGE = np.minimum(np.arange(256, dtype=np.float32) / 16, 1)
"""How the heat fades in above a cutoff in a uniform blend, by level."""
_FADES_IN = 0.1, 0.75
"""The heat at which a blend by evidence begins to be seen, and from which on it has its full opacity: weak heat leaves
the scene as it is, strong heat is as vivid as in a uniform blend."""


@dataclass(frozen=True)
class Style:
    """How an explanation is drawn.

    Args:
        view: The arrangement of panels, one of `livecam.names.VIEWS`.
        blend: How the heatmap is laid over the frame, one of `livecam.names.BLENDS`. "evidence": the more opaque the
            hotter, and nothing where there is no heat. "uniform": equally opaque everywhere.
        opacity: The opacity of full heat, 0..1.
        colormap: The colours of the heatmap, one of `livecam.names.COLORMAPS`.
        caption: Write the class and its score into the picture.
        contour: Draw the border of the hottest region, where the heat is at least half of full heat.
        colorbar: Draw a bar that shows which colour means how much heat.
        columns: The number of panels side by side; None for a picture of about the frame's shape.

    Raises:
        LivecamError: A name is unknown or a number is out of range.
    """

    view: str = "overlay"
    blend: str = "evidence"
    opacity: float = 0.5
    colormap: str = "jet"
    caption: bool = True
    contour: bool = False
    colorbar: bool = False
    columns: int | None = None

    def __post_init__(self) -> None:
        if self.view not in VIEWS:
            raise LivecamError(f"view is one of {', '.join(VIEWS)}, not {self.view!r}")
        if self.blend not in BLENDS:
            raise LivecamError(f"blend is one of {', '.join(BLENDS)}, not {self.blend!r}")
        if not 0 <= self.opacity <= 1:
            raise LivecamError(f"opacity is from 0 to 1, not {self.opacity}")
        if self.columns is not None and self.columns < 1:
            raise LivecamError(f"columns is at least 1, not {self.columns}")
        if self.colormap not in COLORMAPS:
            raise LivecamError(f"colormap is one of {', '.join(COLORMAPS)}, not {self.colormap!r}")

    @property
    def shows_all_classes(self) -> bool:
        """True if every class of an explanation is drawn, not only the first."""
        return VIEWS[self.view].classes != "first"

    def caption_lines(self, classes: int) -> int:
        """Return the number of lines at the top of a panel, for an explanation of so many classes."""
        return (classes if VIEWS[self.view].classes == "all" else 1) if self.caption else 0

    @functools.cached_property
    def without_caption(self) -> Style:
        """This style with `caption` off."""
        return dataclasses.replace(self, caption=False)


Panel = Callable[[Canvas, Explanation, ClassMap, Style], None]
"""A function that draws one panel: on a canvas that shows the frame, about one class of the explanation, in a style."""


def original(canvas: Canvas, explanation: Explanation, one: ClassMap, style: Style) -> None:
    """Leave the frame as it is."""


def overlay(canvas: Canvas, explanation: Explanation, one: ClassMap, style: Style) -> None:
    """Draw the heatmap over the frame; an explanation without evidence leaves the frame unchanged."""
    levels = _smooth(one)
    if one.has_evidence and style.opacity:
        canvas.blend(levels, explanation.region, _blending(one, style))
    _annotate(canvas, explanation, one, levels, style)


def heatmap(canvas: Canvas, explanation: Explanation, one: ClassMap, style: Style) -> None:
    """Draw the heatmap alone, on black."""
    levels = _smooth(one)
    canvas.fill(BLACK)
    canvas.blend(levels, explanation.region, palette(style.colormap))
    _annotate(canvas, explanation, one, levels, style)


def raw(canvas: Canvas, explanation: Explanation, one: ClassMap, style: Style) -> None:
    """Draw the heatmap alone, on black, with a block for each cell of the layer's grid."""
    canvas.fill(BLACK)
    canvas.blend(_levels(one.heatmap), explanation.region, palette(style.colormap), blocks=True)
    _annotate(canvas, explanation, one, _smooth(one), style)


def tints(canvas: Canvas, explanation: Explanation, one: ClassMap, style: Style) -> None:
    """Draw every class in a colour of its own over the frame, the more opaque the hotter."""
    # More opaque than an overlay, since only the hottest cells reach this opacity.
    opacity = min(style.opacity * 1.5, 1)
    smooth = [_smooth(one) for one in explanation.classes]
    for number, levels in enumerate(smooth):
        canvas.blend(levels, explanation.region, _shade(tint(number), opacity))
    for number, (one, levels) in enumerate(zip(explanation.classes, smooth, strict=True)):
        if style.contour:
            canvas.outline(levels, explanation.region, level=_HOT, rgb=tint(number))
        if style.caption:
            draw_caption(canvas, one.title, _facts(explanation, one), line=number, rgb=tint(number))


def titled(title: str, panel: Panel) -> Panel:
    """Return a panel with a fixed title as its caption instead of the class."""

    def draw(canvas: Canvas, explanation: Explanation, one: ClassMap, style: Style) -> None:
        panel(canvas, explanation, one, style.without_caption)
        if style.caption:
            draw_caption(canvas, title)

    return draw


@dataclass(frozen=True)
class View:
    """The panels of a view, in reading order.

    `classes` says which classes of an explanation they show: only the "first"; "each", by repeating the panels for
    every class; or "all" in one panel.
    """

    panels: Sequence[Panel]
    classes: Literal["first", "each", "all"] = "first"

    def panels_of(self, explanation: Explanation) -> list[tuple[Panel, ClassMap]]:
        """Return the panels for an explanation, each with the class that it shows."""
        classes = explanation.classes if self.classes == "each" else explanation.classes[:1]
        return [(panel, one) for one in classes for panel in self.panels]

    def count(self, classes: int) -> int:
        """Return the number of panels for explanations with this number of classes."""
        return len(self.panels) * (classes if self.classes == "each" else 1)


VIEWS = {
    "overlay": View([overlay]),
    "heatmap": View([heatmap]),
    "raw": View([raw]),
    "side-by-side": View([original, overlay]),
    "panels": View([titled("original", original), titled("map", heatmap), overlay]),
    "classes": View([overlay], classes="each"),
    "tints": View([tints], classes="all"),
}
"""The views by name, which `livecam.names.VIEWS` lists for the command line."""


@functools.cache
def palette(colormap: str) -> Palette:
    """Return the palette of a colour map, one of `livecam.names.COLORMAPS`."""
    levels = np.arange(256, dtype=np.uint8)
    bgr = cv2.applyColorMap(levels, getattr(cv2, f"COLORMAP_{colormap.upper()}"))
    return Palette(np.ascontiguousarray(bgr.reshape(256, 3)[:, ::-1]))


# Okabe and Ito's colours, which people with any kind of colour vision can tell apart; white for the black.
TINTS: tuple[RGB, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (213, 94, 0),
    (204, 121, 167),
    (0, 114, 178),
    (255, 255, 255),
)


def tint(number: int) -> RGB:
    """Return the colour for a class by its position in the explanation; the eight colours repeat."""
    return TINTS[number % len(TINTS)]


@functools.lru_cache(maxsize=64)
def _shade(rgb: RGB, opacity: float) -> Palette:
    """Return a palette with the same colour at every level, the more opaque the hotter, up to this opacity."""
    return Palette(np.array([rgb], np.uint8).repeat(256, axis=0), np.linspace(0, opacity, 256, dtype=np.float32))


def _blending(one: ClassMap, style: Style) -> Palette:
    """Return the palette of an overlay."""
    if style.blend == "evidence":
        return _fading(style.colormap, style.opacity)
    opacity = style.opacity * min(float(one.heatmap.max()) / _FAINT, 1)
    return _uniform(style.colormap, opacity, above_cutoff=one.cutoff > 0)


@functools.lru_cache(maxsize=64)
def _fading(colormap: str, opacity: float) -> Palette:
    """Return a palette that is the more opaque the hotter; it rises smoothly from 0 to this opacity."""
    begin, end = _FADES_IN
    rise = np.clip((np.linspace(0, 1, 256, dtype=np.float32) - begin) / (end - begin), 0, 1)
    return Palette(palette(colormap).rgb, opacity * rise**2 * (3 - 2 * rise))


@functools.lru_cache(maxsize=64)
def _uniform(colormap: str, opacity: float, *, above_cutoff: bool) -> Palette:
    """Return a palette that is equally opaque, except just above a cutoff, below which the frame stays as it is."""
    return Palette(palette(colormap).rgb, opacity * _SOFT_EDGE if above_cutoff else opacity)


def _annotate(canvas: Canvas, explanation: Explanation, one: ClassMap, levels: np.ndarray, style: Style) -> None:
    """Draw contour, colour bar and caption if the style asks for them."""
    if style.contour:
        canvas.outline(levels, explanation.region, level=_HOT, rgb=WHITE)
    if style.colorbar:
        draw_colorbar(canvas, palette(style.colormap))
    if style.caption:
        draw_caption(canvas, one.title, _facts(explanation, one))


def _facts(explanation: Explanation, one: ClassMap) -> str:
    """Return the score for a caption, and the age of the map unless it is the frame's own."""
    score, age = explanation.described(one.score), explanation.age_frames
    unlikely = ", unlikely" if explanation.is_unlikely(one) else ""
    return f"  {score}{unlikely}" + (f"  {age} frame{'s' if age > 1 else ''} old" if age else "")


def _levels(heat: np.ndarray) -> np.ndarray:
    """Round heat, (h, w) float32 in 0..1, to levels, (h, w) uint8."""
    return np.round(np.clip(heat, 0, 1) * 255).astype(np.uint8)


def _smooth(one: ClassMap) -> np.ndarray:
    """Return the levels of a heatmap on a finer grid.

    Stretched bilinearly over a whole picture, a coarse grid shows as diamonds. A cubic step on the small map removes
    them at next to no cost.
    """
    return _levels(cv2.resize(one.heatmap, None, fx=_SMOOTHING, fy=_SMOOTHING, interpolation=cv2.INTER_CUBIC))

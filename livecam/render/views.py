"""The views, which say what is drawn into each panel of the output picture."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from livecam.errors import OptionError
from livecam.explanation import ClassMap, Explanation
from livecam.names import BLENDS, COLORMAPS
from livecam.render.boxes import draw_boxes
from livecam.render.canvas import BLACK, WHITE, Canvas, Palette
from livecam.render.caption import draw_caption, draw_colorbar
from livecam.render.palettes import fade, fading, palette, shade, tint, uniform

_SMOOTHING = 8
"""How many times finer a map is made by cubic interpolation before it is stretched over the picture."""
CONTOUR_HEAT = 0.5
"""The heat that the contour follows, of 1 for full heat."""
_HOT = round(255 * CONTOUR_HEAT)
_FAINT = 0.5
"""Below this peak, a fraction of full heat, a uniform blend fades with it, so that it does not appear and disappear
abruptly."""
_SHARPNESS = 8
"""How much more of a place is given to the class with the most heat there than to the others, as an exponent."""


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
        colorbar: Draw a bar with the colours of heat, the value of the map that is full heat, and the threshold.
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
            raise OptionError(f"view is one of {', '.join(VIEWS)}, not {self.view!r}")
        if self.blend not in BLENDS:
            raise OptionError(f"blend is one of {', '.join(BLENDS)}, not {self.blend!r}")
        if not 0 <= self.opacity <= 1:
            raise OptionError(f"opacity is from 0 to 1, not {self.opacity}")
        if self.columns is not None and self.columns < 1:
            raise OptionError(f"columns is at least 1, not {self.columns}")
        if self.colormap not in COLORMAPS:
            raise OptionError(f"colormap is one of {', '.join(COLORMAPS)}, not {self.colormap!r}")

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
        faint = min(float(one.heatmap.max()) / _FAINT, 1) if style.blend == "uniform" else 1
        canvas.blend(levels, explanation.region, _blending(one, style, style.opacity * faint))
    draw_boxes(canvas, explanation, [one], lambda box: tint(box.index), labels=style.caption)
    _annotate(canvas, explanation, one, levels, style, _blending(one, style, 1.0))


def heatmap(canvas: Canvas, explanation: Explanation, one: ClassMap, style: Style) -> None:
    """Draw the heatmap alone, on black."""
    levels = _smooth(one)
    canvas.fill(BLACK)
    canvas.blend(levels, explanation.region, palette(style.colormap))
    _annotate(canvas, explanation, one, levels, style, palette(style.colormap))


def raw(canvas: Canvas, explanation: Explanation, one: ClassMap, style: Style) -> None:
    """Draw the heatmap alone, on black, with a block for each cell of the layer's grid."""
    canvas.fill(BLACK)
    canvas.blend(_levels(one.heatmap), explanation.region, palette(style.colormap), blocks=True)
    _annotate(canvas, explanation, one, _smooth(one), style, palette(style.colormap))


def tints(canvas: Canvas, explanation: Explanation, one: ClassMap, style: Style) -> None:
    """Draw every class in a colour of its own over the frame: where it has the most heat, and as an outline."""
    heats = [_smooth(one) for one in explanation.classes]
    for number, share in enumerate(_shared(np.stack(heats))):
        canvas.blend(share, explanation.region, shade(tint(number), style.opacity))
    colors = [tint(number) for number in range(len(heats))]
    borders = [
        heat if one.mask is None else _pixels(one.mask) for one, heat in zip(explanation.classes, heats, strict=True)
    ]
    canvas.outline(borders, explanation.region, level=_HOT, colors=colors)
    of_boxes = {box: color for one, color in zip(explanation.classes, colors, strict=True) for box in one.boxes}
    draw_boxes(canvas, explanation, explanation.classes, lambda box: of_boxes.get(box, WHITE), labels=style.caption)
    if explanation.point is not None:
        canvas.mark(*explanation.point, WHITE)
    if style.caption:
        for number, one in enumerate(explanation.classes):
            draw_caption(canvas, one.title, _facts(explanation, one), line=number, mark=tint(number))


def _shared(heats: np.ndarray) -> np.ndarray:
    """Return how opaque each class is, (classes, h, w) uint8: together as opaque as the hottest of them.

    Args:
        heats: The levels of the classes, (classes, h, w) uint8.
    """
    heat = heats.astype(np.float32) / 255
    weights = heat**_SHARPNESS
    shares = weights / np.maximum(weights.sum(axis=0), np.finfo(np.float32).tiny)
    return _levels(shares * fade(heat.max(axis=0)))


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
    every class; or "all" in one panel. With `has_timeline`, the last seconds are drawn below (`render.timeline`).
    """

    panels: Sequence[Panel]
    classes: Literal["first", "each", "all"] = "first"
    has_timeline: bool = False

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
    "timeline": View([overlay], has_timeline=True),
}
"""The views by name, which `livecam.names.VIEWS` lists for the command line."""


def _blending(one: ClassMap, style: Style, opacity: float) -> Palette:
    """Return the palette of an overlay with this opacity."""
    if style.blend == "evidence":
        return fading(style.colormap, opacity)
    return uniform(style.colormap, opacity, above_cutoff=one.cutoff > 0)


def _annotate(
    canvas: Canvas, explanation: Explanation, one: ClassMap, levels: np.ndarray, style: Style, colors: Palette
) -> None:
    """Draw the outline of a mask, the mark of a point, and contour, colour bar and caption if the style asks for them.

    `colors` are those of the bar.
    """
    if one.mask is not None:
        canvas.outline([_pixels(one.mask)], explanation.region, level=_HOT, colors=[WHITE])
    if explanation.point is not None:
        canvas.mark(*explanation.point, WHITE)
    if style.contour:
        canvas.outline([levels], explanation.region, level=_HOT, colors=[WHITE])
    if style.colorbar:
        draw_colorbar(canvas, colors, one.cutoff, one.full)
    if style.caption:
        draw_caption(canvas, one.title, _facts(explanation, one))


def _facts(explanation: Explanation, one: ClassMap) -> str:
    """Return the score for a caption, the time cell of a clip, and the age of the map unless it is the frame's own."""
    score, age = _score(explanation, one), explanation.age_frames
    place = " at the point" if score and explanation.point is not None else ""  # else the title says so
    unlikely = ", unlikely" if explanation.is_unlikely(one) else ""
    span = f"  {explanation.span}" if explanation.span else ""
    return f"{score}{place}{unlikely}{span}" + (f"  {age} frame{'s' if age > 1 else ''} old" if age else "")


def _score(explanation: Explanation, one: ClassMap) -> str:
    """Return the score, of several boxes how many they are and the best of their scores, of none nothing."""
    if explanation.detects and not one.boxes:
        return ""
    boxes = f"  {len(one.boxes)} boxes, up to" if len(one.boxes) > 1 else " "
    return f"{boxes} {explanation.described(one.score)}"


def _levels(heat: np.ndarray) -> np.ndarray:
    """Round heat, (h, w) float32 in 0..1, to levels, (h, w) uint8."""
    return np.round(np.clip(heat, 0, 1) * 255).astype(np.uint8)


def _pixels(mask: np.ndarray) -> np.ndarray:
    """Return a mask, (h, w) bool, as levels, (h, w) uint8."""
    return mask.astype(np.uint8) * 255


def _smooth(one: ClassMap) -> np.ndarray:
    """Return the levels of a heatmap on a finer grid.

    Stretched bilinearly over a whole picture, a coarse grid shows as diamonds. A cubic step on the small map removes
    them at next to no cost.
    """
    return _levels(cv2.resize(one.heatmap, None, fx=_SMOOTHING, fy=_SMOOTHING, interpolation=cv2.INTER_CUBIC))

"""The heatmap blended with its frame: on the planes of a video, or on RGB."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from livecam.color import Color
from livecam.frame import Explanation, Frame
from livecam.media import Region
from livecam.render.palette import rgb_palette, yuv_palette

_SMOOTHING = 8
"""How much finer the map is made by cubic interpolation before it is spread over the picture."""


def overlay_planes(
    source: Frame, target: list[np.ndarray], explanation: Explanation, *, opacity: float, colormap: str
) -> None:
    """Blend onto the target planes Y, U, V, which hold the frame already; (h, w) uint8 each, changed in place.

    Blending is linear and the palette is converted to the frame's colour space, so this equals a blend in RGB up to
    rounding and the resolution of the chroma.
    """
    heat = _levels(explanation)
    if opacity == 0 or heat is None:
        return
    heat = np.ascontiguousarray(source.orientation.coded(heat))
    region = explanation.region.coded(source.orientation)
    palette = yuv_palette(colormap, Color.of(source.picture))
    spread: dict[tuple[int, ...], tuple[tuple[slice, slice], np.ndarray]] = {}
    for plane, table in zip(target, palette, strict=True):
        if plane.shape not in spread:  # U and V share theirs
            spread[plane.shape] = _spread(heat, region, plane.shape[1], plane.shape[0])
        where, levels = spread[plane.shape]
        _blend(plane[where], cv2.LUT(levels, table), opacity)


def overlay_rgb(frame: Frame, explanation: Explanation, *, opacity: float, colormap: str) -> np.ndarray:
    """The same in RGB: a new (H, W, 3) uint8 picture of an "rgb24" frame."""
    picture = frame.picture.to_ndarray()
    heat = _levels(explanation)
    if opacity > 0 and heat is not None:
        where, levels = _spread(heat, explanation.region, picture.shape[1], picture.shape[0])
        _blend(picture[where], rgb_palette(colormap)[levels], opacity)
    return picture


def _levels(explanation: Explanation) -> np.ndarray | None:
    """The heatmap in 0..255, uint8, rounded off; None where there is no evidence and the picture shall stay as it is.

    Stretched bilinearly over a whole picture, a coarse grid shows as diamonds. A cubic step on the small map takes them
    away at next to no cost.
    """
    if explanation.peak is None:
        return None
    smooth = cv2.resize(explanation.heatmap, None, fx=_SMOOTHING, fy=_SMOOTHING, interpolation=cv2.INTER_CUBIC)
    return np.round(np.clip(smooth, 0, 1) * 255).astype(np.uint8)


def _spread(heat: np.ndarray, region: Region, width: int, height: int) -> tuple[tuple[slice, slice], np.ndarray]:
    """The heatmap at the size of a plane: (where it lies, its levels there).

    The region may reach beyond the picture; what lies outside is cut off.
    """
    left, right = round(region.left * width), round(region.right * width)
    top, bottom = round(region.top * height), round(region.bottom * height)
    levels = cv2.resize(heat, (max(right - left, 1), max(bottom - top, 1)), interpolation=cv2.INTER_LINEAR)
    x, y = max(left, 0), max(top, 0)
    inside = levels[y - top : height - top, x - left : width - left]
    return (slice(y, y + inside.shape[0]), slice(x, x + inside.shape[1])), inside


def _blend(target: np.ndarray, color: np.ndarray, opacity: float) -> None:
    cv2.addWeighted(target, 1 - opacity, color, opacity, 0, dst=target)


def copy_planes(source: Sequence[np.ndarray], target: Sequence[np.ndarray]) -> None:
    """Copy planes into ones that may be larger by a line or column, which repeat the last."""
    for plane, copy in zip(source, target, strict=True):
        height, width = plane.shape
        copy[:height, :width] = plane
        copy[height:, :width] = plane[-1:]
        copy[:, width:] = copy[:, width - 1 : width]

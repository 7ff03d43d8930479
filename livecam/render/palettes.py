"""The colours of heat, and those of classes."""

from __future__ import annotations

import functools

import cv2
import numpy as np

from livecam.render.canvas import RGB, Palette

_FADES_IN = 0.1, 0.75
"""The heat at which a blend by evidence begins to be seen, and from which on it has its full opacity: weak heat leaves
the scene as it is, strong heat is as vivid as in a uniform blend."""
_SOFT_EDGE = np.minimum(np.arange(256, dtype=np.float32) / 16, 1)
"""How the heat fades in above a cutoff in a uniform blend, by level."""


@functools.cache
def palette(colormap: str) -> Palette:
    """Return the opaque palette of a colour map, one of `livecam.names.COLORMAPS`."""
    levels = np.arange(256, dtype=np.uint8)
    bgr = cv2.applyColorMap(levels, getattr(cv2, f"COLORMAP_{colormap.upper()}"))
    return Palette(np.ascontiguousarray(bgr.reshape(256, 3)[:, ::-1]))


def fade(heat: np.ndarray) -> np.ndarray:
    """Return the share of the full opacity that heat has in a blend by evidence, (...) float32; both in 0..1."""
    begin, end = _FADES_IN
    rise = np.clip((heat - begin) / (end - begin), 0, 1)
    return rise**2 * (3 - 2 * rise)


@functools.lru_cache(maxsize=64)
def fading(colormap: str, opacity: float) -> Palette:
    """Return a palette that is the more opaque the hotter; it rises smoothly from 0 to this opacity."""
    return Palette(palette(colormap).rgb, opacity * fade(np.linspace(0, 1, 256, dtype=np.float32)))


@functools.lru_cache(maxsize=64)
def uniform(colormap: str, opacity: float, *, above_cutoff: bool) -> Palette:
    """Return a palette that is equally opaque, except just above a cutoff, below which the frame stays as it is."""
    return Palette(palette(colormap).rgb, opacity * _SOFT_EDGE if above_cutoff else opacity)


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
def shade(rgb: RGB, opacity: float) -> Palette:
    """Return a palette with the same colour at every level, the more opaque the hotter, up to this opacity."""
    return Palette(np.array([rgb], np.uint8).repeat(256, axis=0), np.linspace(0, opacity, 256, dtype=np.float32))

"""Colours: the maps from evidence to colour, and the tints that tell classes apart."""

from __future__ import annotations

import functools

import cv2
import numpy as np


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

"""Colour maps as lookup tables, in RGB and in the colour space of a video."""

from __future__ import annotations

import functools

import cv2
import numpy as np

from livecam.color import Color


@functools.cache
def rgb_palette(colormap: str) -> np.ndarray:
    """(256, 3) uint8 RGB, from no evidence to the most."""
    levels = np.arange(256, dtype=np.uint8)
    bgr = cv2.applyColorMap(levels, getattr(cv2, f"COLORMAP_{colormap.upper()}"))
    return np.ascontiguousarray(bgr.reshape(256, 3)[:, ::-1])


@functools.cache
def yuv_palette(colormap: str, color: Color) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three (256,) uint8 tables for the planes Y, U and V."""
    y, u, v = color.yuv_from_rgb(rgb_palette(colormap)).T.copy()
    return y, u, v

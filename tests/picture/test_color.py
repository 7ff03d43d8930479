"""Colours to Y, U and V and back."""

from __future__ import annotations

import numpy as np

from livecam.picture.color import Color


def test_colours_come_back_from_yuv() -> None:
    colors = np.random.default_rng(5).integers(0, 256, (100, 3)).astype(np.uint8)
    for tag in (1, 6, 9):
        for full_range in (False, True):
            color = Color(tag, full_range)
            matrix, offset = color.rgb_from_yuv()
            back = color.yuv_from_rgb(colors) @ matrix.T + offset
            assert np.abs(back - colors).max() < 3

"""What the colours mean: a bar from no evidence to the most."""

from __future__ import annotations

import numpy as np

from livecam.media import Region
from livecam.render.canvas import Canvas
from livecam.render.caption import WHITE, letter_size, render_line

_RAMP = np.arange(255, -1, -1, dtype=np.uint8)[:, None].repeat(2, axis=1)
"""Levels from the most, on top."""


def draw_colorbar(canvas: Canvas, palette: np.ndarray) -> None:
    """Draw the bar of a palette, (256, 3) uint8 RGB, along the right border's lower half, its ends named."""
    width, height = canvas.upright_size
    letters = letter_size(width, height)
    if min(width, height // 2 - 2 * letters) < letters:
        return  # no room for a bar between its names
    names = [render_line(name, letters, width) for name in ("1", "0")]
    name_height, name_width = names[0].shape[0], max(name.shape[1] for name in names)
    left, right = (width - name_width) // 2 * 2, width
    top, bottom = height // 4 * 2, height // 2 * 2 - name_height
    canvas.write(names[0], left, top, WHITE)
    canvas.write(names[1], left, bottom, WHITE)
    bar = Region(left / width, (top + name_height) / height, right / width, bottom / height)
    canvas.blend(_RAMP, bar, palette, 1.0)

"""Captions and the colour bar, at a size that suits the picture."""

from __future__ import annotations

import functools

import numpy as np

from livecam.picture.media import Region
from livecam.render.canvas import RGB, WHITE, Canvas, Palette
from livecam.render.letters import SMALLEST_LETTERS, letter_size, render_line
from livecam.text import number

_BAR_LENGTH = 4
"""The length of the colour bar by its width, which is the height of a line of text."""


def draw_caption(canvas: Canvas, text: str, end: str = "", *, line: int = 0, mark: RGB | None = None) -> None:
    """Write a line of text into the upright picture's top left corner; draws nothing if there is no room.

    Args:
        canvas: What to draw on.
        text: The text; it is shortened if the line is too long.
        end: Text that follows and is shortened last.
        line: The number of the line, from 0 at the top.
        mark: The colour of a square before the text, by which the line is found in the picture.
    """
    width, height = canvas.upright_size
    if width < SMALLEST_LETTERS:
        return  # not even one letter fits
    size = letter_size(width, height)
    side = len(render_line("", size, width))
    left = side if mark and width > 2 * side else 0
    letters = render_line(text, size, width - left, end)
    top = line * side
    if top + side > height:
        return
    canvas.write(letters, left, top, WHITE)
    if mark and left:
        canvas.write(_square(side), 0, top, mark)


@functools.cache
def _square(side: int) -> np.ndarray:
    """Return the coverage of a square in the middle of a box of this side."""
    box = np.zeros((side, side), np.uint8)
    margin = side // 5
    box[margin : side - margin, margin : side - margin] = 255
    return box


def draw_colorbar(canvas: Canvas, palette: Palette, cutoff: float, full: float) -> None:
    """Draw a palette as a bar on the lower right border, from no evidence to full heat; nothing if there is no room.

    Args:
        canvas: What to draw on.
        palette: The colours of heat.
        cutoff: The value of the map that is heat 0; it is marked where it is not 0.
        full: The value of the map that is full heat.
    """
    width, height = canvas.upright_size
    if width < SMALLEST_LETTERS:
        return
    size = letter_size(width, height)
    side = len(render_line("", size, width))
    bottom = height // 2 * 2 - side
    length = min(_BAR_LENGTH * side, (bottom - 2 * side) // 2 * 2)  # below a caption and the name of full heat
    if min(width - side, length) < side:
        return
    top, left, lowest = bottom - length, (width - side) // 2 * 2, min(cutoff, 0.0)
    values = np.linspace(max(full, lowest), lowest, length)[:, None]
    heat = np.clip((values - cutoff) / (full - cutoff), 0, 1) if full > cutoff else np.linspace(1, 0, length)[:, None]
    canvas.write(np.zeros((length, side), np.uint8), left, top, WHITE)
    bar = Region(left / width, top / height, (left + side) / width, bottom / height)
    canvas.blend(np.round(heat * 255).astype(np.uint8).repeat(2, axis=1), bar, palette)

    strongest = f"full heat {number(full)}" if full > cutoff else "full heat"
    names = "no evidence", f"threshold {number(cutoff)}"
    zero, marked = names if cutoff >= 0 else names[::-1]
    _write_before(canvas, strongest, size, left + side, top - side)
    _write_before(canvas, zero, size, left + side, bottom)
    if cutoff and full > max(cutoff, 0):
        y = top + round((full - max(cutoff, 0)) / (full - lowest) * length) // 2 * 2
        canvas.write(np.full((max(size // 8, 1) * 2, side), 255, np.uint8), left, y, WHITE)
        _write_before(canvas, marked, size, left, min(max(y - side // 2, top), bottom - side))


def _write_before(canvas: Canvas, text: str, size: int, right: int, top: int) -> None:
    """Write a line that ends at a column of the picture."""
    letters = render_line(text, size, right)
    canvas.write(letters, right - letters.shape[1], top // 2 * 2, WHITE)

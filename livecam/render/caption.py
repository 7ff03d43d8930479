"""Lines of text, at a size that suits the picture."""

from __future__ import annotations

import functools

import cv2
import numpy as np

from livecam.picture.media import Region
from livecam.render.canvas import Canvas

SMALLEST_LETTERS = 13
"""Pixels; smaller ones cannot be read at 240 lines."""
WHITE = (255, 255, 255)
_LETTERS_PER_SIDE = 1 / 24


def draw_caption(canvas: Canvas, text: str, end: str = "", *, line: int = 0, rgb: tuple[int, int, int] = WHITE) -> None:
    """Write a line of text from the upright picture's top left corner down; `line` 0 is the first.

    Of a line that is too long the text is shortened, not its `end`.
    """
    width, height = canvas.upright_size
    if width < SMALLEST_LETTERS:
        return  # not even one letter fits
    letters = render_line(text, letter_size(width, height), width, end)
    top = line * len(letters)
    if top + len(letters) <= height:
        canvas.write(letters, 0, top, rgb)


def letter_size(width: int, height: int) -> int:
    """The size in pixels of letters that suit a picture of this size."""
    return max(SMALLEST_LETTERS, round(min(width, height) * _LETTERS_PER_SIDE))


@functools.lru_cache(maxsize=256)
def render_line(text: str, size: int, width: int, end: str = "") -> np.ndarray:
    """The coverage of the letters in their box, (h, w) uint8, at most `width` wide; read-only."""
    face = cv2.FontFace("sans")
    margin = size // 2
    text = _shortened(text, end, face, size, width - 2 * margin)
    x, _, w, _ = _extent(text, face, size)
    # Even sizes keep the box on whole chroma pixels; the line's height must not depend on the letters in it.
    box_width = min((x + w + 2 * margin + 1) // 2 * 2, width // 2 * 2)
    box = np.zeros((size // 2 * 4, box_width, 3), np.uint8)
    cv2.putText(box, text, (margin, round(size * 1.35)), WHITE, face, size, 500)
    coverage = np.ascontiguousarray(box[:, :, 0])
    coverage.setflags(write=False)
    return coverage


def _shortened(text: str, end: str, face: cv2.FontFace, size: int, width: int) -> str:
    """The text, or its beginning and an ellipsis, and the end, so that all fits the width."""
    line = text + end
    while text and sum(_extent(line, face, size)[0::2]) > width:
        text = text[:-1]
        line = text.rstrip() + "…" + end
    return line


def _extent(text: str, face: cv2.FontFace, size: int) -> tuple[int, int, int, int]:
    x, y, w, h = cv2.getTextSize((1, 1), text, (0, 0), face, size, 500)
    return x, y, w, h


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

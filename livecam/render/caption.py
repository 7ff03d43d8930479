"""Captions and the colour bar, at a size that suits the picture."""

from __future__ import annotations

import functools
from bisect import bisect

import cv2
import numpy as np

from livecam.picture.media import Region
from livecam.render.canvas import RGB, WHITE, Canvas, Palette
from livecam.text import number, printable

SMALLEST_LETTERS = 13
"""Pixels; smaller letters cannot be read at 240 lines."""
_LETTERS_PER_SIDE = 1 / 24
_WEIGHT = 500
"""The weight of the font: between regular, 400, and bold, 700."""
_BAR_LENGTH = 4
"""The length of the colour bar by its width, which is the height of a line of text."""
_NARROWEST = 6
"""The size of the letters by the width of the narrowest."""


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


def letter_size(width: int, height: int) -> int:
    """Return a letter size in pixels that suits a picture of this size."""
    return max(SMALLEST_LETTERS, round(min(width, height) * _LETTERS_PER_SIDE))


@functools.lru_cache(maxsize=256)
def render_line(text: str, size: int, width: int, end: str = "") -> np.ndarray:
    """Render a line of text as coverage of each pixel of its box, (h, w) uint8, read-only.

    Args:
        text: The text, shown as by `printable`; if it is too long, its end is replaced by an ellipsis.
        size: The size of the letters in pixels; the height of the box depends on nothing else.
        width: The maximum width of the box in pixels.
        end: Text that follows and is shortened last.
    """
    margin = size // 2
    face = cv2.FontFace("sans")
    line, right = _fitted(printable(text), end, face, size, width - 2 * margin)
    # Even sizes keep the box on whole chroma pixels.
    box_width = min((right + 2 * margin + 1) // 2 * 2, width // 2 * 2)
    box = np.zeros((size // 2 * 4, box_width, 3), np.uint8)
    cv2.putText(box, line, (margin, round(size * 1.35)), WHITE, face, size, _WEIGHT)
    coverage = np.ascontiguousarray(box[:, :, 0])
    coverage.setflags(write=False)
    return coverage


def _fitted(text: str, end: str, face: cv2.FontFace, size: int, width: int) -> tuple[str, int]:
    """Shorten the text of a line until it fits a width; return the line and its right border in pixels."""
    text = text[: width // (size // _NARROWEST) + 1]  # what cannot fit would take long to be measured

    def right_of(line: str) -> int:
        left, _, line_width, _ = cv2.getTextSize((1, 1), line, (0, 0), face, size, _WEIGHT)
        return left + line_width

    def shortened(letters: int) -> str:
        return text[:letters].rstrip() + "…" + end

    if end and right_of("…" + end) > width:
        text, end = (text + end)[: width // (size // _NARROWEST) + 1], ""
    right = right_of(text + end)
    if not text or right <= width:
        return text + end, right
    letters = bisect(range(1, len(text)), width, key=lambda letters: right_of(shortened(letters)))
    return shortened(letters), right_of(shortened(letters))

"""Lines of text as letters in pixels."""

from __future__ import annotations

import functools
from bisect import bisect

import cv2
import numpy as np

from livecam.text import printable

SMALLEST_LETTERS = 13
"""Pixels; smaller letters cannot be read at 240 lines."""
_LETTERS_PER_SIDE = 1 / 24
_WEIGHT = 500
"""The weight of the font: between regular, 400, and bold, 700."""
_NARROWEST = 6
"""The size of the letters by the width of the narrowest."""


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
    cv2.putText(box, line, (margin, round(size * 1.35)), (255, 255, 255), face, size, _WEIGHT)
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

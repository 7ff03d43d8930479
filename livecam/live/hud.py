"""What is written over the picture in the window: it is in no recording."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from livecam.live.controls import KEYS
from livecam.render.caption import letter_size, render_line

_SMALLER = 0.6
"""Of the letters of the caption."""
_SMALLEST = 13
_KEEPS = 0.35
"""How much of the picture shines through the box."""
_BAR_COLOR, _BAR_OTHER = (80, 200, 255), (150, 150, 150)

Bar = tuple[str, float, bool]
"""A class, its score in 0..1, and whether it is the one that is explained."""


def draw_lines(bgr: np.ndarray, lines: Sequence[str], bars: Sequence[Bar] = (), *, top: int = 0) -> None:
    """Write lines and then bars of scores at the left border, from `top` on down.

    `bgr` is (H, W, 3) uint8, and is drawn into.
    """
    height, width = bgr.shape[:2]
    size = max(_SMALLEST, round(letter_size(width, height) * _SMALLER))
    texts = [*lines, *(f"{label}  {score:.0%}" for label, score, _ in bars)]
    line_height = len(render_line("", size, width))
    letters = [render_line(text, size, width) for text in texts[: max((height - top) // line_height, 0)]]
    if not letters:
        return
    box = bgr[top : top + line_height * len(letters), : max(line.shape[1] for line in letters)]
    np.copyto(box, cv2.convertScaleAbs(box, alpha=_KEEPS))
    for number, line in enumerate(letters):
        y = top + number * line_height
        if number >= len(lines):
            _draw_bar(bgr[y : y + line_height, : box.shape[1]], *bars[number - len(lines)][1:])
        _write(bgr, line, 0, y)


def draw_help(bgr: np.ndarray) -> None:
    """What every key does, in the middle of the picture: (H, W, 3) uint8, drawn into."""
    height, width = bgr.shape[:2]
    size = max(8, min(round(letter_size(width, height) * _SMALLER), height // (2 * len(KEYS) + 2)))
    names = [render_line(key.name, size, width) for key in KEYS]
    helps = [render_line(key.help, size, width) for key in KEYS]
    column = max(name.shape[1] for name in names)
    line_height = names[0].shape[0]
    box_width, box_height = column + max(text.shape[1] for text in helps), line_height * len(KEYS)
    left, top = max((width - box_width) // 2, 0), max((height - box_height) // 2, 0)
    box = bgr[top : top + box_height, left : left + box_width]
    np.copyto(box, cv2.convertScaleAbs(box, alpha=_KEEPS / 2))
    for number, (name, text) in enumerate(zip(names, helps, strict=True)):
        _write(box, name, 0, number * line_height)
        _write(box, text, column, number * line_height)


def _write(bgr: np.ndarray, letters: np.ndarray, x: int, y: int) -> None:
    """Put what there is room for of letters, (h, w) uint8 coverage, with their top left corner at (x, y)."""
    part = bgr[y : y + letters.shape[0], x : x + letters.shape[1]]
    np.maximum(part, letters[: part.shape[0], : part.shape[1], None], out=part)


def _draw_bar(line: np.ndarray, score: float, is_explained: bool) -> None:
    """Along the foot of a line."""
    height, width = line.shape[:2]
    thickness = max(height // 8, 2)
    line[height - thickness :, : max(round(width * min(score, 1)), 1)] = _BAR_COLOR if is_explained else _BAR_OTHER

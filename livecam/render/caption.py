"""One line of text on a video's planes: light letters on a darkened box, at a size that suits the picture."""

from __future__ import annotations

import functools

import cv2
import numpy as np

from livecam.media import Orientation

SMALLEST_LETTERS = 13
"""Pixels; smaller ones cannot be read at 240 lines."""
_LETTERS_PER_SIDE = 1 / 24
_BOX_KEEPS = 0.35
"""How much of the picture shines through the box."""


def draw_caption(planes: list[np.ndarray], text: str, orientation: Orientation, full_range: bool) -> None:
    """Write the text into the upright picture's top left corner; planes Y, U, V, (h, w) uint8, changed in place."""
    coded_height, coded_width = planes[0].shape
    width, height = orientation.swap(coded_width, coded_height)
    letters = orientation.coded(_letters(text, width, height))
    black, white = (0, 255) if full_range else (16, 235)
    for plane, is_luma in zip(planes, (True, False, False), strict=True):
        across, down = -(-coded_width // plane.shape[1]), -(-coded_height // plane.shape[0])
        cover = letters[::down, ::across]
        where = _corner(plane, cover.shape, orientation)
        behind = black + cover * (white - black) if is_luma else 128
        keeps = _BOX_KEEPS * (1 - cover)
        where[:] = np.round(where * keeps + behind * (1 - keeps))


def _corner(plane: np.ndarray, shape: tuple[int, ...], orientation: Orientation) -> np.ndarray:
    """The view of that shape that is top left when the picture is upright, as far as the plane reaches."""
    rows, columns = shape
    # Transposing swaps the axes after the flips, so the flip along an upright axis is one along the other coded axis.
    flipped_rows = orientation.flipped_x if orientation.transposed else orientation.flipped_y
    flipped_columns = orientation.flipped_y if orientation.transposed else orientation.flipped_x
    vertical = slice(plane.shape[0] - rows, None) if flipped_rows else slice(0, rows)
    horizontal = slice(plane.shape[1] - columns, None) if flipped_columns else slice(0, columns)
    return plane[vertical, horizontal]


@functools.lru_cache(maxsize=128)
def _letters(text: str, width: int, height: int) -> np.ndarray:
    """The coverage of the letters in their box, (h, w) float32 in 0..1, for a picture of this size; read-only."""
    size = max(SMALLEST_LETTERS, round(min(width, height) * _LETTERS_PER_SIDE))
    face = cv2.FontFace("sans")
    margin = size // 2
    text = _shortened(text, face, size, width - 2 * margin)
    x, y, w, h = _extent(text, face, size)
    # Even sizes keep the box on whole chroma pixels; the line's height must not depend on the letters in it.
    box_width = min((x + w + 2 * margin + 1) // 2 * 2, width // 2 * 2)
    box_height = min((size * 2) // 2 * 2, height // 2 * 2)
    box = np.zeros((box_height, box_width, 3), np.uint8)
    baseline = round(size * 1.35)
    cv2.putText(box, text, (margin, baseline), (255, 255, 255), face, size, 500)
    coverage = box[:, :, 0].astype(np.float32) / 255
    coverage.setflags(write=False)
    return coverage


def _shortened(text: str, face: cv2.FontFace, size: int, width: int) -> str:
    """The text, or its beginning and an ellipsis, so that it fits the width."""
    kept = text
    while len(kept) > 1 and sum(_extent(kept, face, size)[0::2]) > width:
        text = text[:-1]
        kept = text.rstrip() + "…"
    return kept


def _extent(text: str, face: cv2.FontFace, size: int) -> tuple[int, int, int, int]:
    x, y, w, h = cv2.getTextSize((1, 1), text, (0, 0), face, size, 500)
    return x, y, w, h

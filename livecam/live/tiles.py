"""Several pictures in one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np


def tiled(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """(H, W, 3) uint8 each -> one (H', W', 3) uint8: a grid in reading order, each as large as fits a tile.

    One picture is itself. The tiles are as large as the first, made smaller so that the grid's sides are no longer than
    the first's by more than half.
    """
    if len(pictures) == 1:
        return pictures[0]
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    first_height, first_width = pictures[0].shape[:2]
    scale = min(1.5 / columns, 1.0)
    width, height = round(first_width * scale), round(first_height * scale)
    grid = np.zeros((rows * height, columns * width, 3), np.uint8)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        _fit(picture, grid[row * height : (row + 1) * height, column * width : (column + 1) * width])
    return grid


def _fit(picture: np.ndarray, tile: np.ndarray) -> None:
    """Into the middle of a tile, its aspect kept."""
    height, width = tile.shape[:2]
    scale = min(width / picture.shape[1], height / picture.shape[0])
    size = max(round(picture.shape[1] * scale), 1), max(round(picture.shape[0] * scale), 1)
    x, y = (width - size[0]) // 2, (height - size[1]) // 2
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    cv2.resize(picture, size, dst=tile[y : y + size[1], x : x + size[0]], interpolation=interpolation)

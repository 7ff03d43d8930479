"""The stretching of a map over its place in the planes of a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

_FINER = 2
"""The resolution, relative to the map, of the grid on which colours are looked up before they are stretched.

Looking up a colour for every pixel costs as much as stretching and blending together. With two steps from each of the
map's points to the next the stretched colours are half a level off on average, and blending halves that again."""


class Place(NamedTuple):
    """The position of a map in a plane, where it is stretched to `width` x `height` pixels.

    `where` are the rows and columns of the plane that the map lies on. `inside` are the rows and columns of the
    stretched map that fall on them; the others lie beyond the picture. `covers` is True if the map hides all of the
    plane.
    """

    width: int
    height: int
    where: tuple[slice, slice]
    inside: tuple[slice, slice]
    covers: bool


def clipped(left: int, top: int, width: int, height: int, plane_height: int, plane_width: int) -> Place:
    """Return the place of a map at this position of a plane, which all of it may lie beyond."""
    x, y = max(left, 0), max(top, 0)
    x_end, y_end = max(min(left + width, plane_width), x), max(min(top + height, plane_height), y)
    return Place(
        width,
        height,
        where=(slice(y, y_end), slice(x, x_end)),
        inside=(slice(y - top, y_end - top), slice(x - left, x_end - left)),
        covers=(x, y, x_end, y_end) == (0, 0, plane_width, plane_height),
    )


def trimmed(
    levels: np.ndarray, places: Sequence[Place], visible: np.ndarray, shapes: Sequence[tuple[int, int]]
) -> tuple[np.ndarray, Sequence[Place]]:
    """Leave out the borders of a map that cannot be seen.

    Args:
        levels: The map, (h, w) uint8.
        places: Its place in each plane.
        visible: True for the levels that can be seen, (256,).
        shapes: The shape of each plane.

    Returns:
        What remains of the map, and its places, where it is stretched to the same pixels as before.
    """
    seen = visible[levels]
    rows = _needed(seen.any(axis=1), [place.height for place in places])
    columns = _needed(seen.any(axis=0), [place.width for place in places])
    height, width = levels.shape
    cut = [
        clipped(
            place.where[1].start - place.inside[1].start + columns.start * place.width // width,
            place.where[0].start - place.inside[0].start + rows.start * place.height // height,
            (columns.stop - columns.start) * place.width // width,
            (rows.stop - rows.start) * place.height // height,
            *shape,
        )
        for place, shape in zip(places, shapes, strict=True)
    ]
    return levels[rows, columns], cut


def _needed(seen: np.ndarray, lengths: Sequence[int]) -> slice:
    """Return the cells that are needed to draw those that are seen.

    An interpolated cell reaches into its neighbours. The cut is where a cell begins at a whole pixel.

    Args:
        seen: True for the cells of a row or column that can be seen, (n,).
        lengths: The length of the row or column in each plane, in pixels.
    """
    (cells,) = np.nonzero(seen)
    if not len(cells):
        return slice(0, 0)
    step = len(seen) // math.gcd(len(seen), *lengths)
    first, end = int(cells[0]) - 1, int(cells[-1]) + 2
    return slice(max(first // step * step, 0), min(-(-end // step) * step, len(seen)))


def looked_up_on(levels: np.ndarray, place: Place, blocks: bool) -> np.ndarray:
    """Return a map on the grid on which its colours are looked up before they are stretched to a place."""
    if blocks:
        return levels
    height, width = levels.shape
    # If the plane is hardly larger than the finer grid, a second stretch would cost more than it saves.
    if max(width / place.width, height / place.height) * _FINER <= 0.5:
        return stretched(levels, width * _FINER, height * _FINER)
    return stretched(levels, place.width, place.height)


def colored(grid: np.ndarray, table: np.ndarray, place: Place, blocks: bool) -> np.ndarray:
    """Look up levels in a table, (256,) uint8, and stretch the result to its place in a plane."""
    interpolation = cv2.INTER_NEAREST_EXACT if blocks else cv2.INTER_LINEAR
    return cv2.resize(cv2.LUT(grid, table), (place.width, place.height), interpolation=interpolation)[place.inside]


def stretched(levels: np.ndarray, width: int, height: int) -> np.ndarray:
    """Stretch a map by linear interpolation."""
    return cv2.resize(levels, (width, height), interpolation=cv2.INTER_LINEAR)

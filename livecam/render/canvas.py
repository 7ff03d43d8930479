"""The surface that is drawn on: three planes that may be turned and subsampled, addressed as an upright RGB picture."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from livecam.picture.color import Color
from livecam.picture.media import Orientation, Region
from livecam.picture.planes import plane_values


class Place(NamedTuple):
    """A map stretched to `width` x `height` pixels of a plane, of which the part beyond the picture is cut off.

    `where` are the rows and columns of the plane that it lies on, `inside` those of the stretched map that remain.
    """

    width: int
    height: int
    where: tuple[slice, slice]
    inside: tuple[slice, slice]
    covers: bool
    """Whether nothing of the plane is left free."""

    @classmethod
    def of(cls, region: Region, plane_height: int, plane_width: int) -> Place:
        """That of a map of a region of the coded picture."""
        left, top = round(region.left * plane_width), round(region.top * plane_height)
        width = max(round(region.right * plane_width) - left, 1)
        height = max(round(region.bottom * plane_height) - top, 1)
        x, y = max(left, 0), max(top, 0)
        x_end, y_end = min(left + width, plane_width), min(top + height, plane_height)
        return cls(
            width,
            height,
            (slice(y, y_end), slice(x, x_end)),
            (slice(y - top, y_end - top), slice(x - left, x_end - left)),
            (x, y, x_end, y_end) == (0, 0, plane_width, plane_height),
        )


_BOX_KEEPS = 0.35
"""How much of the picture shines through the box behind a text."""
_FINER = 2
"""How much finer than a map the grid is on which its colours are looked up, to be stretched from there.

Looking up costs as much a pixel as stretching and blending together. With two steps from each of the map's points to
the next what is stretched is half a level off on average, which blending halves again."""


class Canvas:
    """A new picture in `pixel_format` that is drawn over a given one, the ground.

    `ground` and `planes` are both (h, w) uint8, in the order of the format. The ground is only read. The planes are
    undefined until `settle`: what covers the whole picture is blended from the ground into them, without a copy first.
    """

    def __init__(
        self,
        ground: Sequence[np.ndarray],
        planes: Sequence[np.ndarray],
        pixel_format: str,
        color: Color,
        orientation: Orientation,
    ) -> None:
        self._ground = ground
        self._planes = planes
        self._pixel_format = pixel_format
        self._color = color
        self._orientation = orientation

    @property
    def upright_size(self) -> tuple[int, int]:
        """(width, height) as shown."""
        height, width = self._planes[0].shape
        return self._orientation.swap(width, height)

    @property
    def is_settled(self) -> bool:
        """Whether the planes hold the picture as it is by now."""
        return self._ground is self._planes

    def settle(self) -> None:
        """What has not been drawn on is the ground."""
        if not self.is_settled:
            for below, plane in zip(self._ground, self._planes, strict=True):
                np.copyto(plane, below)
            self._ground = self._planes

    def fill(self, rgb: tuple[int, int, int]) -> None:
        """One colour all over."""
        for plane, value in zip(self._planes, self._values_of(rgb), strict=True):
            plane[:] = value
        self._ground = self._planes

    def blend(
        self, levels: np.ndarray, region: Region, palette: np.ndarray, opacity: float | np.ndarray, blocks: bool = False
    ) -> None:
        """Colour a region of the upright picture by `levels`, (h, w) uint8 of it, through `palette`, (256, 3) RGB.

        The opacity, in 0..1, is one for all or a (256,) table by level. The levels are stretched smoothly, or as
        `blocks`. Blending is linear and the palette is converted to the planes' colour space, so this equals a blend in
        RGB up to rounding and the resolution of the chroma.
        """
        levels, places = self._laid_out(levels, region)
        if not all(place.covers for place in places):
            self.settle()
        for below, plane, table, place in zip(self._ground, self._planes, self._values(palette), places, strict=True):
            below, target = below[place.where], plane[place.where]
            if isinstance(opacity, np.ndarray):
                keeps, adds = (_looked_up(levels, weighted, place, blocks) for weighted in _weighted(table, opacity))
                _lay(target, below, keeps, adds)
            elif opacity == 1:
                np.copyto(target, _looked_up(levels, table, place, blocks))
            else:
                ink = _looked_up(levels, table, place, blocks)
                cv2.addWeighted(below, 1 - opacity, ink, opacity, 0, dst=target)
        self._ground = self._planes

    def write(self, letters: np.ndarray, x: int, y: int, rgb: tuple[int, int, int]) -> None:
        """Put letters, (h, w) uint8 coverage, on a darkened box; (x, y) is its top left corner, even."""
        self.settle()
        height, width = letters.shape
        cover = self._orientation.coded(letters)
        tables = _letter_tables(rgb, self._pixel_format, self._color)
        for plane, (across, down), weights in zip(self._planes, self._spans(), tables, strict=True):
            where = plane[self._slices(x, y, width, height, across, down)]
            part = np.ascontiguousarray(cover[::down, ::across][: where.shape[0], : where.shape[1]])
            keeps, adds = (cv2.LUT(part, table) for table in weights)
            _lay(where, where, keeps, adds)

    def outline(self, levels: np.ndarray, region: Region, *, level: int, rgb: tuple[int, int, int]) -> None:
        """Draw the border of where the levels reach `level`, in a colour on a dark line; the rest as in `blend`."""
        self.settle()
        levels, (place, *_) = self._laid_out(levels, region)
        there = _stretched(levels, place.width, place.height)[place.inside]
        _, hot = cv2.threshold(there, level - 1, 1, cv2.THRESH_BINARY)
        rows, columns = place.where
        corner = (columns.start, rows.start)
        borders, _ = cv2.findContours(hot, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=corner)
        thickness = max(2, round(min(self.upright_size) / 270))
        inks = zip(self._values_of((0, 0, 0)), self._values_of(rgb), strict=True)
        for plane, (across, down), (black, ink) in zip(self._planes, self._spans(), inks, strict=True):
            scaled = [border // (across, down) for border in borders]
            for value, wider in ((black, 2), (ink, 0)):
                cv2.polylines(plane, scaled, True, value, max(thickness // across, 1) + wider // across)

    def _values(self, rgb: np.ndarray) -> np.ndarray:
        """(N, 3) uint8 RGB -> (3, N) uint8, what it takes in each plane."""
        return np.ascontiguousarray(plane_values(rgb, self._pixel_format, self._color).T)

    def _values_of(self, rgb: tuple[int, int, int]) -> list[int]:
        """The same of one colour."""
        return [int(value) for (value,) in self._values(np.array([rgb], np.uint8))]

    def _laid_out(self, levels: np.ndarray, region: Region) -> tuple[np.ndarray, list[Place]]:
        """Levels of a region of the upright picture -> those of the coded one, and where they lie in each plane."""
        region = region.coded(self._orientation)
        places = [Place.of(region, *plane.shape) for plane in self._planes]
        return np.ascontiguousarray(self._orientation.coded(levels)), places

    def _spans(self) -> Iterator[tuple[int, int]]:
        """For each plane, how many pixels one of its own spans: (across, down)."""
        height, width = self._planes[0].shape
        for plane in self._planes:
            yield -(-width // plane.shape[1]), -(-height // plane.shape[0])

    def _slices(self, x: int, y: int, width: int, height: int, across: int, down: int) -> tuple[slice, slice]:
        """A rectangle of the upright picture in a plane whose pixels span so many."""
        full_width, full_height = self.upright_size
        if self._orientation.flipped_x:
            x = full_width - x - width
        if self._orientation.flipped_y:
            y = full_height - y - height
        (x, y), (width, height) = self._orientation.swap(x, y), self._orientation.swap(width, height)
        x, y = max(x, 0) // across, max(y, 0) // down
        return slice(y, y + -(-height // down)), slice(x, x + -(-width // across))


@functools.cache
def _letter_tables(rgb: tuple[int, int, int], pixel_format: str, color: Color) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each plane, what letters of this colour on their box keep and add, by coverage."""
    ramp = np.linspace((0, 0, 0), rgb, 256).round().astype(np.uint8)
    opacity = 1 - _BOX_KEEPS * np.linspace(1, 0, 256)
    return [_weighted(table, opacity) for table in plane_values(ramp, pixel_format, color).T]


def _weighted(table: np.ndarray, opacity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By level, as uint8: how much of 255 is kept of what lies below, and what is added to it."""
    keeps = np.round(255 * (1 - opacity))
    return keeps.astype(np.uint8), np.round(table * (1 - keeps / 255)).astype(np.uint8)


def _lay(target: np.ndarray, below: np.ndarray, keeps: np.ndarray, adds: np.ndarray) -> None:
    cv2.multiply(below, keeps, dst=target, scale=1 / 255)
    cv2.add(target, adds, dst=target)


def _looked_up(levels: np.ndarray, table: np.ndarray, place: Place, blocks: bool) -> np.ndarray:
    """What a table says of the levels, (h, w) uint8 at the size of what is inside of the plane."""
    height, width = levels.shape
    if blocks:
        size = (place.width, place.height)
        return cv2.resize(cv2.LUT(levels, table), size, interpolation=cv2.INTER_NEAREST_EXACT)[place.inside]
    # A grid near the size of the plane would only be one more to be stretched.
    if max(width / place.width, height / place.height) * _FINER <= 0.5:
        finer = cv2.LUT(_stretched(levels, width * _FINER, height * _FINER), table)
        return _stretched(finer, place.width, place.height)[place.inside]
    return cv2.LUT(_stretched(levels, place.width, place.height)[place.inside], table)


def _stretched(levels: np.ndarray, width: int, height: int) -> np.ndarray:
    return cv2.resize(levels, (width, height), interpolation=cv2.INTER_LINEAR)

"""The surface that panels are drawn on: three planes of a video picture, used as if it were upright RGB."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from livecam.picture.color import Color
from livecam.picture.media import Orientation, Region
from livecam.picture.planes import PLANAR, plane_values

RGB = tuple[int, int, int]
"""A colour: red, green and blue in 0..255."""
BLACK, WHITE = (0, 0, 0), (255, 255, 255)

_BOX_KEEPS = 0.35
"""The share of the picture that shines through the box behind a text."""
_FINER = 2
"""The resolution, relative to the map, of the grid on which colours are looked up before they are stretched.

Looking up a colour for every pixel costs as much as stretching and blending together. With two steps from each of the
map's points to the next the stretched colours are half a level off on average, and blending halves that again."""


@dataclass(frozen=True, eq=False)
class Palette:
    """256 colours by level, from no heat to full heat: `rgb` is (256, 3) uint8."""

    rgb: np.ndarray


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


class Canvas:
    """A new picture that is drawn over a given one, the ground.

    Drawing is done on the planes as they are coded, turned and with subsampled chroma; coordinates and maps are those
    of the upright picture. The ground is only read. The planes are undefined until `settle`: a map that covers the
    whole picture is blended from the ground into them without a copy first.

    Args:
        ground: The planes below, (h, w) uint8 each, in the order of the pixel format.
        planes: The planes to draw into, of the same shapes.
        pixel_format: The format of both, one of `livecam.picture.planes.PLANAR`.
        color: The colour space and range of both.
        orientation: How the coded picture is turned to stand upright.
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
        self._shapes = tuple(plane.shape for plane in planes)
        self._pixel_format = pixel_format
        self._color = color
        self._orientation = orientation
        height, width = self._shapes[0]
        self.upright_size: tuple[int, int] = orientation.swap(width, height)
        """(width, height) in pixels as shown."""

    @property
    def is_settled(self) -> bool:
        """True if the planes hold the complete picture."""
        return self._ground is self._planes

    def settle(self) -> None:
        """Complete the planes by copying the ground to where nothing has been drawn."""
        if not self.is_settled:
            for below, plane in zip(self._ground, self._planes, strict=True):
                np.copyto(plane, below)
            self._ground = self._planes

    def fill(self, rgb: RGB) -> None:
        """Paint the whole picture in one colour."""
        for plane, value in zip(self._planes, self._ink(rgb), strict=True):
            plane[:] = value
        self._ground = self._planes

    def blend(
        self, levels: np.ndarray, region: Region, palette: Palette, opacity: float | np.ndarray, blocks: bool = False
    ) -> None:
        """Blend the colours of a map over a region of the picture.

        Blending is linear and the palette is converted to the colour space of the planes, so that the result equals a
        blend in RGB up to rounding and the resolution of the chroma.

        Args:
            levels: The map of the region, upright, (h, w) uint8; it is stretched to the region's size.
            region: The part of the upright picture that the map covers; it may reach beyond the picture.
            palette: The colours by level.
            opacity: In 0..1: one for all levels, or a float32 table by level, (256,).
            blocks: Draw each cell of the map as a block instead of interpolating between them.
        """
        levels, places = self._laid_out(levels, region)
        if not all(place.covers for place in places):
            self.settle()
        for below, plane, table, place in zip(self._ground, self._planes, self._table(palette), places, strict=True):
            below, target = below[place.where], plane[place.where]
            if isinstance(opacity, np.ndarray):
                keeps, adds = (_colored(levels, weights, place, blocks) for weights in _premultiplied(table, opacity))
                _composite(target, below, keeps, adds)
            elif opacity == 1:
                np.copyto(target, _colored(levels, table, place, blocks))
            else:
                cv2.addWeighted(below, 1 - opacity, _colored(levels, table, place, blocks), opacity, 0, dst=target)
        self._ground = self._planes

    def write(self, letters: np.ndarray, x: int, y: int, rgb: RGB) -> None:
        """Write letters on a darkened box.

        Args:
            letters: How much of each pixel of the box the letters cover, (h, w) uint8.
            x: The left border of the box in the upright picture, even.
            y: Its upper border, even.
            rgb: The colour of the letters.
        """
        self.settle()
        left, top = self._coded_corner(x, y, letters)
        cover = self._orientation.coded(letters)
        tables = _letter_tables(rgb, self._pixel_format, self._color)
        for plane, (across, down), weights in zip(self._planes, self._spans, tables, strict=True):
            part = np.ascontiguousarray(cover[::down, ::across])
            target = plane[top // down :, left // across :][: part.shape[0], : part.shape[1]]
            part = part[: target.shape[0], : target.shape[1]]
            keeps, adds = (cv2.LUT(part, table) for table in weights)
            _composite(target, target, keeps, adds)

    def outline(self, levels: np.ndarray, region: Region, *, level: int, rgb: RGB) -> None:
        """Draw the contour of a map at a level, as a line on a wider dark line.

        Args:
            levels: The map, as for `blend`.
            region: The part of the upright picture that it covers.
            level: The lowest level inside the contour, 1..255.
            rgb: The colour of the line.
        """
        self.settle()
        levels, (place, *_) = self._laid_out(levels, region)
        stretched = _stretched(levels, place.width, place.height)[place.inside]
        _, hot = cv2.threshold(stretched, level - 1, 1, cv2.THRESH_BINARY)
        rows, columns = place.where
        corner = (columns.start, rows.start)
        borders, _ = cv2.findContours(hot, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=corner)
        thickness = max(2, round(min(self.upright_size) / 270))
        inks = zip(self._ink(BLACK), self._ink(rgb), strict=True)
        for plane, (across, down), (dark, ink) in zip(self._planes, self._spans, inks, strict=True):
            scaled = [border // (across, down) for border in borders]
            for value, wider in ((dark, 2), (ink, 0)):
                cv2.polylines(plane, scaled, True, value, max(thickness // across, 1) + wider // across)

    def _ink(self, rgb: RGB) -> tuple[int, ...]:
        """Return the value of a colour in each plane."""
        return _ink(rgb, self._pixel_format, self._color)

    def _table(self, palette: Palette) -> np.ndarray:
        """Return the values of a palette in each plane, (3, 256) uint8."""
        return _table(palette, self._pixel_format, self._color)

    def _laid_out(self, levels: np.ndarray, region: Region) -> tuple[np.ndarray, tuple[Place, ...]]:
        """Turn a map of the upright picture into one of the coded picture, and return its place in each plane too."""
        coded = np.ascontiguousarray(self._orientation.coded(levels))
        return coded, _places(region, self._orientation, self._shapes)

    @property
    def _spans(self) -> tuple[tuple[int, int], ...]:
        """The number of picture pixels that a pixel of each plane spans, (across, down)."""
        chroma = PLANAR[self._pixel_format]
        return (1, 1), chroma, chroma

    def _coded_corner(self, x: int, y: int, box: np.ndarray) -> tuple[int, int]:
        """Return the top left corner in the coded picture, (x, y), of a box at (x, y) in the upright picture."""
        (width, height), (box_height, box_width) = self.upright_size, box.shape
        if self._orientation.flipped_x:
            x = width - x - box_width
        if self._orientation.flipped_y:
            y = height - y - box_height
        left, top = self._orientation.swap(x, y)
        return max(left, 0), max(top, 0)


@functools.lru_cache(maxsize=64)
def _places(region: Region, orientation: Orientation, shapes: tuple[tuple[int, int], ...]) -> tuple[Place, ...]:
    """Return for each plane shape the place of a map that covers a region of the upright picture."""
    coded = region.coded(orientation)
    return tuple(_place(coded, *shape) for shape in shapes)


def _place(region: Region, plane_height: int, plane_width: int) -> Place:
    left, top = round(region.left * plane_width), round(region.top * plane_height)
    width = max(round(region.right * plane_width) - left, 1)
    height = max(round(region.bottom * plane_height) - top, 1)
    x, y = max(left, 0), max(top, 0)
    x_end, y_end = min(left + width, plane_width), min(top + height, plane_height)
    return Place(
        width,
        height,
        where=(slice(y, y_end), slice(x, x_end)),
        inside=(slice(y - top, y_end - top), slice(x - left, x_end - left)),
        covers=(x, y, x_end, y_end) == (0, 0, plane_width, plane_height),
    )


@functools.lru_cache(maxsize=64)
def _ink(rgb: RGB, pixel_format: str, color: Color) -> tuple[int, ...]:
    return tuple(plane_values(np.array([rgb], np.uint8), pixel_format, color)[0].tolist())


@functools.lru_cache(maxsize=64)
def _table(palette: Palette, pixel_format: str, color: Color) -> np.ndarray:
    return np.ascontiguousarray(plane_values(palette.rgb, pixel_format, color).T)


@functools.lru_cache(maxsize=64)
def _letter_tables(rgb: RGB, pixel_format: str, color: Color) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return for each plane, by coverage of letters, the share kept of the picture and the colour added to it."""
    ramp = np.linspace(BLACK, rgb, 256).round().astype(np.uint8)
    opacity = 1 - _BOX_KEEPS * np.linspace(1, 0, 256)
    return [_premultiplied(table, opacity) for table in plane_values(ramp, pixel_format, color).T]


def _premultiplied(table: np.ndarray, opacity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return by level the share kept of the picture below, in 255ths, and the value added to it; both uint8."""
    keeps = np.round(255 * (1 - opacity))
    return keeps.astype(np.uint8), np.round(table * (1 - keeps / 255)).astype(np.uint8)


def _composite(target: np.ndarray, below: np.ndarray, keeps: np.ndarray, adds: np.ndarray) -> None:
    """Write `below * keeps / 255 + adds` into the target; all are (h, w) uint8."""
    cv2.multiply(below, keeps, dst=target, scale=1 / 255)
    cv2.add(target, adds, dst=target)


def _colored(levels: np.ndarray, table: np.ndarray, place: Place, blocks: bool) -> np.ndarray:
    """Look up levels in a table, (256,) uint8, and stretch the result to its place in a plane."""
    height, width = levels.shape
    if blocks:
        size = (place.width, place.height)
        return cv2.resize(cv2.LUT(levels, table), size, interpolation=cv2.INTER_NEAREST_EXACT)[place.inside]
    # If the plane is hardly larger than the finer grid, a second stretch would cost more than it saves.
    if max(width / place.width, height / place.height) * _FINER <= 0.5:
        finer = cv2.LUT(_stretched(levels, width * _FINER, height * _FINER), table)
        return _stretched(finer, place.width, place.height)[place.inside]
    return cv2.LUT(_stretched(levels, place.width, place.height)[place.inside], table)


def _stretched(levels: np.ndarray, width: int, height: int) -> np.ndarray:
    return cv2.resize(levels, (width, height), interpolation=cv2.INTER_LINEAR)

"""The surface that panels are drawn on: three planes of a video picture, used as if it were upright RGB."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import cv2
import numpy as np

from livecam.picture.color import Color
from livecam.picture.media import Orientation, Region
from livecam.picture.planes import PLANAR, plane_values
from livecam.render.stretching import Place, clipped, colored, looked_up_on, stretched, trimmed

RGB = tuple[int, int, int]
"""A colour: red, green and blue in 0..255."""
BLACK, WHITE = (0, 0, 0), (255, 255, 255)

_MARKS_PER_SIDE = 60
"""The shorter side of the picture by the radius of a mark."""
_LINES_PER_SIDE = 240
"""The shorter side of the picture by the width of a line."""
BOX_KEEPS = 0.35
"""The share of the picture that shines through the box behind a text."""


@dataclass(frozen=True, eq=False)
class Palette:
    """256 colours by level, from no heat to full heat.

    Attributes:
        rgb: The colours, (256, 3) uint8.
        opacity: Their opacity in 0..1: one for all, or by level, (256,) float32.
    """

    rgb: np.ndarray
    opacity: float | np.ndarray = 1.0

    @functools.cached_property
    def kept(self) -> np.ndarray | None:
        """The share of the picture below that is kept, by level, (256,) uint8 in 255ths; None if it is one for all."""
        return _kept(self.opacity) if isinstance(self.opacity, np.ndarray) else None


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

    def blend(self, levels: np.ndarray, region: Region, palette: Palette, *, blocks: bool = False) -> None:
        """Blend the colours of a map over a region of the picture.

        Blending is linear and the palette is converted to the colour space of the planes, so that the result equals a
        blend in RGB up to rounding and the resolution of the chroma.

        Args:
            levels: The map of the region, upright, (h, w) uint8; it is stretched to the region's size.
            region: The part of the upright picture that the map covers; it may reach beyond the picture.
            palette: The colours by level, and their opacity.
            blocks: Draw each cell of the map as a block instead of interpolating between them.
        """
        levels, places = self._laid_out(levels, region)
        if palette.kept is not None:
            levels, places = trimmed(levels, places, palette.kept < 255, self._shapes)
            if not levels.size:
                return
        if not all(place.covers for place in places):
            self.settle()
        layers = zip(places, self._ground, self._planes, self._added(palette), strict=True)
        for place, alike in groupby(layers, key=itemgetter(0)):
            grid = looked_up_on(levels, place, blocks)
            keeps = None if palette.kept is None else colored(grid, palette.kept, place, blocks)
            for _, below, plane, table in alike:
                adds, target, below = colored(grid, table, place, blocks), plane[place.where], below[place.where]
                if keeps is None:
                    _mix(target, below, adds, float(palette.opacity))
                else:
                    _composite(target, below, keeps, adds)
        self._ground = self._planes

    def write(self, letters: np.ndarray, x: int, y: int, rgb: RGB, *, fill: RGB | None = None) -> None:
        """Write letters on a darkened box, or on one that is filled with a colour.

        Args:
            letters: How much of each pixel of the box the letters cover, (h, w) uint8.
            x: The left border of the box in the upright picture, even.
            y: Its upper border, even.
            rgb: The colour of the letters.
            fill: The colour of the box; None darkens it.
        """
        self.settle()
        left, top = self._coded_corner(x, y, letters)
        cover = self._orientation.coded(letters)
        tables = _letter_tables(rgb, fill, self._pixel_format, self._color)
        for plane, (across, down), weights in zip(self._planes, self._spans, tables, strict=True):
            part = np.ascontiguousarray(cover[::down, ::across])
            target = plane[top // down :, left // across :][: part.shape[0], : part.shape[1]]
            part = part[: target.shape[0], : target.shape[1]]
            keeps, adds = (cv2.LUT(part, table) for table in weights)
            _composite(target, target, keeps, adds)

    def frame(self, region: Region, rgb: RGB, *, wide: bool) -> None:
        """Draw the border of a region as a line, a wide one on a dark line.

        Args:
            region: The region of the upright picture; the line lies inside of the picture.
            rgb: The colour of the line.
            wide: Draw it three times as wide.
        """
        self.settle()
        thin = max(1, round(min(self.upright_size) / _LINES_PER_SIDE / 2))
        lines = [(4 * thin, BLACK), (3 * thin, rgb)] if wide else [(thin, rgb)]
        for width, ink in lines:
            for place, plane, span, value in zip(
                _places(region, self._orientation, self._shapes), self._planes, self._spans, self._ink(ink), strict=True
            ):
                _draw_frame(plane, place, max(round(width / span[0]), 1), max(round(width / span[1]), 1), value)

    def outline(self, maps: Sequence[np.ndarray], region: Region, *, level: int, colors: Sequence[RGB]) -> None:
        """Draw the contours of maps at a level, as lines on wider dark lines.

        Each line is wider than those of the maps after it, so that all are seen where the contours are the same.

        Args:
            maps: The maps, each as for `blend`.
            region: The part of the upright picture that they cover.
            level: The lowest level inside a contour, 1..255.
            colors: The colour of each line.
        """
        self.settle()
        thickness = self._line
        borders = [self._borders(levels, region, level, 2 * thickness * len(maps)) for levels in maps]
        inks = [self._ink(BLACK), *map(self._ink, colors)]
        for plane, (across, down), (dark, *values) in zip(
            self._planes, self._spans, zip(*inks, strict=True), strict=True
        ):
            scaled = [[border // (across, down) for border in each] for each in borders]
            lines = [max(thickness * lines // across, 1) for lines in range(len(maps), 0, -1)]
            for lengths, line in zip(scaled, lines, strict=True):
                cv2.polylines(plane, lengths, True, dark, line + max(2 // across, 1))
            for lengths, line, value in zip(scaled, lines, values, strict=True):
                cv2.polylines(plane, lengths, True, value, line)

    def mark(self, x: float, y: float, rgb: RGB) -> None:
        """Draw a ring around a point, (x, y) in fractions of the upright picture, on a wider dark one."""
        self.settle()
        radius, line = max(3, round(min(self.upright_size) / _MARKS_PER_SIDE)), self._line
        left, top = Region(x, y, x, y).coded(self._orientation)[:2]
        inks = zip(self._ink(BLACK), self._ink(rgb), strict=True)
        for plane, (across, down), (dark, value) in zip(self._planes, self._spans, inks, strict=True):
            centre = int(left * plane.shape[1]), int(top * plane.shape[0])
            axes = max(radius // across, 1), max(radius // down, 1)
            cv2.ellipse(plane, centre, axes, 0, 0, 360, dark, max(line // across, 1) + max(2 // across, 1))
            cv2.ellipse(plane, centre, axes, 0, 0, 360, value, max(line // across, 1))

    @property
    def _line(self) -> int:
        """The width of a line in pixels."""
        return max(2, round(min(self.upright_size) / _LINES_PER_SIDE))

    def _borders(self, levels: np.ndarray, region: Region, level: int, beyond: int) -> Sequence[np.ndarray]:
        """Return the contours of a map in pixels of the coded picture, (n, 1, 2) int32 each.

        A contour that comes to the border of the picture goes on for `beyond` pixels outside of it, so that no line is
        drawn along the border.
        """
        levels, (place, *_) = self._laid_out(levels, region)
        pixels = stretched(levels, place.width, place.height)[place.inside]
        _, hot = cv2.threshold(pixels, level - 1, 1, cv2.THRESH_BINARY)
        rows, columns = place.where
        height, width = self._shapes[0]
        top, left = beyond * (rows.start == 0), beyond * (columns.start == 0)
        bottom, right = beyond * (rows.stop == height), beyond * (columns.stop == width)
        hot = cv2.copyMakeBorder(hot, top, bottom, left, right, cv2.BORDER_REPLICATE)
        corner = (columns.start - left, rows.start - top)
        return cv2.findContours(hot, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE, offset=corner)[0]

    def _ink(self, rgb: RGB) -> tuple[int, ...]:
        """Return the value of a colour in each plane."""
        return _ink(rgb, self._pixel_format, self._color)

    def _table(self, palette: Palette) -> np.ndarray:
        """Return the values of a palette in each plane, (3, 256) uint8."""
        return _table(palette, self._pixel_format, self._color)

    def _added(self, palette: Palette) -> np.ndarray:
        """Return what a palette adds to what is kept of each plane, (3, 256) uint8."""
        return _added_by(palette, self._pixel_format, self._color)

    def _laid_out(self, levels: np.ndarray, region: Region) -> tuple[np.ndarray, Sequence[Place]]:
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


def _draw_frame(plane: np.ndarray, place: Place, across: int, down: int, value: int) -> None:
    """Draw the border of a place inside of it, lines of so many pixels across and down."""
    inside = plane[place.where]
    inside[:down] = inside[-down:] = value
    inside[:, :across] = inside[:, -across:] = value


@functools.lru_cache(maxsize=64)
def _places(region: Region, orientation: Orientation, shapes: tuple[tuple[int, int], ...]) -> tuple[Place, ...]:
    """Return for each plane shape the place of a map that covers a region of the upright picture."""
    coded = region.coded(orientation)
    return tuple(_place(coded, *shape) for shape in shapes)


def _place(region: Region, plane_height: int, plane_width: int) -> Place:
    left, top = round(region.left * plane_width), round(region.top * plane_height)
    width = max(round(region.right * plane_width) - left, 1)
    height = max(round(region.bottom * plane_height) - top, 1)
    return clipped(left, top, width, height, plane_height, plane_width)


@functools.lru_cache(maxsize=64)
def _ink(rgb: RGB, pixel_format: str, color: Color) -> tuple[int, ...]:
    return tuple(plane_values(np.array([rgb], np.uint8), pixel_format, color)[0].tolist())


@functools.lru_cache(maxsize=64)
def _table(palette: Palette, pixel_format: str, color: Color) -> np.ndarray:
    return np.ascontiguousarray(plane_values(palette.rgb, pixel_format, color).T)


@functools.lru_cache(maxsize=64)
def _added_by(palette: Palette, pixel_format: str, color: Color) -> np.ndarray:
    table = _table(palette, pixel_format, color)
    return table if palette.kept is None else _added(table, palette.kept)


@functools.lru_cache(maxsize=64)
def _letter_tables(rgb: RGB, fill: RGB | None, pixel_format: str, color: Color) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return for each plane, by coverage of letters, the share kept of the picture and the colour added to it."""
    ramp = np.linspace(fill or BLACK, rgb, 256).round().astype(np.uint8)
    kept = _kept(1 - (0 if fill else BOX_KEEPS) * np.linspace(1, 0, 256))
    return [(kept, _added(table, kept)) for table in plane_values(ramp, pixel_format, color).T]


def _kept(opacity: np.ndarray) -> np.ndarray:
    """Return by level the share that is kept of the picture below, (256,) uint8, in 255ths."""
    return np.round(255 * (1 - opacity)).astype(np.uint8)


def _added(table: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return by level the value that is added to what is kept, (..., 256) uint8."""
    return np.round(table * (1 - kept / 255)).astype(np.uint8)


def _mix(target: np.ndarray, below: np.ndarray, colors: np.ndarray, opacity: float) -> None:
    """Write `below * (1 - opacity) + colors * opacity` into the target; all are (h, w) uint8."""
    if opacity == 1:
        np.copyto(target, colors)
    else:
        cv2.addWeighted(below, 1 - opacity, colors, opacity, 0, dst=target)


def _composite(target: np.ndarray, below: np.ndarray, keeps: np.ndarray, adds: np.ndarray) -> None:
    """Write `below * keeps / 255 + adds` into the target; all are (h, w) uint8."""
    if target.size:  # else all of it lies beyond the picture
        cv2.multiply(below, keeps, dst=target, scale=1 / 255)
        cv2.add(target, adds, dst=target)

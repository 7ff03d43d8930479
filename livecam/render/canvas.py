"""The surface that is drawn on: three planes that may be turned and subsampled, addressed as an upright RGB picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from livecam.color import Color
from livecam.media import Orientation, Region
from livecam.planes import plane_values

_BOX_KEEPS = 0.35
"""How much of the picture shines through the box behind a text."""


@dataclass(frozen=True)
class Canvas:
    """Planes (h, w) uint8 of a picture in `pixel_format`, to be changed in place."""

    planes: Sequence[np.ndarray]
    pixel_format: str
    color: Color
    orientation: Orientation = Orientation()

    @property
    def upright_size(self) -> tuple[int, int]:
        """(width, height) as shown."""
        height, width = self.planes[0].shape
        return self.orientation.swap(width, height)

    def values(self, rgb: np.ndarray) -> np.ndarray:
        """(N, 3) uint8 RGB -> (3, N) uint8, what it takes in each plane."""
        return np.ascontiguousarray(plane_values(rgb, self.pixel_format, self.color).T)

    def fill(self, rgb: tuple[int, int, int]) -> None:
        """One colour all over."""
        for plane, (value,) in zip(self.planes, self.values(np.array([rgb], np.uint8)), strict=True):
            plane[:] = value

    def blend(
        self, levels: np.ndarray, region: Region, palette: np.ndarray, opacity: float | np.ndarray, blocks: bool = False
    ) -> None:
        """Colour a region of the upright picture by `levels`, (h, w) uint8 of it, through `palette`, (256, 3) RGB.

        The opacity, in 0..1, is one for all or a (256,) table by level. The levels are stretched smoothly, or as
        `blocks`. Blending is linear and the palette is converted to the planes' colour space, so this equals a blend in
        RGB up to rounding and the resolution of the chroma.
        """
        levels = np.ascontiguousarray(self.orientation.coded(levels))
        region = region.coded(self.orientation)
        spread: dict[tuple[int, ...], tuple[tuple[slice, slice], np.ndarray]] = {}
        for plane, table in zip(self.planes, self.values(palette), strict=True):
            if plane.shape not in spread:  # the planes of the chroma share theirs
                spread[plane.shape] = _spread(levels, region, plane.shape[1], plane.shape[0], blocks)
            where, there = spread[plane.shape]
            target, ink = plane[where], cv2.LUT(there, table)
            if isinstance(opacity, np.ndarray):
                change = (ink.astype(np.float32) - target) * cv2.LUT(there, opacity.astype(np.float32))
                target[:] = np.round(target + change)
            else:
                cv2.addWeighted(target, 1 - opacity, ink, opacity, 0, dst=target)

    def write(self, letters: np.ndarray, x: int, y: int, rgb: tuple[int, int, int]) -> None:
        """Put letters, (h, w) float32 coverage in 0..1, on a darkened box; (x, y) is its top left corner, even."""
        height, width = letters.shape
        cover = self.orientation.coded(letters)
        values = self.values(np.array([(0, 0, 0), rgb], np.uint8)).astype(np.float32)
        for plane, (across, down), (black, ink) in zip(self.planes, self._spans(), values, strict=True):
            where = plane[self._slices(x, y, width, height, across, down)]
            weight = cover[::down, ::across][: where.shape[0], : where.shape[1]]
            keeps = _BOX_KEEPS * (1 - weight)
            where[:] = np.round(where * keeps + (black + weight * (ink - black)) * (1 - keeps))

    def outline(self, levels: np.ndarray, region: Region, *, level: int, rgb: tuple[int, int, int]) -> None:
        """Draw the border of where the levels reach `level`, in a colour on a dark line; the rest as in `blend`."""
        levels = np.ascontiguousarray(self.orientation.coded(levels))
        height, width = self.planes[0].shape
        (rows, columns), there = _spread(levels, region.coded(self.orientation), width, height, blocks=False)
        borders, _ = cv2.findContours(
            (there >= level).astype(np.uint8),
            cv2.RETR_EXTERNAL,
            cv2.CHAIN_APPROX_NONE,
            offset=(columns.start, rows.start),
        )
        thickness = max(2, round(min(height, width) / 270))
        values = self.values(np.array([(0, 0, 0), rgb], np.uint8))
        for plane, (across, down), (black, ink) in zip(self.planes, self._spans(), values, strict=True):
            scaled = [border // (across, down) for border in borders]
            for value, wider in ((black, 2), (ink, 0)):
                cv2.polylines(plane, scaled, True, int(value), max(thickness // across, 1) + wider // across)

    def _spans(self) -> Iterator[tuple[int, int]]:
        """For each plane, how many pixels one of its own spans: (across, down)."""
        height, width = self.planes[0].shape
        for plane in self.planes:
            yield -(-width // plane.shape[1]), -(-height // plane.shape[0])

    def _slices(self, x: int, y: int, width: int, height: int, across: int, down: int) -> tuple[slice, slice]:
        """A rectangle of the upright picture in a plane whose pixels span so many."""
        full_width, full_height = self.upright_size
        if self.orientation.flipped_x:
            x = full_width - x - width
        if self.orientation.flipped_y:
            y = full_height - y - height
        (x, y), (width, height) = self.orientation.swap(x, y), self.orientation.swap(width, height)
        x, y = max(x, 0) // across, max(y, 0) // down
        return slice(y, y + -(-height // down)), slice(x, x + -(-width // across))


def _spread(
    levels: np.ndarray, region: Region, width: int, height: int, blocks: bool
) -> tuple[tuple[slice, slice], np.ndarray]:
    """The levels at the size of a plane: (where they lie, what they are there).

    The region may reach beyond the picture; what lies outside is cut off.
    """
    left, right = round(region.left * width), round(region.right * width)
    top, bottom = round(region.top * height), round(region.bottom * height)
    interpolation = cv2.INTER_NEAREST_EXACT if blocks else cv2.INTER_LINEAR
    stretched = cv2.resize(levels, (max(right - left, 1), max(bottom - top, 1)), interpolation=interpolation)
    x, y = max(left, 0), max(top, 0)
    inside = stretched[y - top : height - top, x - left : width - left]
    return (slice(y, y + inside.shape[0]), slice(x, x + inside.shape[1])), inside

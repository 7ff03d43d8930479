"""How a coded picture is turned to stand upright, and rectangles in it."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple, TypeVar

import numpy as np

Side = TypeVar("Side", int, float)


class Orientation(NamedTuple):
    """How a coded picture is turned to stand upright: first its axes are swapped, then columns or rows reversed."""

    transposed: bool = False
    flipped_x: bool = False
    flipped_y: bool = False

    @classmethod
    def of(cls, display_matrix: tuple[int, ...] | None) -> Orientation:
        """Read FFmpeg's 3x3 display matrix, nine 16.16 integers; angles are rounded to quarter turns."""
        if display_matrix is None:
            return cls()
        a, b, _, c, d = display_matrix[:5]
        if abs(b) > abs(a):
            return cls(True, c < 0, b < 0)
        return cls(False, a < 0, d < 0)

    def mirrored(self) -> Orientation:
        """Return this orientation followed by a swap of left and right in the upright picture."""
        return self._replace(flipped_x=not self.flipped_x)

    def upright(self, picture: np.ndarray) -> np.ndarray:
        """View a coded picture, (h, w, ...), as the upright one, (h', w', ...)."""
        turned = picture.swapaxes(0, 1) if self.transposed else picture
        return turned[:: -1 if self.flipped_y else 1, :: -1 if self.flipped_x else 1]

    def coded(self, picture: np.ndarray) -> np.ndarray:
        """View an upright picture, (h', w', ...), as the coded one, (h, w, ...)."""
        turned = picture[:: -1 if self.flipped_y else 1, :: -1 if self.flipped_x else 1]
        return turned.swapaxes(0, 1) if self.transposed else turned

    def swap(self, width: Side, height: Side) -> tuple[Side, Side]:
        """Convert (width, height) of the coded picture to that of the upright one, or back."""
        return (height, width) if self.transposed else (width, height)

    def upright_aspect(self, aspect: Fraction) -> Fraction:
        """Convert the aspect of a pixel, width by height, of the coded picture to that of the upright one."""
        return 1 / aspect if self.transposed else aspect


class Region(NamedTuple):
    """A rectangle in fractions of a picture, (0, 0) top left. It exceeds 0..1 where the model was shown padding."""

    left: float = 0.0
    top: float = 0.0
    right: float = 1.0
    bottom: float = 1.0

    def within(self, whole: Region) -> Region:
        """Convert a region in fractions of another to one in fractions of the picture."""
        (left, top, right, bottom), across, down = self, (whole.left, whole.right), (whole.top, whole.bottom)
        return Region(_between(*across, left), _between(*down, top), _between(*across, right), _between(*down, bottom))

    def coded(self, orientation: Orientation) -> Region:
        """Convert a region of the upright picture to that of the coded one."""
        left, top, right, bottom = self
        if orientation.flipped_x:
            left, right = 1 - right, 1 - left
        if orientation.flipped_y:
            top, bottom = 1 - bottom, 1 - top
        return Region(top, left, bottom, right) if orientation.transposed else Region(left, top, right, bottom)


def _between(first: float, end: float, share: float) -> float:
    return first * (1 - share) + end * share

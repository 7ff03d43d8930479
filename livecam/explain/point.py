"""A point of the picture, such as one that the user clicked at."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from livecam.errors import ModelError

At = str | Sequence[float]
"""A point of the upright picture: the x and y of a pixel, as numbers or as "320,240", or percentages, as "50%,50%"."""
_POINT = re.compile(r"\s*(\d+(?:\.\d+)?)(%?)\s*,\s*(\d+(?:\.\d+)?)(%?)\s*")


class Point(NamedTuple):
    """A point of the upright picture, from its top left corner.

    Attributes:
        x, y: Where it is: the column and the row of a pixel, or percentages of the width and the height.
        is_relative: True for percentages, which name the same place in pictures of all sizes.
    """

    x: float
    y: float
    is_relative: bool = False

    def __str__(self) -> str:
        unit = "%" if self.is_relative else ""
        return ",".join(f"{round(each, 2):g}{unit}" for each in (self.x, self.y))

    def in_picture(self, width: int, height: int) -> tuple[float, float]:
        """Return x and y in fractions of a picture of this size. Raises ModelError if they lie outside of it."""
        if self.is_relative:
            return self.x / 100, self.y / 100
        if self.x >= width or self.y >= height:
            raise ModelError(f"the point {self} lies outside of the picture, which has {width}x{height} pixels")
        return (math.floor(self.x) + 0.5) / width, (math.floor(self.y) + 0.5) / height


def point_of(given: At) -> Point:
    """Return the point that is meant. Raises ModelError."""
    text = given if isinstance(given, str) else ",".join(map(str, given))
    match = _POINT.fullmatch(text)
    if match is None or match[2] != match[4] or (match[2] and max(float(match[1]), float(match[3])) > 100):
        raise ModelError(
            f"{text!r} is no point of the picture; give the x and y of a pixel, such as 320,240, or 50%,50%"
        )
    return Point(float(match[1]), float(match[3]), is_relative=bool(match[2]))

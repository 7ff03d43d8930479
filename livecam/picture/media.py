"""What a source holds besides its pictures, and what a sink must carry over for the copy to be faithful."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple, TypeVar

import av
import numpy as np

from livecam.picture.color import Color

Side = TypeVar("Side", int, float)


class Orientation(NamedTuple):
    """How a coded picture is turned to stand upright: first the axes are swapped, then the rows or columns reversed."""

    transposed: bool = False
    flipped_x: bool = False
    flipped_y: bool = False

    @classmethod
    def of(cls, display_matrix: tuple[int, ...] | None) -> Orientation:
        """From FFmpeg's 3x3 display matrix (nine 16.16 integers); angles between are rounded to a quarter turn."""
        if display_matrix is None:
            return cls()
        a, b, _, c, d = display_matrix[:5]
        if abs(b) > abs(a):
            return cls(True, c < 0, b < 0)
        return cls(False, a < 0, d < 0)

    def mirrored(self) -> Orientation:
        """The same with left and right of the upright picture exchanged."""
        return self._replace(flipped_x=not self.flipped_x)

    def upright(self, picture: np.ndarray) -> np.ndarray:
        """Coded (h, w, ...) -> upright (h', w', ...), a view."""
        turned = picture.swapaxes(0, 1) if self.transposed else picture
        return turned[:: -1 if self.flipped_y else 1, :: -1 if self.flipped_x else 1]

    def coded(self, picture: np.ndarray) -> np.ndarray:
        """Upright (h', w', ...) -> coded (h, w, ...), a view."""
        turned = picture[:: -1 if self.flipped_y else 1, :: -1 if self.flipped_x else 1]
        return turned.swapaxes(0, 1) if self.transposed else turned

    def swap(self, width: Side, height: Side) -> tuple[Side, Side]:
        """(width, height) of one side -> that of the other."""
        return (height, width) if self.transposed else (width, height)


class Region(NamedTuple):
    """A rectangle in fractions of a picture, (0, 0) top left. Beyond 0..1 where the model saw padding."""

    left: float = 0.0
    top: float = 0.0
    right: float = 1.0
    bottom: float = 1.0

    def coded(self, orientation: Orientation) -> Region:
        """From the upright picture to the coded one."""
        left, top, right, bottom = self
        if orientation.flipped_x:
            left, right = 1 - right, 1 - left
        if orientation.flipped_y:
            top, bottom = 1 - bottom, 1 - top
        return Region(top, left, bottom, right) if orientation.transposed else Region(left, top, right, bottom)


@dataclass(frozen=True, kw_only=True)
class Media:
    """The facts of a source. Sizes are those of the coded picture, before `display_matrix` turns it."""

    width: int
    height: int
    pixel_format: str
    """FFmpeg's name of the format that the pictures come in."""
    time_base: Fraction
    rate: Fraction | None = None
    """Average frames a second, as the container tells; only a hint, times come from the frames."""
    sample_aspect_ratio: Fraction | None = None
    color_range: int = 0
    color_space: int = 2
    color_primaries: int = 2
    color_transfer: int = 2
    display_matrix: tuple[int, ...] | None = None
    expected_frames: int | None = None
    """How many frames the container promises or its duration suggests; only for the progress bar."""
    metadata: dict[str, str] = field(default_factory=dict)
    stream_metadata: dict[str, str] = field(default_factory=dict)
    disposition: int = 0
    chapters: list[Any] = field(default_factory=list)
    copied_streams: tuple[av.stream.Stream, ...] = ()
    """Audio, subtitle and attachment streams, whose packets the source hands over as they are."""


def media_of(first: av.VideoFrame, **facts: Any) -> Media:
    """What the first picture of a video tells of all of them; `facts` are the rest."""
    return Media(
        width=first.width,
        height=first.height,
        pixel_format=first.format.name,
        color_range=2 if first.format.name.startswith("yuvj") else first.color_range,
        color_space=Color.space_tag(first),
        color_primaries=first.color_primaries,
        color_transfer=first.color_trc,
        display_matrix=display_matrix_of(first),
        **facts,
    )


def display_matrix_of(picture: av.VideoFrame) -> tuple[int, ...] | None:
    """The nine 16.16 integers that come with a decoded frame, None where there are none."""
    data: Any = picture.side_data.get("DISPLAYMATRIX")
    return struct.unpack("=9i", bytes(data)) if data is not None else None

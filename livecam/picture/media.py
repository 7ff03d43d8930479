"""The facts of a source: size, orientation, colours, times and the streams beside the video."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, NamedTuple, TypeVar

import av
import numpy as np
from av.video.reformatter import ColorRange

from livecam.picture.color import BT709, Color

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

    def coded(self, orientation: Orientation) -> Region:
        """Convert a region of the upright picture to that of the coded one."""
        left, top, right, bottom = self
        if orientation.flipped_x:
            left, right = 1 - right, 1 - left
        if orientation.flipped_y:
            top, bottom = 1 - bottom, 1 - top
        return Region(top, left, bottom, right) if orientation.transposed else Region(left, top, right, bottom)


@dataclass(frozen=True, kw_only=True)
class Media:
    """The facts of a source.

    Attributes:
        width: The width of the coded picture, before `display_matrix` turns it.
        height: Its height.
        pixel_format: FFmpeg's name of the pictures' pixel format.
        time_base: The unit of the frames' times, in seconds.
        rate: The average frame rate according to the container. Only a hint: the frames carry their own times.
        sample_aspect_ratio: Width by height of the coded picture's pixels.
        color_range: FFmpeg's AVColorRange; 0 is unspecified.
        color_space: FFmpeg's AVColorSpace; 2 is unspecified.
        color_primaries: FFmpeg's AVColorPrimaries; 2 is unspecified.
        color_transfer: FFmpeg's AVColorTransferCharacteristic; 2 is unspecified.
        chroma_location: FFmpeg's AVChromaLocation: where between luma samples chroma was sampled; 0 is unspecified.
        projection: The header (`livecam.picture.projection`) of a video of 360 degrees or for both eyes; else empty.
        display_matrix: The nine 16.16 integers that turn the coded picture upright; None if it is upright.
        expected_frames: The number of frames according to the container or its duration; only for the progress bar.
        metadata: The container's tags.
        stream_metadata: The video stream's tags.
        disposition: The video stream's disposition, FFmpeg's bit field.
        chapters: The container's chapters, as PyAV gives them.
        copied_streams: The audio, subtitle and attachment streams, whose packets the source passes on unchanged.
    """

    width: int
    height: int
    pixel_format: str
    time_base: Fraction
    rate: Fraction | None = None
    sample_aspect_ratio: Fraction | None = None
    color_range: int = 0
    color_space: int = 2
    color_primaries: int = 2
    color_transfer: int = 2
    chroma_location: int = 0
    projection: bytes = b""
    display_matrix: tuple[int, ...] | None = None
    expected_frames: int | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    stream_metadata: dict[str, str] = field(default_factory=dict)
    disposition: int = 0
    chapters: list[Any] = field(default_factory=list)
    copied_streams: tuple[av.stream.Stream, ...] = ()

    def in_bt709(self) -> Media:
        """Return these facts for pictures in BT.709, in the limited range."""
        return replace(
            self,
            color_range=int(ColorRange.MPEG),
            color_space=BT709,
            color_primaries=BT709,
            color_transfer=BT709,
        )


def media_of(first: av.VideoFrame, **facts: Any) -> Media:
    """Read the facts of a video from its first picture; `facts` adds those that a picture does not have."""
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
    """Return the display matrix that comes with a decoded picture, nine 16.16 integers, or None."""
    data: Any = picture.side_data.get("DISPLAYMATRIX")
    return struct.unpack("=9i", bytes(data)) if data is not None else None

"""The facts of a source: size, colours, times and the streams beside the video."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import av
from av.video.reformatter import ColorRange

from livecam.picture.color import BT709, Color


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

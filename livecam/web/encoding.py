"""Encoders for pages: each picture becomes one message, as early as it can be decoded there."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from fractions import Fraction
from typing import Protocol

import av
import numpy as np
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from livecam.picture.color import Color
from livecam.picture.planes import planes
from livecam.system import cores

_TIME_BASE = Fraction(1, 90_000)
_KEY_SECONDS = 2.0
"""The longest time between two key frames."""
_MOST_PIXELS = 2560 * 1440
"""Larger pictures are scaled down: they take too long to encode, and few browsers can decode them."""
_MOST_BITS_PER_PIXEL = 6
"""The largest bit rate, for each pixel of the picture."""
_LEAST_BITS = 2_000_000
"""That of small pictures, whose captions could not be read otherwise."""
_JPEG_SCALE = "4"
"""The quantiser of JPEG, from 2 (finest) to 31."""


class Encoder(Protocol):
    """Encodes one picture after the other, (h, w) yuv420p with even sides and of one size."""

    def __call__(self, picture: av.VideoFrame, *, is_key: bool) -> tuple[bytes, bool]:
        """Return the encoded picture, and True if it can be decoded without earlier ones, as is asked by `is_key`."""


class H264:
    """Encodes as H.264 with x264: Annex B, key frames with all parameters, no picture held back."""

    def __init__(self, picture: av.VideoFrame) -> None:
        self._begin_seconds = self._key_seconds = time.perf_counter()
        self._context = context = av.CodecContext.create("libx264", "w")
        context.width, context.height, context.pix_fmt = picture.width, picture.height, "yuv420p"
        context.time_base, context.framerate = _TIME_BASE, Fraction(30)
        context.color_range, context.colorspace = picture.color_range, picture.colorspace
        context.color_primaries, context.color_trc = picture.color_primaries, picture.color_trc
        context.thread_count = 1
        context.gop_size = 2**20  # key frames are asked for, by the clock
        most_bits = max(_MOST_BITS_PER_PIXEL * picture.width * picture.height, _LEAST_BITS)
        context.options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "crf": "23",
            "maxrate": str(most_bits),
            "bufsize": str(most_bits // 2),
        }
        self._last_pts = -1

    def __call__(self, picture: av.VideoFrame, *, is_key: bool) -> tuple[bytes, bool]:
        now_seconds = time.perf_counter()
        if is_key or self._last_pts < 0 or now_seconds > self._key_seconds + _KEY_SECONDS:
            picture.pict_type, self._key_seconds = PictureType.I, now_seconds
        self._last_pts = max(int((now_seconds - self._begin_seconds) / _TIME_BASE), self._last_pts + 1)
        picture.pts, picture.time_base = self._last_pts, _TIME_BASE
        (packet,) = self._context.encode(picture)
        return bytes(packet), packet.is_keyframe


class Jpeg:
    """Encodes each picture as JPEG, for browsers without a decoder of H.264."""

    def __init__(self, picture: av.VideoFrame) -> None:
        self._reformatter = VideoReformatter()
        self._context = context = av.CodecContext.create("mjpeg", "w")
        context.width, context.height, context.pix_fmt = picture.width, picture.height, "yuvj420p"
        context.time_base, context.color_range = _TIME_BASE, ColorRange.JPEG
        context.thread_count = 1
        context.options = {"qmin": _JPEG_SCALE, "qmax": _JPEG_SCALE, "huffman": "default"}

    def __call__(self, picture: av.VideoFrame, *, is_key: bool) -> tuple[bytes, bool]:
        (packet,) = self._context.encode(self._in_jfif_colors(picture))
        return bytes(packet), True

    def _in_jfif_colors(self, picture: av.VideoFrame) -> av.VideoFrame:
        color = Color.of(picture)
        return self._reformatter.reformat(
            picture,
            format="yuvj420p",
            src_colorspace=color.swscale_space,
            src_color_range=color.swscale_range,
            dst_colorspace=Colorspace.ITU601,
            dst_color_range=ColorRange.JPEG,
            threads=cores.SCALER,
        )


ENCODERS: dict[str, type[H264 | Jpeg]] = {"h264": H264, "jpeg": Jpeg}
"""The encoder of each codec, called with a picture of the size and colours to come."""


def codec_for(decodes: Sequence[str]) -> str:
    """Return the first codec that there is an encoder for, of those that a page decodes; else the last of them.

    Builds of FFmpeg under the LGPL have no x264.
    """
    return next((codec for codec in decodes if codec != "h264" or "libx264" in av.codecs_available), decodes[-1])


def to_encode(picture: av.VideoFrame) -> av.VideoFrame:
    """Return a copy for encoders, which write its time and kind.

    Pictures that are too large for browsers are scaled down; of others an odd last row or column is left out.
    """
    scale = min(math.sqrt(_MOST_PIXELS / (picture.width * picture.height)), 1.0)
    width, height = (max(int(side * scale) & ~1, 2) for side in (picture.width, picture.height))
    if scale < 1:
        return VideoReformatter().reformat(picture, width, height, threads=cores.SCALER)
    copy = av.VideoFrame(width, height, "yuv420p")
    for plane, into in zip(planes(picture), planes(copy), strict=True):
        np.copyto(into, plane[: into.shape[0], : into.shape[1]])
    copy.colorspace, copy.color_range = picture.colorspace, picture.color_range
    copy.color_primaries, copy.color_trc = picture.color_primaries, picture.color_trc
    return copy


def form_of(picture: av.VideoFrame) -> tuple[int, ...]:
    """Return what must not change while an encoder is used: size and colours."""
    return (
        picture.width,
        picture.height,
        picture.colorspace,
        picture.color_range,
        picture.color_primaries,
        picture.color_trc,
    )

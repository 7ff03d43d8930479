"""Decoding what the camera of a page sends."""

from __future__ import annotations

from typing import cast

import av
from av.codec.context import Flags

from livecam.web.messages import FrameHeader

LARGEST_PIXELS = 4096 * 2304
"""The largest pictures that a page may send: somewhat more than 4K."""
_DECODERS = {"h264": "h264", "jpeg": "mjpeg"}


class Decoder:
    """Decodes consecutive frames of one codec, each at once."""

    def __init__(self, codec: str) -> None:
        self._context = cast(av.VideoCodecContext, av.CodecContext.create(_DECODERS[codec], "r"))
        self._context.thread_count = 1
        self._context.flags |= Flags.low_delay
        self._context.options = {"max_pixels": str(LARGEST_PIXELS)}
        self._has_key = False

    def __call__(self, header: FrameHeader, payload: bytes | memoryview) -> av.VideoFrame | None:
        """Return the picture of a frame; None if it cannot be decoded, nor any further one up to the next key frame."""
        self._has_key = self._has_key or header.is_key
        picture = self._decoded(payload) if self._has_key else None
        self._has_key = picture is not None
        return picture

    def _decoded(self, payload: bytes | memoryview) -> av.VideoFrame | None:
        try:
            pictures = self._context.decode(av.Packet(bytes(payload))) if len(payload) else []
        except av.FFmpegError:
            return None
        return pictures[-1] if pictures and not pictures[-1].is_corrupt else None

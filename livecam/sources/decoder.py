"""The choice of the decoder of a video stream."""

from __future__ import annotations

import logging
from typing import cast

import av

from livecam.system import cores

log = logging.getLogger("livecam")

_FOR_TRANSPARENCY = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""The decoders that read transparency where FFmpeg's own leave it out, by codec."""
_TAGS = ("color_range", "colorspace", "color_primaries", "color_trc")


def decoder_of(stream: av.VideoStream, name: str) -> av.VideoCodecContext:
    """Return a decoder of the stream's pictures, with their transparency; `name` is what the source is called."""
    own = stream.codec_context
    codec = own.codec.canonical_name
    is_transparent = "1" in (stream.metadata.get(key) for key in ("alpha_mode", "ALPHA_MODE"))
    if not is_transparent or codec not in _FOR_TRANSPARENCY:
        return own
    try:
        decoder = cast(av.VideoCodecContext, av.CodecContext.create(_FOR_TRANSPARENCY[codec], "r"))
    except ValueError:  # PyAV's UnknownCodecError
        log.warning("%s is transparent, which cannot be decoded here: all of it is shown", name)
        return own
    decoder.thread_count = cores.DECODER
    for tag in _TAGS:  # the container's, which a decoder of its own does not know
        setattr(decoder, tag, getattr(own, tag))
    return decoder

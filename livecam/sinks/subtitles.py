"""Subtitles of text, converted to the format that an output takes."""

from __future__ import annotations

from fractions import Fraction
from typing import cast

import av
from av.container import OutputContainer
from av.subtitles.codeccontext import SubtitleCodecContext

TEXT_FORMATS = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}
"""FFmpeg's name of the text that each container holds."""


def is_text(stream: av.stream.Stream) -> bool:
    """Return True for subtitles that are text and can be decoded, not pictures."""
    return stream.codec_context is not None and stream.codec_context.codec.text_sub


def is_filler(packet: av.Packet) -> bool:
    """Return True for the empty text that fills the time between two lines in MP4 and MOV."""
    context = packet.stream.codec_context
    return packet.size <= 2 and context is not None and context.name == "mov_text"


class TextConverter:
    """Converts the packets of a stream of text to the format of a new stream in the output.

    Styles are kept as far as that format knows them.

    Attributes:
        stream: The new stream.
    """

    def __init__(self, template: av.stream.Stream, container: OutputContainer) -> None:
        source = template.codec_context
        self._decoder = cast(SubtitleCodecContext, av.CodecContext.create(source.codec, "r"))
        self._decoder.extradata = source.extradata
        self._decoder.open()
        self.stream = cast(av.stream.Stream, container.add_stream(TEXT_FORMATS[container.format.name]))
        self._encoder = cast(SubtitleCodecContext, self.stream.codec_context)
        self._encoder.time_base = self.stream.time_base = Fraction(1, av.time_base)
        self._encoder.subtitle_header = self._decoder.subtitle_header

    def filter(self, packet: av.Packet) -> list[av.Packet]:
        """Convert a packet, to none if there is no text in it."""
        lines = self._decoder.decode2(packet)
        if not lines:
            return []
        converted = self._encoder.encode_subtitle(lines)
        converted.time_base, converted.duration = packet.time_base, packet.duration
        converted.pts, converted.dts = packet.pts, packet.dts
        return [converted]

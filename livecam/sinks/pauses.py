"""Uncompressed sound in MP4 and MOV, which hold its samples one after the other: pauses become silence."""

from __future__ import annotations

import logging
import re
from fractions import Fraction

import av

log = logging.getLogger("livecam")

_SILENCE = {"pcm_u8": b"\x80", "pcm_alaw": b"\xd5", "pcm_mulaw": b"\xff"}
"""The byte of silence where it is not 0."""
_LEAST_SECONDS = 0.002  # Matroska rounds times to milliseconds
_LONGEST_SECONDS = 600


class PauseFiller:
    """Fills the pauses between packets of PCM with silence, so that what follows keeps its time.

    Args:
        stream: The stream of PCM.
        name: What it is called in the note on the first pause.
    """

    def __init__(self, stream: av.AudioStream, name: str) -> None:
        self._rate = stream.rate
        codec = stream.codec_context.name
        self._sample_bytes = int((re.findall("[0-9]+", codec) or ["8"])[0]) // 8 * stream.channels
        self._silence = _SILENCE.get(codec, b"\0")
        self._name = name
        self._end: int | None = None  # in samples
        self._is_told = False

    def filter(self, packet: av.Packet) -> list[av.Packet]:
        """Return a packet, with the silence before it, at times that follow one another; an older one unchanged."""
        if packet.pts is None:
            return [packet]
        begin = round(packet.pts * packet.time_base * self._rate)
        end = begin if self._end is None else self._end
        pause_seconds = (begin - end) / self._rate
        if not -_LEAST_SECONDS <= pause_seconds <= _LONGEST_SECONDS:
            return [packet]
        silence = [self._silent(end, begin - end)] if pause_seconds > _LEAST_SECONDS else []
        self._place(packet, begin if silence else end)
        return [*silence, packet]

    def _silent(self, begin: int, samples: int) -> av.Packet:
        if not self._is_told:
            log.warning("%s has pauses, which the output cannot hold: filled with silence", self._name)
        self._is_told = True
        silent = av.Packet(self._silence * samples * self._sample_bytes)
        self._place(silent, begin)
        return silent

    def _place(self, packet: av.Packet, begin: int) -> None:
        packet.pts = packet.dts = begin
        packet.time_base, packet.duration = Fraction(1, self._rate), packet.size // self._sample_bytes
        self._end = begin + packet.duration

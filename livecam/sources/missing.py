"""What a file or a stream promises but does not hold: frames at its end, parts of a playlist, the end of a stream."""

from __future__ import annotations

import math
from itertools import takewhile

import av

from livecam.sources.inputs import is_stream

_LEAST_GAP_SECONDS = 0.5
"""Playlists tell durations only roughly."""


class Missing:
    """Follows the packets of a video stream, and compares them with what the file promises.

    Attributes:
        is_playlist: True if the file is a playlist, of which parts may be missing anywhere.
    """

    def __init__(self, container: av.container.InputContainer, stream: av.VideoStream) -> None:
        self.is_playlist = container.format.name == "hls"
        self._stream = stream
        self._rate = float(stream.average_rate or stream.guessed_rate or 0)
        self._tick_seconds = float(stream.time_base or 0)
        self._whole_seconds = (container.duration or 0) / av.time_base
        self._last_dts = -math.inf
        self._begin_seconds, self._end_seconds = math.inf, -math.inf
        self._gaps_seconds = 0.0

    @property
    def end_seconds(self) -> float:
        """The end of the last packet that was read, on the file's clock."""
        return self._end_seconds

    def take(self, packet: av.Packet) -> None:
        """Record a packet that was read."""
        time = packet.dts if packet.pts is None else packet.pts
        if time is None:
            return
        begin_seconds = time * self._tick_seconds
        if _LEAST_GAP_SECONDS <= begin_seconds - self._end_seconds < math.inf:
            self._gaps_seconds += begin_seconds - self._end_seconds
        usual_seconds = 1 / self._rate if self._rate else 0.0
        duration_seconds = packet.duration * self._tick_seconds if packet.duration else usual_seconds
        self._last_dts = packet.dts if packet.dts is not None else self._last_dts
        self._begin_seconds = min(self._begin_seconds, begin_seconds)
        self._end_seconds = max(self._end_seconds, begin_seconds + duration_seconds)

    def frames(self) -> int:
        """Count the missing frames, once the last packet was read."""
        if self.is_playlist:
            return round((self._gaps_seconds + self._edges_seconds()) * self._rate)
        if self._stream.frames:
            later = takewhile(lambda entry: entry.timestamp > self._last_dts, reversed(self._stream.index_entries))
            return sum(1 for _ in later)
        promised_seconds = _tagged_seconds(self._stream)
        if promised_seconds is None or self._end_seconds < 0:
            return 0
        return max(round((promised_seconds - self._end_seconds) * self._rate), 0)

    def _edges_seconds(self) -> float:
        """Return how much of a playlist is missing at its ends; 0 if it rounds durations to whole seconds."""
        missing_seconds = self._whole_seconds - (self._end_seconds - self._begin_seconds)
        is_exact = self._whole_seconds % 1 > 0
        return missing_seconds if is_exact and missing_seconds >= _LEAST_GAP_SECONDS else 0.0


def break_off(container: av.container.InputContainer, end_seconds: float) -> str:
    """Return how a stream has broken off that ended without an error, empty if it is complete or a file.

    HTTP that announces its length fails by itself. A stream that announces none ends the same way whether its sender
    has finished or died, so it counts as broken off.

    Args:
        container: The stream, read to its end.
        end_seconds: The end of its last picture, on the stream's clock.
    """
    if not is_stream(container.name) or ((container.size or 0) > 0 and container.format.name != "hls"):
        return ""
    if container.duration is None:
        return "ended; its length was not announced, so it may have broken off"
    promised_seconds = container.duration / av.time_base
    read_seconds = end_seconds - (container.start_time or 0) / av.time_base
    if read_seconds >= promised_seconds - _LEAST_GAP_SECONDS:
        return ""
    return f"breaks off after {read_seconds:.1f} of {promised_seconds:.1f} s"


def _tagged_seconds(stream: av.VideoStream) -> float | None:
    """Return the end of a stream from the tag that most Matroska files have: 00:01:02.345000000."""
    try:
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except (KeyError, ValueError):
        return None

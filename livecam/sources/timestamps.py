"""The presentation times of decoded pictures, even if the file lacks them, and seeking to a part of a video."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from itertools import takewhile

import av


class Timestamps:
    """Sets the times of decoded pictures, from the packets of one video stream that went into the decoder.

    Normally the time is the decoder's own pts. AVI stores only decoding times, from which FFmpeg derives wrong pts if
    there are B-frames; so in AVI the n-th picture shown gets the n-th stored time.
    """

    def __init__(self, stream: av.VideoStream) -> None:
        self.repaired = 0
        self._stream = stream
        self._last_dts = -math.inf
        self._end: int | None = None
        self._stores_pts = stream.container.format.name != "avi"
        self._dts: deque[int] = deque()
        self._last: int | None = None

    def take(self, packet: av.Packet) -> None:
        """Record a packet that goes into the decoder."""
        if not packet.size:
            return
        self._last_dts = packet.dts if packet.dts is not None else self._last_dts
        if not self._stores_pts and packet.dts is not None:
            self._dts.append(packet.dts)
        begin = packet.pts if packet.pts is not None else packet.dts
        if begin is not None:
            self._end = max(self._end or begin, begin + (packet.duration or 0))

    def give(self, picture: av.VideoFrame) -> None:
        """Set the time of a decoded picture, always later than that of the previous one."""
        pts = self._dts.popleft() if self._dts else picture.pts
        if pts is None or (self._last is not None and pts <= self._last):
            self.repaired += 1
            pts = 0 if self._last is None else self._last + (picture.duration or 1)
        picture.pts = self._last = pts

    def missing_at_end(self) -> int:
        """Count the frames missing after the last packet, according to the header's index, else its duration."""
        if self._stream.frames:
            later = takewhile(lambda entry: entry.timestamp > self._last_dts, reversed(self._stream.index_entries))
            return sum(1 for _ in later)
        promised_seconds, rate = _tagged_duration_seconds(self._stream), self._stream.average_rate
        if promised_seconds is None or rate is None or self._end is None or self._stream.time_base is None:
            return 0
        missing_seconds = promised_seconds - float(self._end * self._stream.time_base)
        return max(round(missing_seconds * rate), 0)


def _tagged_duration_seconds(stream: av.VideoStream) -> float | None:
    """Return the end of a stream from the tag that most Matroska files have: 00:01:02.345000000."""
    try:
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except (KeyError, ValueError):
        return None


class Part:
    """A part of a video: seeks to its start, selects its pictures and packets, and shifts their times.

    Times then count from the start of the part; a whole file keeps its times.
    """

    def __init__(
        self, container: av.container.InputContainer, start_seconds: float, duration_seconds: float | None
    ) -> None:
        origin = (container.start_time or 0) / av.time_base
        self.is_part = start_seconds > 0 or duration_seconds is not None
        self.has_all_pictures = False
        self._waits_for: set[int] = set()
        self._begin = origin + start_seconds
        self._end = math.inf if duration_seconds is None else self._begin + duration_seconds
        total = container.duration / av.time_base - start_seconds if container.duration else None
        self.expected_seconds = min(filter(None, (total, duration_seconds)), default=None)
        if start_seconds > 0:
            container.seek(int(self._begin * av.time_base))

    def waits_for(self, streams: Iterable[av.stream.Stream]) -> None:
        """Set the other streams to read to the end of the part: a file may store sound well after its picture."""
        self._waits_for = {stream.index for stream in streams}

    @property
    def is_over(self) -> bool:
        """True if nothing of the part is left to be read."""
        return self.has_all_pictures and not self._waits_for

    def keeps_picture(self, picture: av.VideoFrame) -> bool:
        """Return True if a picture is in the part; decoding stops at the first picture after its end."""
        if not self.is_part:
            return True
        time_base, pts = picture.time_base, picture.pts
        assert time_base is not None and pts is not None  # Timestamps gave it one
        seconds = float(pts * time_base)
        self.has_all_pictures = self.has_all_pictures or seconds >= self._end
        if self.has_all_pictures or seconds < self._begin - float(time_base) / 2:
            return False
        picture.pts = pts - round(self._begin / time_base)
        return True

    def keeps_packet(self, packet: av.Packet) -> bool:
        """Return True if a packet begins in the part: it is then copied whole."""
        if not self.is_part:
            return True
        if packet.pts is None:
            return False
        seconds = float(packet.pts * packet.time_base)
        if seconds >= self._end:
            self._waits_for.discard(packet.stream.index)
        if not self._begin <= seconds < self._end:
            return False
        shift = round(self._begin / packet.time_base)
        packet.pts -= shift
        packet.dts = packet.dts - shift if packet.dts is not None else packet.pts
        return True

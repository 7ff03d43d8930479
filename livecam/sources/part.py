"""A part of a video: seeking to its start, and the choice of its pictures and packets."""

from __future__ import annotations

import math
from collections.abc import Iterable

import av


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

    def contains(self, seconds: float) -> bool:
        """Return True if a time of the file is in the part."""
        return not self.is_part or self._begin <= seconds < self._end

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

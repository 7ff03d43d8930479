"""The part of a file between --start and --duration."""

from __future__ import annotations

import math
from collections.abc import Iterable

import av


class Clip:
    """Seeks to the start, then says of each picture and packet whether it belongs to the part, and moves its times.

    Times are then counted from the start of the part; a whole file keeps its times as they are.
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
        """Name the streams to be read to the end of the part, too: a file may store sound well after its picture."""
        self._waits_for = {stream.index for stream in streams}

    @property
    def is_over(self) -> bool:
        """Whether nothing of the part is left to be read."""
        return self.has_all_pictures and not self._waits_for

    def keeps_picture(self, picture: av.VideoFrame) -> bool:
        """Whether to keep it; the first one beyond the end is the last to be decoded."""
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
        """Whether to copy it: whole packets that begin inside."""
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

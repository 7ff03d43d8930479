"""The part of a file between --start and --duration."""

from __future__ import annotations

import math

import av


class Clip:
    """Seeks to the start, then says of each picture and packet whether it belongs to the part, and moves its times.

    The part begins at time 0 of the output; a whole file keeps its times as they are.
    """

    def __init__(
        self, container: av.container.InputContainer, start_seconds: float, duration_seconds: float | None
    ) -> None:
        origin = (container.start_time or 0) / av.time_base
        self.is_part = start_seconds > 0 or duration_seconds is not None
        self.is_over = False
        self._begin = origin + start_seconds
        self._end = math.inf if duration_seconds is None else self._begin + duration_seconds
        total = container.duration / av.time_base - start_seconds if container.duration else None
        self.expected_seconds = min(filter(None, (total, duration_seconds)), default=None)
        if start_seconds > 0:
            container.seek(int(self._begin * av.time_base))

    def keeps_picture(self, picture: av.VideoFrame) -> bool:
        """Whether to keep it; the first one beyond the end ends the clip."""
        if not self.is_part:
            return True
        time_base, pts = picture.time_base, picture.pts
        assert time_base is not None and pts is not None  # Timestamps gave it one
        seconds = float(pts * time_base)
        self.is_over = self.is_over or seconds >= self._end
        if self.is_over or seconds < self._begin - float(time_base) / 2:
            return False
        picture.pts = pts - round(self._begin / time_base)
        return True

    def keeps_packet(self, packet: av.Packet) -> bool:
        """Whether to copy it: whole packets that begin inside."""
        if not self.is_part:
            return True
        if packet.pts is None or not self._begin <= float(packet.pts * packet.time_base) < self._end:
            return False
        shift = round(self._begin / packet.time_base)
        packet.pts -= shift
        packet.dts = packet.dts - shift if packet.dts is not None else packet.pts
        return True

"""Recordings that were joined end to end: times that start again are moved behind what came before."""

from __future__ import annotations

import math

import av

_MOST_BACK_SECONDS = 0.1
_MOST_BACK_AFTER_SEEK_SECONDS = 1.0
"""FFmpeg guesses the first times of decoding after a seek, and is wrong if there are B-frames."""
_MOST_AHEAD_SECONDS = 24 * 3600.0  # a recording may pause for hours
_MOST_AHEAD_JOINED_SECONDS = 10.0
_NEAR_SECONDS = 1.0
JOINED_BY_CAT = ("mpegts", "mpeg")
"""Formats whose recordings can be joined with `cat`: there a jump ahead by seconds is a join, too."""


class Joins:
    """Moves the times of all streams by the same amount wherever they start again.

    The streams arrive at a join one after the other. The first to arrive sets the shift, so that its times go on where
    the recording before has ended; each of the others takes it over with its first packet from behind the join. If that
    stream then goes on as before, a single time was wrong, and it was no join.

    With `is_sought`, the file is read from somewhere in its middle.

    Attributes:
        found_seconds: Where the joins are, counted from the beginning of the file.
    """

    def __init__(self, container: av.container.InputContainer, *, is_sought: bool = False) -> None:
        self.found_seconds: list[float] = []
        self._start_seconds = (container.start_time or 0) / av.time_base
        self._most_back_seconds = _MOST_BACK_AFTER_SEEK_SECONDS if is_sought else _MOST_BACK_SECONDS
        is_joined_by_cat = container.format.name in JOINED_BY_CAT
        self._most_ahead_seconds = _MOST_AHEAD_JOINED_SECONDS if is_joined_by_cat else _MOST_AHEAD_SECONDS
        self._shifts_seconds = [0.0]
        self._shift_by_stream: dict[int, float] = {}
        self._first_seconds: dict[int, float] = {}
        self._next_seconds: dict[int, float] = {}
        self._end_seconds = -math.inf

    def place(self, packet: av.Packet) -> None:
        """Set the times of a packet that is read next."""
        index, tick_seconds = packet.stream_index, float(packet.time_base)
        if packet.dts is not None:
            self._follow(packet, packet.dts * tick_seconds, tick_seconds)
        if shift := round(self._shift_by_stream.get(index, 0.0) / tick_seconds):
            packet.pts = packet.pts if packet.pts is None else packet.pts + shift
            packet.dts = packet.dts if packet.dts is None else packet.dts + shift

    def _follow(self, packet: av.Packet, begin_seconds: float, tick_seconds: float) -> None:
        """Find the shift of a packet, and where its stream goes on."""
        index = packet.stream_index
        shift_seconds = self._shift_by_stream[index] = self._shift_seconds(index, begin_seconds)
        if packet.stream.type == "subtitle":
            return  # it is shown at times that say nothing about the recording
        self._first_seconds.setdefault(index, begin_seconds)
        self._next_seconds[index] = begin_seconds + (packet.duration or 0) * tick_seconds
        self._end_seconds = max(self._end_seconds, self._next_seconds[index] + shift_seconds)

    def _shift_seconds(self, index: int, begin_seconds: float) -> float:
        own, newest = self._shift_by_stream.get(index, 0.0), self._shifts_seconds[-1]
        if own != newest:
            return min(own, newest, key=lambda shift: abs(begin_seconds + shift - self._end_seconds))
        late_seconds = begin_seconds - self._next_seconds.get(index, begin_seconds)
        if late_seconds > _MOST_BACK_SECONDS and self._goes_on_as_before(index, begin_seconds):
            self._shifts_seconds.pop()
            self.found_seconds.pop()
            return self._shifts_seconds[-1]
        if -self._most_back_seconds <= late_seconds <= self._most_ahead_seconds:
            return own
        return self._joined(index, begin_seconds)

    def _goes_on_as_before(self, index: int, begin_seconds: float) -> bool:
        """Return True if a time would come next, had there not been the latest join."""
        if len(self.found_seconds) != len(self._shifts_seconds) - 1 or not self.found_seconds:
            return False
        before, newest = self._shifts_seconds[-2:]
        return abs(begin_seconds + before - self._next_seconds[index] - newest) <= _MOST_BACK_SECONDS

    def _joined(self, index: int, begin_seconds: float) -> float:
        """Return the shift after a jump: an earlier one if the times fit again, else a new one."""
        own = self._shift_by_stream.get(index, 0.0)
        for shift in self._shifts_seconds:
            late_seconds = begin_seconds + shift - self._end_seconds
            if shift != own and -_MOST_BACK_SECONDS <= late_seconds <= _NEAR_SECONDS:
                break
        else:
            later_than_others_seconds = self._first_seconds[index] - min(self._first_seconds.values())
            shift = self._end_seconds + later_than_others_seconds - begin_seconds
            self.found_seconds.append(self._end_seconds - self._start_seconds)
        self._shifts_seconds.append(shift)
        return shift

"""A part of a video: which pictures and packets are in it, and when they are shown."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

import av

_TOLERANCE_SECONDS = 0.0005
"""Starts are typed in rounded seconds."""


class BeginsTooLate(Exception):  # noqa: N818 - reading begins again earlier
    """The first picture that can be decoded comes after the start of the part."""


class Part:
    """A part of a video: selects its pictures and packets and shifts their times.

    Times then count from the start of the part.

    Args:
        origin_seconds: The time at which the file begins.
        start_seconds: Where the part begins, from there.
        duration_seconds: How long it is; None for all that follows.
        needed_key_frames: So many key frames have to come first, the last of them not after the start of the part;
            else `keeps_picture` raises BeginsTooLate.
        time_base: The unit of the pictures' times, in seconds, of which all times are shifted by a multiple.
        counts_from_zero: Count the times of a whole file from its beginning, too, instead of keeping them: for a clock
            that may begin anywhere, and for negative times, which no container holds.
    """

    def __init__(
        self,
        origin_seconds: float,
        start_seconds: float,
        duration_seconds: float | None,
        *,
        time_base: Fraction,
        needed_key_frames: int = 0,
        counts_from_zero: bool = False,
    ) -> None:
        self.is_part = start_seconds > 0 or duration_seconds is not None
        self.has_all_pictures = False
        self._needed_key_frames = needed_key_frames
        self._waits_for: set[int] = set()
        self._begin = origin_seconds + start_seconds
        self._end = math.inf if duration_seconds is None else self._begin + duration_seconds
        zero_seconds = self._begin if self.is_part or counts_from_zero else 0.0
        self._zero = math.ceil(zero_seconds / time_base - 0.5) * time_base

    def waits_for(self, streams: Iterable[av.stream.Stream]) -> None:
        """Set the other streams to read to the end of the part: a file may store sound well after its picture."""
        self._waits_for = {stream.index for stream in streams}

    @property
    def is_over(self) -> bool:
        """True if nothing of the part is left to be read."""
        return self.has_all_pictures and not self._waits_for

    def contains(self, seconds: float) -> bool:
        """Return True if a time of the file is in the part."""
        return self._begin - _TOLERANCE_SECONDS <= seconds < self._end or not self.is_part

    def keeps_picture(self, picture: av.VideoFrame) -> bool:
        """Return True if a picture is in the part; decoding stops at the first picture after its end.

        Raises BeginsTooLate.
        """
        pts, time_base = picture.pts, picture.time_base
        assert pts is not None and time_base is not None  # Timestamps gave it one
        if self.is_part and not self._holds(float(pts * time_base), float(time_base), picture.key_frame):
            return False
        if self._zero:
            picture.pts = pts - round(self._zero / time_base)
        return True

    def keeps_packet(self, packet: av.Packet) -> bool:
        """Return True if a packet begins in the part: it is then copied whole."""
        if packet.pts is None:
            return not self.is_part
        if self.is_part and not self._holds_packet(float(packet.pts * packet.time_base), packet.stream.index):
            return False
        if self._zero:
            shift = round(self._zero / packet.time_base)
            packet.pts -= shift
            packet.dts = packet.dts - shift if packet.dts is not None else packet.pts
        return True

    def _holds(self, seconds: float, tick_seconds: float, is_key_frame: bool) -> bool:
        tolerance_seconds = min(tick_seconds / 2, _TOLERANCE_SECONDS)
        if self._needed_key_frames:
            if seconds > self._begin + tolerance_seconds:
                raise BeginsTooLate
            self._needed_key_frames -= is_key_frame
        self.has_all_pictures = self.has_all_pictures or seconds >= self._end
        return not (self.has_all_pictures or self._needed_key_frames or seconds < self._begin - tolerance_seconds)

    def _holds_packet(self, seconds: float, stream: int) -> bool:
        if seconds >= self._end:
            self._waits_for.discard(stream)
        return self._begin <= seconds < self._end

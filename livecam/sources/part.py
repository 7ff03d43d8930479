"""A part of a video: which pictures and packets are in it, and when they are shown."""

from __future__ import annotations

import math
from collections.abc import Iterable

import av

_TOLERANCE_SECONDS = 0.0005
"""Starts are typed in rounded seconds."""


class BeginsTooLate(Exception):  # noqa: N818 - reading begins again earlier
    """The first picture that can be decoded comes after the start of the part."""


class Part:
    """A part of a video: selects its pictures and packets and shifts their times.

    Times then count from the start of the part; a whole file keeps its times.

    Args:
        origin_seconds: The time at which the file begins.
        start_seconds: Where the part begins, from there.
        duration_seconds: How long it is; None for all that follows.
        needed_key_frames: So many key frames have to come first, the last of them not after the start of the part;
            else `keeps_picture` raises BeginsTooLate.
    """

    def __init__(
        self, origin_seconds: float, start_seconds: float, duration_seconds: float | None, *, needed_key_frames: int = 0
    ) -> None:
        self.is_part = start_seconds > 0 or duration_seconds is not None
        self.has_all_pictures = False
        self._needed_key_frames = needed_key_frames
        self._waits_for: set[int] = set()
        self._begin = origin_seconds + start_seconds
        self._end = math.inf if duration_seconds is None else self._begin + duration_seconds

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
        if not self.is_part:
            return True
        time_base, pts = picture.time_base, picture.pts
        assert time_base is not None and pts is not None  # Timestamps gave it one
        seconds = float(pts * time_base)
        tolerance_seconds = min(float(time_base) / 2, _TOLERANCE_SECONDS)
        if self._needed_key_frames:
            if seconds > self._begin + tolerance_seconds:
                raise BeginsTooLate
            self._needed_key_frames -= picture.key_frame
        self.has_all_pictures = self.has_all_pictures or seconds >= self._end
        if self.has_all_pictures or self._needed_key_frames or seconds < self._begin - tolerance_seconds:
            return False
        picture.pts = pts - math.ceil(self._begin / time_base - 0.5)
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

"""The presentation times of decoded pictures, each from its own packet, and the packets that gave no picture."""

from __future__ import annotations

from collections import deque

import av

from livecam.sources.payload import holds_picture

_MOST_REORDERED = 128
"""So many packets later than its own, in the order of decoding, a picture comes out of the decoder at most."""
_LEAST_PERIOD_SECONDS, _DEFAULT_RATE = 0.0005, 25
_DECODED_WITHOUT_REFERENCES = ("mpeg4", "h263", "msmpeg4v1", "msmpeg4v2", "msmpeg4v3", "wmv1", "wmv2", "flv1")


def constant_period(container: av.container.InputContainer, stream: av.VideoStream) -> int | None:
    """Return how long each picture is shown, in the time base, if the file's table of times is of no use, else None.

    A damaged MP4 may have hundreds of pictures within a millisecond.
    """
    count, time_base, entries = stream.frames, stream.time_base, stream.index_entries
    if count < 2 or len(entries) < count or not time_base or not container.duration:
        return None
    span_seconds = float((entries[-1].timestamp - entries[0].timestamp) * time_base)
    if span_seconds > count * _LEAST_PERIOD_SECONDS:
        return None
    rate = stream.average_rate or _DEFAULT_RATE
    periods_seconds = (1 / rate, container.duration / av.time_base / count, 1 / _DEFAULT_RATE)
    return round(next(seconds for seconds in periods_seconds if seconds > _LEAST_PERIOD_SECONDS) / time_base)


class Timestamps:
    """Gives each decoded picture of a video stream the time of its packet, and finds packets without a picture.

    The decoder hands on a packet's pts to its picture, untouched and whatever the order. So packets go into the decoder
    with their number as pts, and pictures come out with it.

    If the container does not store pts, the time of a picture is that of its place in the order of presentation: the
    places are the packets' times of decoding, without those of lost packets.

    With a `period`, each packet comes so long after the one before, in the time base, whatever time it has.

    With `is_sought`, the stream is read from somewhere in its middle, and pictures before the first time are left out.

    Attributes:
        lost: The times of the packets whose picture never came, in the stream's time base, by the packets' numbers.
        lost_at_start: How many of them came before the first picture.
        missing: How many pictures had no time in the file.
        doubled: How many pictures had a time that was not later than that of the picture before.
        guesses: True until the first key frame, if the decoder nevertheless makes pictures of what comes before it.
    """

    def __init__(
        self, stream: av.VideoStream, *, stores_pts: bool, is_sought: bool = False, period: int | None = None
    ) -> None:
        self.lost: dict[int, int] = {}
        self.lost_at_start = self.missing = self.doubled = 0
        self._stream = stream
        self._codec = stream.codec_context.codec.canonical_name
        self._stores_pts = stores_pts and period is None
        self._constant_period = period
        self._taken = 0
        self._waiting: dict[int, tuple[av.Packet, int | None]] = {}
        self._second_fields: set[int] = set()
        self._places: deque[int] = deque()
        self._next_dts = 0
        self._last: int | None = None
        self.guesses = self._codec in _DECODED_WITHOUT_REFERENCES
        self._waits_for_a_time = is_sought

    def take(self, packet: av.Packet) -> None:
        """Record a packet that goes into the decoder, and replace its pts by its number."""
        if self._constant_period or (packet.dts is None and not self._stores_pts):
            packet.dts = self._next_dts
        time = packet.pts if self._stores_pts else packet.dts
        if packet.dts is not None:
            self._next_dts = packet.dts + self._period(packet.duration)
        if time is not None and not self._stores_pts:
            self._places.append(time)
        self._waiting[self._taken] = packet, time
        packet.pts = self._taken
        self._taken += 1

    def give(self, picture: av.VideoFrame) -> bool:
        """Set the time of a decoded picture, later than that of the one before; return False to leave it out."""
        number = picture.pts
        if self.guesses:
            if not (picture.key_frame or picture.pict_type):
                return False  # a grey picture in place of a reference that was never read
            self.guesses = not picture.key_frame
        time = None
        if number is not None:
            _, time = self._waiting.pop(number, (None, None))
            self._settle_before(number, picture)
        if self._places:
            time = self._places.popleft()
        self._waits_for_a_time = self._waits_for_a_time and time is None
        if self._waits_for_a_time:
            return False
        picture.pts = self._last = self._later(time, picture)
        if self._constant_period:
            picture.duration = self._constant_period
        return True

    def settle(self) -> None:
        """Find the lost packets once the decoder has given its last picture."""
        self._give_up_before(self._taken)

    def _later(self, time: int | None, picture: av.VideoFrame) -> int:
        if time is None:
            self.missing += 1
            return 0 if self._last is None else self._last + self._period(picture.duration)
        if self._last is not None and time <= self._last:
            self.doubled += 1
            return self._last + 1
        return time

    def _settle_before(self, number: int, picture: av.VideoFrame) -> None:
        """Give up the packets whose picture would have come before this one."""
        self.lost.pop(number, None)
        in_order = picture.key_frame or (not self._stores_pts and not self._stream.codec_context.has_b_frames)
        self._give_up_before(number if in_order else number - _MOST_REORDERED)
        if self._last is None:
            self.lost_at_start = len(self.lost)
        if picture.interlaced_frame and self._codec == "h264" and number + 1 in self._waiting:
            self._second_fields.add(number + 1)

    def _give_up_before(self, limit: int) -> None:
        while self._waiting and (number := next(iter(self._waiting))) < limit:
            packet, time = self._waiting.pop(number)
            if self._places:
                self._places.remove(self._places[0] if time is None or time not in self._places else time)
            is_second_field = number in self._second_fields
            self._second_fields.discard(number)
            if not (is_second_field or packet.is_discard) and holds_picture(packet, self._stream.codec_context):
                self.lost[number] = time or 0

    def _period(self, duration: int | None) -> int:
        """Return how long a picture of this duration is shown, in the stream's time base; if unknown, by the rate."""
        if self._constant_period or duration:
            return self._constant_period or duration or 0
        rate, time_base = self._stream.average_rate or self._stream.guessed_rate, self._stream.time_base
        return max(round(1 / (rate * time_base)), 1) if rate and time_base else 1

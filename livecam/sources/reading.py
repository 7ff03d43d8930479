"""One pass over an opened video: its packets are given their times, decoded or passed on, and accounted for."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction

import av

from livecam.sources.decoder import decoder_of
from livecam.sources.joins import Joins
from livecam.sources.missing import Missing, break_off
from livecam.sources.part import Part
from livecam.sources.protocols import problem_of
from livecam.sources.timestamps import Timestamps

log = logging.getLogger("livecam")


class Reading:
    """Reads the pictures of a video stream and the packets of `copied` streams, from where `container` stands.

    With `is_sought`, that is in the middle of the file: what is missing at its beginning is then no loss.
    With a `period`, pictures come so long one after the other, in the stream's time base, whatever times they have.

    Attributes:
        damaged: How many pictures of the part were decoded with missing parts, or predicted from such.
    """

    def __init__(
        self,
        name: str,
        container: av.container.InputContainer,
        stream: av.VideoStream,
        copied: tuple[av.stream.Stream, ...],
        part: Part,
        *,
        is_sought: bool,
        period: int | None,
    ) -> None:
        self.damaged = 0
        self._name = name
        self._container = container
        self._stream = stream
        self._time_base = stream.time_base or Fraction(1)  # also for once the container is closed
        self._decoder = decoder_of(stream, name)
        self._copied = [each for each in copied if each.type != "attachment"]
        self._part = part
        self._is_sought = is_sought
        self._period = period
        self._missing = Missing(container, stream)
        self._joins = Joins(container, is_sought=is_sought)
        # AVI stores only times of decoding, elementary streams none at all.
        stores_pts = container.format.name != "avi" and container.start_time is not None
        self._timestamps = Timestamps(stream, stores_pts=stores_pts, is_sought=is_sought, period=period)
        self._suspect: av.Packet | None = None
        self._is_damaged = False  # the latest picture
        self._missing_frames = 0

    @property
    def unreadable(self) -> int:
        """How many frames of the part could not be decoded, or are missing at the end of the file."""
        lost = list(self._timestamps.lost.values())
        return self._missing_frames + sum(self._part.contains(float(time * self._time_base)) for time in lost)

    def events(self) -> Iterator[av.VideoFrame | av.Packet]:
        """Yield the part's decoded pictures and packets to copy, in the order of the file. Raises BeginsTooLate."""
        self._part.waits_for(stream for stream in self._copied if stream.type == "audio")
        for packet in self._packets():
            # Not packet.stream_index: it is 0 in the empty packets that flush the decoders.
            if packet.stream.index != self._stream.index:
                if packet.size and self._part.keeps_packet(packet):
                    yield packet
            elif not self._part.has_all_pictures:
                for picture in filter(self._part.keeps_picture, self._decoded(packet)):
                    self.damaged += self._is_damaged or self._timestamps.guesses
                    yield picture
            if self._part.is_over:
                return
        if not self._part.has_all_pictures:
            self._account_for_the_end()

    def _packets(self) -> Iterator[av.Packet]:
        """Yield all packets, then empty ones that flush the decoder, even if the file breaks off."""
        try:
            for packet in self._container.demux([self._stream, *self._copied]):
                if packet.size or packet.dts is None:  # an empty packet with a time only repeats the picture before
                    self._joins.place(packet)
                    yield packet
        except av.FFmpegError as exc:
            log.warning("%s breaks off: %s", self._name, problem_of(exc))
            self._missing_frames += 1
            flush = av.Packet()
            flush.stream, flush.time_base = self._stream, self._time_base
            yield flush

    def _decoded(self, packet: av.Packet) -> Iterator[av.VideoFrame]:
        if packet.size:
            self._missing.take(packet)
            self._timestamps.take(packet)
        if self._suspect is not None:
            suspect, self._suspect = self._suspect, None
            if packet.size:
                yield from self._decoded_for_sure(suspect)
        if packet.size and packet.is_corrupt:
            # Half a packet at the end of the file would make FFmpeg's frame threads lose whole frames before it, so
            # wait for what comes next.
            self._suspect = packet
        else:
            yield from self._decoded_for_sure(packet)

    def _decoded_for_sure(self, packet: av.Packet) -> Iterator[av.VideoFrame]:
        try:
            pictures = self._decoder.decode(packet)
        except av.FFmpegError:
            self._is_damaged = True  # and the packet stays without a picture
            return
        for picture in pictures:
            # What is predicted from a damaged picture is as wrong, but the decoder does not say so.
            self._is_damaged = picture.is_corrupt or (self._is_damaged and not picture.key_frame)
            if self._timestamps.give(picture):
                yield picture

    def _account_for_the_end(self) -> None:
        """Count the frames that the decoder lost, and those missing at the end, where a truncated file just ends."""
        self._timestamps.settle()
        missing = self._missing.frames()
        if missing and self._missing.is_playlist:
            log.warning("parts of the playlist %s cannot be read: about %d frames are missing", self._name, missing)
        elif missing:
            log.warning("%s ends early: %d frames are missing at its end", self._name, missing)
        elif not self._missing_frames and (problem := break_off(self._container, self._missing.end_seconds)):
            log.warning("%s %s", self._name, problem)
            missing = 1
        self._missing_frames += missing
        self._tell()

    def _tell(self) -> None:
        """Log what is unusual about the file."""
        name, times = self._name, self._timestamps
        if self._period:
            rate = 1 / float(self._period * (self._stream.time_base or 1))
            log.warning("the times in %s are of no use: set to %.4g frames a second", name, rate)
        for seconds in self._joins.found_seconds:
            log.warning("%s consists of joined recordings: the times start again at %.1f s", name, seconds)
        if times.lost_at_start and not self._is_sought:
            lost = times.lost_at_start
            log.warning("%s begins between key frames: its first %d frames cannot be decoded", name, lost)
        if times.missing:
            log.warning("%d frames of %s have no time in the file: set by its frame rate", times.missing, name)
        if times.doubled:
            log.warning("%d frames of %s do not come after the frame before: set just after it", times.doubled, name)

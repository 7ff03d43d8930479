"""A video file or URL, read with PyAV."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from itertools import chain

import av

from livecam.errors import InputError
from livecam.names import READ_VIDEO_ENDINGS
from livecam.picture.frame import Frame
from livecam.picture.media import Media, Orientation, media_of
from livecam.picture.projection import chroma_location_in, header_of, is_projected
from livecam.sources.base import LiveOptions, OnPacket, Source, SourceKind
from livecam.sources.conditioning import Conditioner, conditioned
from livecam.sources.inputs import redacted
from livecam.sources.joins import Joins
from livecam.sources.opening import open_recording, video_stream
from livecam.sources.paced import played
from livecam.sources.part import Part
from livecam.sources.timestamps import Timestamps
from livecam.system import cores

log = logging.getLogger("livecam")

_COPIED = ("audio", "subtitle", "attachment")


class VideoSource(Source):
    """Reads a video stream of a file or URL, and the packets of audio, subtitle and attachment streams.

    `stream` is its number among all streams; by default it is the one that players show. With `only_pictures` all other
    streams are ignored without a note. With `insecure` the certificate of a server is not checked.
    """

    def __init__(
        self,
        uri: str,
        *,
        start_seconds: float = 0.0,
        duration_seconds: float | None = None,
        only_pictures: bool = False,
        stream: int | None = None,
        insecure: bool = False,
    ) -> None:
        self.name = redacted(uri)
        self._container = open_recording(uri, self.name, insecure=insecure)
        try:
            self._stream = video_stream(self._container, self.name, stream)
            self._stream.thread_type, self._stream.thread_count = "AUTO", cores.DECODER
            self._part = Part(self._container, start_seconds, duration_seconds)
            self._joins = Joins(self._container)
            self._timestamps = Timestamps(self._stream)
            self._suspect: av.Packet | None = None
            self._missing_at_end = 0
            self._only_pictures = only_pictures
            copied = tuple(s for s in self._container.streams if s.type in _COPIED and not only_pictures)
            self._events = self._read(copied)
            first, self._ahead = self._first_picture()
            self.media = conditioned(self._describe(first, copied))
        except BaseException:
            self.close()
            raise

    def frames(self, on_packet: OnPacket) -> Iterator[Frame]:
        orientation = Orientation.of(self.media.display_matrix)
        aspect = self.media.sample_aspect_ratio or Fraction(1)
        conditioner = Conditioner(self.name, self.media, lambda: self._stream.codec_context.sample_aspect_ratio)
        index = 0
        if not self._only_pictures:
            self._name_what_is_left_out()
        for event in conditioner.events(chain(_emptied(self._ahead), self._events)):
            if isinstance(event, av.Packet):
                on_packet(event)
                continue
            yield Frame(picture=event, index=index, orientation=orientation, sample_aspect_ratio=aspect)
            index += 1

    @property
    def unreadable(self) -> int:  # type: ignore[override]
        """How many frames of the part could not be decoded, or are missing at the end of the file."""
        lost, time_base = list(self._timestamps.lost.values()), self._stream.time_base or 0
        return self._missing_at_end + sum(self._part.contains(float(time * time_base)) for time in lost)

    def close(self) -> None:
        self._container.close()

    def _read(self, copied: tuple[av.stream.Stream, ...]) -> Iterator[av.VideoFrame | av.Packet]:
        """Yield the part's decoded pictures and packets to copy, in the order of the file."""
        timed = [stream for stream in copied if stream.type != "attachment"]
        self._part.waits_for(stream for stream in timed if stream.type == "audio")
        for packet in self._packets([self._stream, *timed]):
            # Not packet.stream_index: it is 0 in the empty packets that flush the decoders.
            if packet.stream.index != self._stream.index:
                if packet.size and self._part.keeps_packet(packet):
                    yield packet
            elif not self._part.has_all_pictures:
                yield from filter(self._part.keeps_picture, self._decoded(packet))
            if self._part.is_over:
                return
        if self._part.has_all_pictures:
            return
        self._account_for_the_end()

    def _packets(self, streams: list[av.stream.Stream]) -> Iterator[av.Packet]:
        """Yield all packets, then empty ones that flush the decoder, even if the file breaks off."""
        try:
            for packet in self._container.demux(streams):
                if packet.size or packet.dts is None:  # an empty packet with a time only repeats the picture before
                    self._joins.place(packet)
                    yield packet
        except av.FFmpegError as exc:
            log.warning("%s breaks off: %s", self.name, exc.strerror)
            self._missing_at_end += 1
            flush = av.Packet()
            flush.stream = self._stream
            yield flush

    def _decoded(self, packet: av.Packet) -> Iterator[av.VideoFrame]:
        if packet.size:
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
            pictures = packet.decode()
        except av.FFmpegError:
            return  # the packet stays without a picture
        for picture in pictures:
            if self._timestamps.give(picture):
                self.damaged += picture.is_corrupt
                yield picture

    def _first_picture(self) -> tuple[av.VideoFrame, deque[av.VideoFrame | av.Packet]]:
        ahead: deque[av.VideoFrame | av.Packet] = deque()
        for event in self._events:
            ahead.append(event)
            if isinstance(event, av.VideoFrame):
                return event, ahead
        if self._part.is_part:
            raise InputError(f"{self.name} has no frame in the requested part; it lasts {self._duration()}")
        raise InputError(f"no frame of {self.name} can be decoded; the file is damaged or its codec is unknown")

    def _account_for_the_end(self) -> None:
        """Count the frames that the decoder lost and those missing at the end, where a truncated file just ends."""
        times = self._timestamps
        times.settle()
        missing = times.missing_at_end()
        if missing:
            log.warning("%s ends early: %d frames are missing at its end", self.name, missing)
            self._missing_at_end += missing
        for seconds in self._joins.found_seconds:
            log.warning("%s consists of joined recordings: the times start again at %.1f s", self.name, seconds)
        if times.lost_at_start:
            lost = times.lost_at_start
            log.warning("%s begins between key frames: its first %d frames cannot be decoded", self.name, lost)
        if times.missing:
            log.warning("%d frames of %s have no time in the file: set by its frame rate", times.missing, self.name)
        if times.doubled:
            log.warning(
                "%d frames of %s do not come after the frame before: set just after it", times.doubled, self.name
            )
        self.damaged += times.guessed

    def _describe(self, first: av.VideoFrame, copied: tuple[av.stream.Stream, ...]) -> Media:
        stream, container = self._stream, self._container
        header = header_of(stream)
        return media_of(
            first,
            chroma_location=chroma_location_in(header),
            projection=header if is_projected(first) else b"",
            time_base=first.time_base or Fraction(1, 90000),
            rate=stream.average_rate or stream.guessed_rate,
            sample_aspect_ratio=stream.sample_aspect_ratio or None,
            expected_frames=self._expected_frames(),
            metadata=dict(container.metadata),
            stream_metadata=dict(stream.metadata),
            disposition=int(stream.disposition),
            chapters=[] if self._part.is_part else container.chapters(),
            copied_streams=copied,
        )

    def _expected_frames(self) -> int | None:
        duration_seconds = self._part.expected_seconds
        if not self._part.is_part and self._stream.frames:
            return self._stream.frames
        rate = self._stream.average_rate
        return round(duration_seconds * rate) if rate and duration_seconds else None

    def _duration(self) -> str:
        duration = self._container.duration
        return f"{duration / av.time_base:.1f} s" if duration else "an unknown time"

    def _name_what_is_left_out(self) -> None:
        kept = {self._stream.index, *(stream.index for stream in self.media.copied_streams)}
        left_out = [f"{s.index} ({s.type})" for s in self._container.streams if s.index not in kept]
        if left_out:
            log.warning("not carried over from %s: stream %s", self.name, ", ".join(left_out))


def _emptied(events: deque[av.VideoFrame | av.Packet]) -> Iterator[av.VideoFrame | av.Packet]:
    """Yield the packets that were read ahead, removing each from the list."""
    while events:
        yield events.popleft()


def open_file(uri: str, options: LiveOptions) -> Source:
    """Open a file, local or on a web server, for watching live. Raises InputError."""
    return played(partial(VideoSource, uri, only_pictures=options.loop, insecure=options.insecure), options)


VIDEO = SourceKind(
    recognises=lambda name: True,
    open=VideoSource,
    open_live=open_file,
    endings=READ_VIDEO_ENDINGS,
    has_streams=True,
)

"""A video file or URL, read with PyAV."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from fractions import Fraction
from functools import partial
from itertools import chain, takewhile
from typing import Any

import av

from livecam.errors import InputError
from livecam.names import READ_VIDEO_ENDINGS
from livecam.picture.frame import Frame
from livecam.picture.media import Media, Orientation, media_of
from livecam.picture.projection import chroma_location_in, header_of, is_projected
from livecam.sources.base import LiveOptions, OnPacket, Source, SourceKind
from livecam.sources.conditioning import Conditioner, conditioned
from livecam.sources.joins import JOINED_BY_CAT
from livecam.sources.opening import USUAL_MEGAPIXELS, kind_of_stream, open_recording, video_stream
from livecam.sources.paced import played
from livecam.sources.part import BeginsTooLate, Part
from livecam.sources.pipe import PIPE_NAMES, StandardInput, Stopped, open_pipe
from livecam.sources.rate import rate_of
from livecam.sources.reading import Reading
from livecam.sources.time_code import is_time_code, tags_after
from livecam.sources.timestamps import constant_period
from livecam.system import cores
from livecam.text import redacted

log = logging.getLogger("livecam")

_COPIED = ("audio", "subtitle", "attachment")
_ANY_ORIGIN = (*JOINED_BY_CAT, "hls")
"""Formats whose clock may begin with any time."""
_SECONDS_BEFORE = (0, 2, 6, 14, 30, 62)
"""How long before the start of a part reading begins: the first that is long enough. After them, at the beginning."""

Found = tuple[av.VideoFrame, deque[av.VideoFrame | av.Packet]]
"""The first picture, and the list of what was read until then, itself the last."""


class VideoSource(Source):
    """Reads a video stream of a file or URL, and the packets of audio, subtitle and attachment streams.

    `stream` is its number among all streams; by default it is the one that players show. With `only_pictures` all other
    streams are ignored without a note. With `insecure` the certificate of a server is not checked. `told` collects what
    has been logged of its pictures, if it is opened several times. Pictures of more than `max_megapixels` are refused.
    With a `pipe`, that is read once, and `uri` means nothing. In messages it is called `name`, by default as `uri`.
    """

    def __init__(
        self,
        uri: str,
        *,
        start_seconds: float = 0.0,
        duration_seconds: float | None = None,
        only_pictures: bool = False,
        stream: int | None = None,
        max_megapixels: float = USUAL_MEGAPIXELS,
        insecure: bool = False,
        told: set[str] | None = None,
        pipe: StandardInput | None = None,
        name: str = "",
    ) -> None:
        self.name = name or (pipe.name if pipe else redacted(uri))
        self._pipe = pipe
        self._start_seconds, self._duration_seconds = start_seconds, duration_seconds
        self._only_pictures, self._told = only_pictures, told
        open_input = partial(open_pipe, pipe) if pipe else partial(open_recording, uri, self.name, insecure=insecure)
        self._opened = partial(_opened, open_input, self.name, stream, max_megapixels)
        self._open()
        try:
            first, self._ahead = self._begin()
            self.media = conditioned(self._describe(first))
        except BaseException:
            self.close()
            raise

    def frames(self, on_packet: OnPacket) -> Iterator[Frame]:
        orientation = Orientation.of(self.media.display_matrix)
        aspect = self.media.sample_aspect_ratio or Fraction(1)
        conditioner = Conditioner(self.name, self.media, self._sample_aspect_ratio, self._told)
        index = 0
        if not self._only_pictures:
            self._name_what_is_left_out()
        with suppress(Stopped):
            for event in conditioner.events(chain(_emptied(self._ahead), self._events)):
                if isinstance(event, av.Packet):
                    on_packet(event)
                    continue
                yield Frame(picture=event, index=index, orientation=orientation, sample_aspect_ratio=aspect)
                index += 1

    @property
    def unreadable(self) -> int:  # type: ignore[override]
        """How many frames of the part could not be decoded, or are missing at the end of the file."""
        return self._reading.unreadable

    @property
    def damaged(self) -> int:  # type: ignore[override]
        """How many frames of the part were decoded with missing parts."""
        return self._reading.damaged

    def stop(self) -> None:
        if self._pipe is not None:
            self._pipe.stop()

    def close(self) -> None:
        self._container.close()

    @property
    def _is_part(self) -> bool:
        return self._start_seconds > 0 or self._duration_seconds is not None

    def _open(self) -> None:
        self._container, self._stream = self._opened()
        self._period = constant_period(self._container, self._stream)
        if self._period:
            self._container.close()  # without its edit list, which leaves pictures out by their times
            self._container, self._stream = self._opened(options={"ignore_editlist": "1"})
        if self._pipe is not None:
            self._pipe.keep_no_more()
        others = () if self._only_pictures else self._container.streams
        self._copied = tuple(stream for stream in others if stream.type in _COPIED)

    def _begin(self) -> Found:
        """Read up to the first picture of the part, from a place before it if that can be found."""
        found = None
        if self._start_seconds > 0:
            self._check_that_it_begins_before_the_end()
        if self._start_seconds > 0 and self._can_seek:
            found = self._sought()
            if found is None:
                self.close()
                self._open()
        found = found or self._up_to_the_first_picture()
        if found is None:
            raise self._no_picture()
        return found

    @property
    def _can_seek(self) -> bool:
        return self._pipe is None and self._container.start_time is not None and not self._period

    def _sought(self) -> Found | None:
        """Seek to the start of the part, then to places before it until the picture there can be decoded."""
        for seconds_before in takewhile(lambda seconds: seconds < self._start_seconds, _SECONDS_BEFORE):
            target_seconds = self._start_seconds - seconds_before + self._origin_seconds
            with suppress(BeginsTooLate):
                try:
                    self._container.seek(int(target_seconds * av.time_base))
                except av.FFmpegError:
                    return None
                return self._up_to_the_first_picture(is_sought=True)
        return None

    def _up_to_the_first_picture(self, *, is_sought: bool = False) -> Found | None:
        """Read on to the first picture of the part; None if there is none. Raises BeginsTooLate."""
        # In AVI, lost pictures after the first key frame leave its place open until the next one has come.
        needed = 0 if not is_sought else 2 if self._container.format.name == "avi" else 1
        part = Part(
            self._origin_seconds,
            self._start_seconds,
            self._duration_seconds,
            time_base=self._stream.time_base or Fraction(1, av.time_base),
            needed_key_frames=needed,
            counts_from_zero=self._container.format.name in _ANY_ORIGIN or (self._stream.start_time or 0) < 0,
        )
        self._reading = Reading(
            self.name, self._container, self._stream, self._copied, part, is_sought=is_sought, period=self._period
        )
        self._events = self._reading.events()
        ahead: deque[av.VideoFrame | av.Packet] = deque()
        for event in self._events:
            ahead.append(event)
            if isinstance(event, av.VideoFrame):
                return event, ahead
        return None

    @property
    def _origin_seconds(self) -> float:
        return (self._container.start_time or 0) / av.time_base

    def _check_that_it_begins_before_the_end(self) -> None:
        """Raise the error of an empty part at once, unless the file may go on after its last time."""
        seconds = self._whole_seconds()
        if seconds and seconds <= self._start_seconds and self._container.format.name not in JOINED_BY_CAT:
            raise self._no_picture()

    def _no_picture(self) -> InputError:
        if self._is_part:
            seconds = self._whole_seconds()
            lasts = f"{seconds:.1f} s" if seconds else "an unknown time"
            return InputError(f"{self.name} has no frame in the requested part; it lasts {lasts}")
        return InputError(f"no frame of {self.name} can be decoded; the file is damaged or its codec is unknown")

    def _describe(self, first: av.VideoFrame) -> Media:
        stream, container = self._stream, self._container
        header, rate = header_of(stream, first), rate_of(stream, self._ahead, self._events)
        return media_of(
            first,
            chroma_location=chroma_location_in(header),
            projection=header if is_projected(first) else b"",
            time_base=first.time_base or Fraction(1, 90000),
            rate=rate,
            sample_aspect_ratio=stream.sample_aspect_ratio or None,
            expected_frames=self._expected_frames(rate),
            metadata=self._later(container.metadata, first, rate),
            stream_metadata=self._later(stream.metadata, first, rate),
            disposition=int(stream.disposition),
            chapters=[] if self._is_part else container.chapters(),
            copied_streams=self._copied,
        )

    def _later(self, tags: Mapping[str, str], first: av.VideoFrame, rate: Fraction | None) -> dict[str, str]:
        """Return tags with the time code of the first picture of the part."""
        seconds = self._start_seconds + float((first.pts or 0) * (first.time_base or 0)) if self._start_seconds else 0.0
        return tags_after(tags, round(seconds * (rate or 0)), rate) if seconds else dict(tags)

    def _expected_frames(self, rate: Fraction | None) -> int | None:
        if not self._is_part and self._stream.frames:
            return self._stream.frames
        whole_seconds = self._whole_seconds()
        rest_seconds = whole_seconds and whole_seconds - self._start_seconds
        seconds = min(filter(None, (rest_seconds, self._duration_seconds)), default=None)
        return round(seconds * rate) if rate and seconds else None

    def _whole_seconds(self) -> float | None:
        """Return how long the file is according to its header, or to the last time in it."""
        duration = self._container.duration
        return duration / av.time_base if duration else None

    def _sample_aspect_ratio(self) -> Fraction | None:
        return self._stream.codec_context.sample_aspect_ratio

    def _name_what_is_left_out(self) -> None:
        kept = {self._stream.index, *(stream.index for stream in self.media.copied_streams)}
        left_out = [
            f"{stream.index} ({kind_of_stream(stream)})"
            for stream in self._container.streams
            if stream.index not in kept and not (stream.type == "data" and is_time_code(stream.metadata))
        ]
        if left_out:
            log.warning("not carried over from %s: stream %s", self.name, ", ".join(left_out))


def _opened(
    open_input: Callable[..., av.container.InputContainer],
    name: str,
    number: int | None,
    max_megapixels: float,
    options: Mapping[str, str] | None = None,
) -> tuple[av.container.InputContainer, av.VideoStream]:
    """Open an input with FFmpeg's options, and its video stream of a number among all streams, as `video_stream`."""
    container = open_input(options=options)
    try:
        stream = video_stream(container, name, number, max_megapixels)
    except InputError:
        container.close()
        raise
    stream.thread_type, stream.thread_count = "AUTO", cores.DECODER
    return container, stream


def _emptied(events: deque[av.VideoFrame | av.Packet]) -> Iterator[av.VideoFrame | av.Packet]:
    """Yield the packets that were read ahead, removing each from the list."""
    while events:
        yield events.popleft()


def open_file(uri: str, options: LiveOptions) -> Source:
    """Open a file, local or on a web server, for watching live. Raises InputError."""
    open_video = partial(
        VideoSource,
        uri,
        only_pictures=options.loop,
        stream=options.stream,
        max_megapixels=options.max_megapixels or USUAL_MEGAPIXELS,
        insecure=options.insecure,
        told=set(),
    )
    return played(open_video, options)


VIDEO = SourceKind(
    recognises=lambda name: True,
    open=VideoSource,
    open_live=open_file,
    endings=READ_VIDEO_ENDINGS,
    options=("stream", "max_megapixels"),
)


def _open_pipe(name: str, **options: Any) -> Source:
    return VideoSource(name, pipe=StandardInput(), **options)


def _refuse_pipe(name: str, options: LiveOptions) -> Source:
    raise InputError("standard input can only be annotated; name a camera, a stream or a video")


PIPE = SourceKind(
    recognises=lambda name: name in PIPE_NAMES,
    open=_open_pipe,
    open_live=_refuse_pipe,
    options=("stream", "max_megapixels"),
    output_name=lambda name: "standard_input.mp4",
    version=lambda name: {"time_ns": time.time_ns()},  # what is read once is never the same again
)

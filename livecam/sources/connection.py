"""One connection to a camera or a network stream, from opening until no more frames arrive."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial

import av
from av.codec.context import Flags, ThreadType
from av.container import InputContainer

from livecam.errors import InputError
from livecam.sources.base import NotThereError
from livecam.sources.damage import Damage
from livecam.sources.opening import video_stream
from livecam.sources.protocols import problem_of, without_credentials
from livecam.text import redacted

log = logging.getLogger("livecam")

STALL_SECONDS = 3.0
"""The time without a frame after which the signal is lost: UDP never fails, and TCP may hang without being closed."""
JOIN_SECONDS = 10.0
"""The time in which the first key frame must arrive; the stream's encoder determines their interval."""
_PATIENCE_SECONDS = 2.0
_POLL_SECONDS = 0.002
_USUAL_RATE = Fraction(30)
_FASTEST = 240


class NoSignal(Exception):  # noqa: N818 - an error only where nothing has been opened yet
    """A camera or stream cannot be opened or sends no more frames; holds a short reason and what to do about it."""

    def __init__(self, problem: str, advice: str = "") -> None:
        super().__init__(problem)
        self._advice = advice

    def in_one_line(self, name: str) -> NotThereError:
        """Return the error for a source of this name that could not be opened at all."""
        advice = f"; {self._advice}" if self._advice else ""
        return NotThereError(f"cannot open {name}: {self}{advice}")


Choose = Callable[[InputContainer], av.VideoStream]
"""Chooses the stream to show. Raises InputError if there is none."""
as_players: Choose = partial(video_stream, name="it")
"""Chooses the stream that players show."""


class Connection:
    """Yields the pictures of a video stream of an opened container as they arrive. Raises NoSignal.

    `asked_seconds` is when the stream was requested, on the clock of `time.perf_counter`: pictures may have arrived
    since then. If reads of the container block, its own read timeout has to be `stall_seconds`; if they do not, as with
    cameras, they are repeated until data arrives. The first key frame may come `join_seconds` after the request.

    `is_damaged` is True if the latest picture is. `unreadable` counts the packets that could not be decoded at all.
    """

    def __init__(
        self,
        container: InputContainer,
        choose: Choose = as_players,
        *,
        stall_seconds: float = STALL_SECONDS,
        join_seconds: float = JOIN_SECONDS,
        asked_seconds: float | None = None,
    ) -> None:
        self.is_damaged = False
        self.unreadable = 0
        self._choose = choose
        self._join_seconds = join_seconds
        self._stall_seconds = stall_seconds
        self._has_joined = self._is_wait_told = False
        self._take(container, time.perf_counter() if asked_seconds is None else asked_seconds)

    def _take(self, container: InputContainer, asked_seconds: float) -> None:
        """Read from this container from now on."""
        self.container = container
        self._asked_seconds = self._since_seconds = asked_seconds
        if not any(stream.codec_context for stream in container.streams.video):
            container.close()
            raise NoSignal("it contains no video that can be decoded", "name a stream with video")
        try:
            self.stream = self._choose(container)
        except InputError as exc:
            container.close()
            raise NoSignal(str(exc)) from exc
        self._damage = Damage(self.stream.codec_context)
        _decode_at_once(self.stream.codec_context)

    @property
    def rate(self) -> Fraction | None:
        """The frame rate that the sender declares, None if it does not."""
        rate = Fraction(self.stream.average_rate or self.stream.guessed_rate or 0)
        return rate if rate and rate <= _FASTEST else None  # RTSP may declare its clock rate instead

    @property
    def has_an_end(self) -> bool:
        """True for a recording, whose duration is known."""
        return self.container.duration is not None

    @property
    def facts(self) -> str:
        """The codec and the transport, in a few words."""
        return f"{self.stream.codec_context.name}, {self.container.format.name.split(',')[-1]}"

    def pictures(self, stopping: threading.Event) -> Iterator[av.VideoFrame]:
        """Yield the pictures that arrive from now on, until `stopping` is set.

        Pictures that queued up before the first read are skipped: they arrive without delay, and cannot last longer
        than the time since the stream was requested.
        """
        rate = self.rate or _USUAL_RATE
        piled_up = int(self._waited_seconds() * rate)
        self._since_seconds = time.perf_counter()
        for picture in self._decoded(stopping):
            if self._waited_seconds() * rate > 0.5:
                piled_up = 0
            if piled_up:
                piled_up -= 1
            else:
                yield picture
            self._since_seconds = time.perf_counter()

    def close(self) -> None:
        """Close the connection."""
        self.container.close()

    def _decoded(self, stopping: threading.Event) -> Iterator[av.VideoFrame]:
        """Yield decoded pictures from the first key frame on; earlier ones depend on frames that were not received."""
        for packet in self._packets(stopping):
            # Before decoding: FFmpeg holds a picture back until the next one begins or a read times out.
            self._check_stall()
            if packet.stream.index == self.stream.index:
                for picture in self._decoded_from(packet):
                    self.is_damaged = self._damage.has(picture)
                    self._has_joined = self._has_joined or picture.key_frame
                    if self._has_joined:
                        yield picture

    def _decoded_from(self, packet: av.Packet) -> list[av.VideoFrame]:
        self._damage.take(packet)
        try:
            return packet.decode()
        except av.FFmpegError:
            self._damage.lose()
            self.unreadable += self._has_joined
            return []

    def _packets(self, stopping: threading.Event) -> Iterator[av.Packet]:
        while not stopping.is_set():
            try:
                for packet in self.container.demux():
                    if not packet.size:  # after the last one
                        raise NoSignal("the stream has ended")
                    yield packet
                    if stopping.is_set():
                        return
                raise NoSignal("the stream has ended")
            except av.BlockingIOError:
                stopping.wait(_POLL_SECONDS)
                self._check_stall()
            except av.ExitError as exc:
                raise NoSignal(f"no data for {self._stall_seconds:g} s") from without_credentials(exc)
            except av.FFmpegError as exc:
                raise NoSignal(problem_of(exc)) from without_credentials(exc)

    def _check_stall(self) -> None:
        """Raise NoSignal if no picture arrived for too long, even if other data did: sound, or undecodable video."""
        if self._has_joined and self._waited_seconds() > self._stall_seconds:
            raise NoSignal(f"no picture for {self._stall_seconds:g} s")
        if not self._has_joined:
            self._wait_for_key_frame()

    def _wait_for_key_frame(self) -> None:
        waited_seconds = time.perf_counter() - self._asked_seconds
        if waited_seconds > self._join_seconds:
            raise NoSignal(f"no key frame for {self._join_seconds:g} s", "wait longer with --open-timeout")
        if waited_seconds > _PATIENCE_SECONDS and not self._is_wait_told:
            log.warning("%s: waiting for a key frame", redacted(self.container.name))
            self._is_wait_told = True

    def _waited_seconds(self) -> float:
        """Return the time since the last picture, or since the first one was requested."""
        return time.perf_counter() - self._since_seconds


def _decode_at_once(decoder: av.VideoCodecContext) -> None:
    """Make each picture come out with its own packet."""
    # Frame threads would delay the video by a picture each, and with slice threads H.264 does not notice damage.
    decoder.thread_type = ThreadType.SLICE
    decoder.thread_count = 1 if decoder.name == "h264" else 0
    if not decoder.has_b_frames:
        decoder.flags |= Flags.low_delay  # AV1 has threads of its own, which it then does without


def connected(name: str, connect: Callable[[], Connection]) -> Connection:
    """Open the first connection to a source of this name. Raises InputError."""
    try:
        return connect()
    except NoSignal as exc:
        raise exc.in_one_line(name) from exc

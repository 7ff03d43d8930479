"""One connection to a camera or a network stream, from its opening until nothing comes any more."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from fractions import Fraction

import av
from av.codec.context import ThreadType
from av.container import InputContainer

from livecam.errors import InputError
from livecam.sources.inputs import redacted, without_credentials

STALL_SECONDS = 3.0
"""Without a frame for so long, the signal is lost: UDP never fails, and TCP may hang without being closed."""
JOIN_SECONDS = 10.0
"""How long the first key frame may take: that of a stream may be as far away as its encoder was told."""
_POLL_SECONDS = 0.002
_USUAL_RATE = Fraction(30)
_FASTEST = 1000
_IN_PIECES = ("hls", "dash")


class NoSignal(Exception):  # noqa: N818 - an error only where nothing has been opened yet
    """It cannot be opened, or gives no more frames: why, in a few words, and what to do about it."""

    def __init__(self, problem: str, advice: str = "") -> None:
        super().__init__(problem)
        self._advice = advice

    def in_one_line(self, name: str) -> InputError:
        """The same, as the user is told it of a source that has never been open."""
        advice = f"; {self._advice}" if self._advice else ""
        return InputError(f"cannot open {name}: {self}{advice}")


def problem_of(error: av.FFmpegError) -> str:
    """What FFmpeg says, in its few words, without credentials."""
    words = str(error.strerror)
    return redacted(words[:1].lower() + words[1:])


class Connection:
    """The first video stream of an opened container, picture by picture as they come. Raises NoSignal.

    `asked_seconds` is when it was asked for, by `time.perf_counter`: since then pictures may have come. Where the
    container's reads block, its own read timeout has to be `stall_seconds`; where they do not, as those of cameras,
    they are tried again until something comes.
    """

    def __init__(
        self,
        container: InputContainer,
        *,
        stall_seconds: float = STALL_SECONDS,
        join_seconds: float = JOIN_SECONDS,
        asked_seconds: float | None = None,
    ) -> None:
        self.container = container
        self._longest_wait_seconds = join_seconds  # until the first key frame, then
        self._stall_seconds = stall_seconds
        self._has_joined = False
        self._since_seconds = time.perf_counter() if asked_seconds is None else asked_seconds
        if not container.streams.video or container.streams.video[0].codec_context is None:
            container.close()
            raise NoSignal("there is no video in it that can be decoded", "name a stream with video")
        self.stream = container.streams.video[0]
        # Threads by frames would keep back a picture each.
        self.stream.codec_context.thread_type = ThreadType.SLICE

    @property
    def rate(self) -> Fraction | None:
        """Frames a second as the other side tells, None where it does not."""
        rate = self.stream.average_rate or self.stream.guessed_rate
        return rate if rate and rate <= _FASTEST else None  # RTSP may tell that of its clock

    @property
    def has_an_end(self) -> bool:
        """Whether it is a recording, which knows how long it lasts."""
        return self.container.duration is not None

    @property
    def comes_in_pieces(self) -> bool:
        """Whether the pictures of some seconds come at once, and then none for as long."""
        return self.container.format.name in _IN_PIECES

    @property
    def facts(self) -> str:
        """The codec, and how it comes here."""
        return f"{self.stream.codec_context.name}, {self.container.format.name.split(',')[-1]}"

    def pictures(self, stopping: threading.Event) -> Iterator[av.VideoFrame]:
        """Those that come from now on, until `stopping`.

        What piled up while nobody read is passed over: it comes without having to be waited for, and there cannot be
        more of it than there was time for.
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
        """Hang up."""
        self.container.close()

    def _decoded(self, stopping: threading.Event) -> Iterator[av.VideoFrame]:
        """Decoded pictures from the first key frame on: those before it are made up of what was not received."""
        for packet in self._packets(stopping):
            # Before decoding: FFmpeg keeps a picture back until the next begins, or until the wait for it is given up.
            self._check_stall()
            if packet.stream.index == self.stream.index:
                for picture in _decoded(packet):
                    self._has_joined = self._has_joined or picture.key_frame
                    if self._has_joined:
                        self._longest_wait_seconds = self._stall_seconds
                        yield picture

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
        """Something may come all the while, and be no picture: sound, or what cannot be decoded."""
        if self._waited_seconds() > self._longest_wait_seconds:
            raise NoSignal(f"no picture for {self._longest_wait_seconds:g} s")

    def _waited_seconds(self) -> float:
        """Since the last picture, or since one was asked for."""
        return time.perf_counter() - self._since_seconds


def _decoded(packet: av.Packet) -> list[av.VideoFrame]:
    """The pictures; none of a packet that was damaged on its way, as nothing promised it."""
    try:
        return packet.decode()
    except av.FFmpegError:
        return []


OPEN_SECONDS = 5.0
_OPTIONS = {
    # No fflags=nobuffer: it throws away what was read to find out what comes, most often with the only key frame of the
    # next seconds. `Connection.pictures` passes over it as quickly, and can show what follows.
    "analyzeduration": "500000",  # microseconds; FFmpeg's own 5 s are waited for in full where streams may appear later
    "rtsp_transport": "tcp",  # UDP loses packets as soon as a key frame is larger than a buffer on the way
}


def connect_stream(uri: str, *, open_seconds: float = OPEN_SECONDS, stall_seconds: float = STALL_SECONDS) -> Connection:
    """Join a stream. Raises NoSignal."""
    asked_seconds = time.perf_counter()
    try:
        container = av.open(uri, options=_OPTIONS, metadata_errors="replace", timeout=(open_seconds, stall_seconds))
    except av.ExitError as exc:
        raise _cannot_join(f"no answer for {open_seconds:g} s") from without_credentials(exc)
    except av.InvalidDataError as exc:
        raise _cannot_join("what comes is no video") from without_credentials(exc)
    except av.EOFError as exc:
        raise _cannot_join("it is closed without having sent anything") from without_credentials(exc)
    except av.FFmpegError as exc:
        raise _cannot_join(problem_of(exc)) from without_credentials(exc)
    return Connection(container, stall_seconds=stall_seconds, asked_seconds=asked_seconds)


def _cannot_join(problem: str) -> NoSignal:
    return NoSignal(problem, "check the address and that it is being sent")

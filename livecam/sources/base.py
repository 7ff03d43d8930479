"""What every source is."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

import av
from av.video.reformatter import VideoReformatter

from livecam.ledger import Gap
from livecam.picture.frame import Frame
from livecam.picture.media import Media
from livecam.system import cores


class Signal:
    """It is there until it is lost, and again with the next frame. `clock` is that by which frames are stamped."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._first_seconds: float | None = None
        self._last_seconds = clock()
        self._problem = self._cause = ""  # now, and at first
        self._gaps: list[Gap] = []

    def lost_seconds(self) -> float | None:
        """How long ago the last frame came, None while they come."""
        with self._lock:
            return self._clock() - self._last_seconds if self._problem else None

    @property
    def problem(self) -> str:
        """Why the signal is lost, in a few words; empty while frames come."""
        return self._problem

    @property
    def gaps(self) -> list[Gap]:
        """Those that are over."""
        with self._lock:
            return list(self._gaps)

    def lose(self, problem: str) -> None:
        """No frames come, for this reason, or now for this one."""
        with self._lock:
            self._cause = self._cause or problem
            self._problem = problem

    def came(self, seconds: float) -> None:
        """A frame came."""
        with self._lock:
            self._end_gap(seconds)
            if self._first_seconds is None:
                self._first_seconds = seconds
            self._last_seconds = seconds

    def stop(self) -> None:
        """No more frames will be asked for."""
        with self._lock:
            self._end_gap(self._clock())

    def _end_gap(self, seconds: float) -> None:
        # What went wrong before the first frame is no gap between frames.
        if self._problem and self._first_seconds is not None:
            begin_seconds, end_seconds = self._last_seconds - self._first_seconds, seconds - self._first_seconds
            self._gaps.append(Gap(round(begin_seconds, 3), round(end_seconds, 3), self._cause))
        self._problem = self._cause = ""


OnPacket = Callable[[av.Packet], None]


class Source(ABC):
    """Gives frames, once, in the order in which they are shown.

    Opening happens in the constructor, which raises InputError and decodes the first frame, so that what cannot be read
    is found before a model is loaded. `unreadable`, `unreadable_files` and `damaged` are as in the ledger, and final
    once the frames are exhausted. `close` is called once, by the thread that opened, after the frames have ended.

    `name` is what the source is called on screen and in reports, without credentials. The frames of one that `is_live`
    come on a schedule of their own, whether or not anyone takes them; `signal` tells whether they do.
    """

    media: Media
    name: str = ""
    is_live: bool = False
    signal: Signal = Signal()
    """That of a source that cannot lose it."""
    unreadable: int = 0
    unreadable_files: Sequence[str] = ()
    damaged: int = 0

    @property
    def facts(self) -> str:
        """What comes, in a few words: 1280x720, 30 fps."""
        size = f"{self.media.width}x{self.media.height}"
        return f"{size}, {float(self.media.rate):.4g} fps" if self.media.rate else size

    @abstractmethod
    def frames(self, on_packet: OnPacket) -> Iterator[Frame]:
        """The frames. Packets of `media.copied_streams` go to `on_packet` as they come by. May raise InputError."""

    def stop(self) -> None:  # noqa: B027 - most never wait
        """Make `frames` end instead of waiting for what is to come; for any thread."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the file or device."""

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


log = logging.getLogger("livecam")


class FirstSize:
    """An encoder takes one size: pictures that come in another later on are scaled to it, which is told once."""

    def __init__(self, name: str, width: int, height: int) -> None:
        self._name, self._width, self._height = name, width, height
        self._reformatter = VideoReformatter()
        self._was_told = False

    def fit(self, picture: av.VideoFrame) -> av.VideoFrame:
        """The picture itself where it has the size, else a scaled one with its time."""
        if (picture.width, picture.height) == (self._width, self._height):
            return picture
        if not self._was_told:
            self._was_told = True
            log.warning(
                "%s changes from %dx%d to %dx%d: scaled to the first size",
                *(self._name, self._width, self._height, picture.width, picture.height),
            )
        return self._reformatter.reformat(picture, self._width, self._height, threads=cores.SCALER)

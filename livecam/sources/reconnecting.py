"""A camera or a network stream as a source that reconnects whenever the signal is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction

import av

from livecam.picture.frame import Frame
from livecam.picture.media import Orientation, media_of
from livecam.sources.base import OnPacket, Source
from livecam.sources.conditioning import Conditioner, conditioned
from livecam.sources.connection import Connection, NoSignal
from livecam.sources.signal import LossNotes, Signal

_TIME_BASE = Fraction(1, 90_000)


class ReconnectingSource(Source):
    """Yields frames as they arrive, with their times of arrival, counted from the first one.

    A camera's or server's own clock restarts with every connection, so it is not used. When `connection` is lost,
    `reconnect` is called until it returns another one or `stop` is called: after `first_wait_seconds`, then after twice
    as long each time, up to `longest_wait_seconds`.

    `stop` ends a wait between two attempts, or for a camera's next frame, at once. A network read or a connection
    attempt that hangs ends by its own timeout, within some seconds. A caller that cannot wait for that should read in a
    daemon thread, which closes the source.
    """

    is_live = True

    def __init__(
        self,
        name: str,
        connection: Connection,
        reconnect: Callable[[], Connection],
        *,
        first_wait_seconds: float = 0.25,
        longest_wait_seconds: float = 2.0,
    ) -> None:
        self.name = name
        self.signal = Signal()
        self._loss_notes = LossNotes(name)
        self._connection: Connection | None = connection
        self._reconnect = reconnect
        self._first_wait_seconds, self._longest_wait_seconds = first_wait_seconds, longest_wait_seconds
        self._stopping = threading.Event()
        try:
            first = next(connection.pictures(self._stopping))
        except BaseException as exc:
            connection.close()
            if isinstance(exc, NoSignal):
                raise exc.in_one_line(name) from exc
            raise
        self._what_comes = connection.facts
        self.media = conditioned(
            media_of(
                first,
                time_base=_TIME_BASE,
                rate=connection.rate,
                sample_aspect_ratio=connection.stream.sample_aspect_ratio or None,
            )
        )
        self._orientation = Orientation.of(self.media.display_matrix)
        self._aspect = self.media.sample_aspect_ratio or Fraction(1)
        self._begin_seconds: float | None = None
        self._damaged: set[int] = set()  # the pts of pictures that are on their way

    @property
    def facts(self) -> str:
        """A short description of frames and connection: 1280x720, 30 fps, mjpeg, v4l2."""
        return f"{super().facts}, {self._what_comes}"

    def frames(self, on_packet: OnPacket) -> Iterator[Frame]:
        conditioner = Conditioner(self.name, self.media, self._sample_aspect_ratio)
        try:
            for index, picture in enumerate(conditioner.pictures(self._stamped())):
                assert self._begin_seconds is not None and picture.time is not None  # it was stamped
                yield Frame(
                    picture=picture,
                    index=index,
                    captured_seconds=self._begin_seconds + picture.time,
                    orientation=self._orientation,
                    sample_aspect_ratio=self._aspect,
                    is_damaged=self._take_damaged(picture.pts),
                )
        finally:
            self.signal.stop()

    def idle(self, until: threading.Event, on_frame: Callable[[Frame], None]) -> None:
        for picture in self._pictures():
            if until.is_set():
                break
            on_frame(Frame(picture=picture, orientation=self._orientation, sample_aspect_ratio=self._aspect))

    def stop(self) -> None:
        self._stopping.set()

    def close(self) -> None:
        if self._connection is not None:
            self.unreadable += self._connection.unreadable
            self._connection.close()
            self._connection = None

    def _stamped(self) -> Iterator[av.VideoFrame]:
        """Yield the pictures with their times of arrival, later for each."""
        last_pts = -1
        for picture in self._pictures():
            now_seconds = time.perf_counter()
            self._found(now_seconds)
            self._begin_seconds = now_seconds if self._begin_seconds is None else self._begin_seconds
            last_pts = max(int((now_seconds - self._begin_seconds) / _TIME_BASE), last_pts + 1)
            if self._connection is not None and self._connection.is_damaged:
                self._damaged.add(last_pts)
            picture.pts, picture.time_base, picture.duration = last_pts, _TIME_BASE, 0
            yield picture

    def _take_damaged(self, pts: int | None) -> bool:
        """Return True if the picture of this time is damaged, and count it."""
        is_damaged = pts in self._damaged
        self.damaged += is_damaged
        self._damaged -= {pts}
        return is_damaged

    def _sample_aspect_ratio(self) -> Fraction | None:
        return self._connection.stream.codec_context.sample_aspect_ratio if self._connection else None

    def _pictures(self) -> Iterator[av.VideoFrame]:
        """Yield the pictures of one connection after the other."""
        wait_seconds = self._first_wait_seconds
        while not self._stopping.is_set():
            try:
                self._connection = self._connection or self._reconnect()
                for picture in self._connection.pictures(self._stopping):
                    wait_seconds = self._first_wait_seconds
                    yield picture
            except NoSignal as exc:
                self._lost(str(exc))
                self.close()
                self._stopping.wait(wait_seconds)
                wait_seconds = min(2 * wait_seconds, self._longest_wait_seconds)

    def _lost(self, problem: str) -> None:
        self._loss_notes.lost(problem)
        self.signal.lose(problem)

    def _found(self, now_seconds: float) -> None:
        self._loss_notes.came(self.signal.lost_seconds())
        self.signal.came(now_seconds)

"""The sink of a stream: sends pictures as they are drawn, to a receiver that may go away and come back."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from concurrent.futures import wait
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import av

from livecam.errors import OutputError
from livecam.picture.frame import Frame
from livecam.picture.media import Media, Orientation
from livecam.picture.planes import padded_size
from livecam.picture.upright import upright_picture
from livecam.sinks.base import Sink, SinkKind, check_place
from livecam.sinks.destination import DEVICE, check_device, check_url, destination_of, is_stream, numbered, scheme_of
from livecam.sinks.encoder import EncoderOptions, check_encoder
from livecam.sinks.stream_connection import PIXEL_FORMAT, Connection, NotSent, Order
from livecam.system.background import in_background

log = logging.getLogger("livecam")

_CONNECTING = "connecting"
_MOST_WAITING = 2
"""The pictures that wait to be sent, with the one that is on its way; more would only be older."""
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.5, 10.0
"""The time between two attempts to connect: at first, and after many."""
_LIVE_END_SECONDS = 2.0
"""How long the end of a live run waits for the last pictures to be sent."""


class StreamSink(Sink):
    """Encodes pictures and sends them, by a thread that connects again whenever the receiver is lost.

    Pictures that nobody takes are `dropped`, at "connect" while there is no receiver, at "send" while it is too slow.

    Args:
        output: The name of the stream.
        media: The facts of the pictures.
        encoder: The user's options.
        is_live: True for a live run, in which the receiver may come later, and a playlist keeps only what is new.
        waits: `write` returns when a picture is due by its time and has been sent or dropped; else it never waits.

    Raises:
        OutputError: There is no receiver, unless it is live.
    """

    pixel_format = PIXEL_FORMAT

    def __init__(self, output: str, media: Media, encoder: EncoderOptions, *, is_live: bool, waits: bool) -> None:
        self.dropped = Counter(connect=0, send=0)  # all keys from the beginning: other threads iterate over it
        self.arrived: int = 0
        self.problem: str | None = _CONNECTING
        self._is_live, self._waits = is_live, waits
        self._destination = destination_of(output, keeps_all=not is_live)
        self._media, self._orientation = _upright(media)
        self._given = 0
        self._first_pts: int | None = None
        self._first_seconds = 0.0
        self._waiting: deque[tuple[int, av.VideoFrame]] = deque()  # the first one is on its way
        self._in_doubt = 0  # pictures of a segment that is not complete
        self._changed = threading.Condition()
        self._is_hurrying = self._is_ending = self._is_over = False
        self._end_seconds: float | None = None  # until when the end waits for the receiver
        self._connection: Connection | None = None
        self._lost_seconds: float | None = None
        self._dropped_before = 0
        self._sending = in_background(partial(self._run, Order(self._destination, self._media, encoder)), "stream")
        if not is_live:
            self._check_receiver()

    def _check_receiver(self) -> None:
        """Wait until the first attempt to connect has ended. Raises OutputError if it has failed."""
        try:
            with self._changed:
                self._changed.wait_for(lambda: self.problem != _CONNECTING)
                problem = self.problem
            if problem is not None:
                raise OutputError(f"cannot send to {self._destination.name}: {problem}; {self._destination.advice}")
        except BaseException:
            self.abort()
            raise

    def write(self, picture: av.VideoFrame, frame: Frame) -> None:
        picture = upright_picture(picture, self._orientation)
        assert picture.pts is not None  # every frame of a video has one
        with self._changed:
            if self._waits:
                self._changed.wait_for(lambda: self.problem != _CONNECTING or self._is_hurrying)
            if self._first_pts is None:
                self._first_pts, self._first_seconds = picture.pts, time.monotonic()
            pts = picture.pts - self._first_pts
            if self._waits and not self._destination.is_on_disk:
                early_seconds = self._first_seconds + float(pts * self._media.time_base) - time.monotonic()
                self._changed.wait_for(lambda: self._is_over or self._is_hurrying, max(early_seconds, 0))
            self._given += 1
            may_arrive = self.problem is None or (self.problem == _CONNECTING and self._is_hurrying)
            if self._is_over or not may_arrive:
                self.dropped["connect"] += 1
            elif len(self._waiting) >= _MOST_WAITING and not self._is_hurrying:
                self.dropped["send"] += 1
            else:
                self._waiting.append((pts, picture))
                self._changed.notify_all()
            if self._waits:
                self._changed.wait_for(lambda: not self._waiting or self._is_hurrying)

    def hurry(self) -> None:
        with self._changed:
            if not self._is_hurrying:
                self._is_hurrying, self._end_seconds = True, time.monotonic() + _LIVE_END_SECONDS
                self._changed.notify_all()

    def finish(self) -> bool | None:
        if self._is_live:
            self.hurry()
        with self._changed:
            self._is_ending = True
            self._changed.notify_all()
        wait([self._sending], self._end_seconds and max(self._end_seconds - time.monotonic(), 0))
        reason = {_CONNECTING: "no answer yet", None: "it takes nothing"}.get(self.problem, self.problem)
        self.abort()
        if not self.arrived:
            raise OutputError(f"nothing was sent to {self._destination.name}: {reason}")
        return None

    def abort(self) -> None:
        with self._changed:
            self._is_ending = self._is_over = True
            self._changed.notify_all()
            if self._connection is not None:
                self._connection.kill()
        wait([self._sending])

    def report(self) -> dict[str, Any]:
        return {
            "output": {
                "path": self._destination.name,
                "picture_size": [self._media.width, self._media.height],
                "sent": self.arrived,
                "dropped": dict(self.dropped),
            }
        }

    def _run(self, order: Order) -> None:
        """Send until the end, by one connection after the other."""
        wait_seconds = _FIRST_WAIT_SECONDS
        while not self._is_ending:
            arrived_before = self.arrived
            try:
                with Connection(order) as connection:
                    self._connect(connection)
                    self._send_waiting(connection)
                    connection.finish()
                    self._settle(in_doubt=0)
            except NotSent as exc:
                self._lose(exc)
            except OSError as exc:  # there can be no further process
                self._lose(NotSent(f"cannot start a process ({exc.strerror})"))
            wait_seconds = _FIRST_WAIT_SECONDS if self.arrived > arrived_before else wait_seconds
            with self._changed:
                self._changed.wait_for(lambda: self._is_ending, wait_seconds)
            wait_seconds = min(2 * wait_seconds, _LONGEST_WAIT_SECONDS)

    def _connect(self, connection: Connection) -> None:
        with self._changed:
            self._connection = connection
            if self._is_over:
                connection.kill()
        connection.connect()
        with self._changed:
            self.problem = None
            self._changed.notify_all()

    def _send_waiting(self, connection: Connection) -> None:
        """Send pictures until the end."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_ending)
                if not self._waiting:
                    return
                pts, picture = self._waiting[0]
            in_doubt = connection.send(pts, picture)
            with self._changed:
                self._waiting.popleft()
                self._in_doubt += 1
                self._settle(in_doubt)
                self._changed.notify_all()

    def _settle(self, in_doubt: int) -> None:
        """Count the pictures that have arrived: all that were sent but for the last ones, which are in doubt."""
        arrived, self._in_doubt = self._in_doubt - in_doubt, in_doubt
        self.arrived += arrived
        if arrived and self._lost_seconds is not None:
            seconds, dropped = time.monotonic() - self._lost_seconds, self.dropped.total() - self._dropped_before
            log.info("%s receives after %.0f s; %d frames were dropped", self._destination.name, seconds, dropped)
            self._lost_seconds = None

    def _lose(self, error: NotSent) -> None:
        """Count what is lost with a connection, and tell that it is, once."""
        with self._changed:
            place = "send" if self._is_over else "connect"
            self.dropped[place] += len(self._waiting) + self._in_doubt
            self._in_doubt = 0
            self._waiting.clear()
            self._connection, self.problem = None, str(error)
            self._changed.notify_all()
        if self._lost_seconds is None and not self._is_ending:
            self._lost_seconds, self._dropped_before = time.monotonic(), self.dropped.total()
            if self._is_live or self._given:
                log.warning("%s: %s; frames are dropped until it receives", self._destination.name, error)


def _upright(media: Media) -> tuple[Media, Orientation]:
    """Return the facts of the upright pictures of a stream, and how they are turned: receivers know no rotation."""
    orientation = Orientation.of(media.display_matrix)
    width, height = orientation.swap(*padded_size(media.width, media.height, PIXEL_FORMAT))
    aspect = media.sample_aspect_ratio and orientation.upright_aspect(media.sample_aspect_ratio)
    plain = Media(width=width, height=height, pixel_format=PIXEL_FORMAT, time_base=media.time_base, rate=media.rate)
    colors = {
        name: getattr(media, name) for name in ("color_range", "color_space", "color_primaries", "color_transfer")
    }
    return replace(plain, sample_aspect_ratio=aspect, chroma_location=media.chroma_location, **colors), orientation


def _check(output: str, *, overwrite: bool) -> None:
    """Check what can be known of a stream before it is sent. Raises OutputError."""
    if output.startswith(DEVICE):
        check_device(output)
    elif scheme_of(output):
        check_url(output)
    else:
        check_place(Path(output), overwrite)


def _opened(output: str, media: Media, encoder: EncoderOptions) -> StreamSink:
    if any(stream.type == "audio" for stream in media.copied_streams):
        log.warning("%s gets the pictures without the sound", destination_of(output, keeps_all=True).name)
    return StreamSink(output, media, encoder, is_live=False, waits=True)


STREAM = SinkKind(
    recognises=is_stream,
    open=_opened,
    open_live=partial(StreamSink, is_live=True),
    takes_several=False,
    takes_stills=False,
    check_name=_check,
    check_encoder=lambda output, encoder: check_encoder(encoder, "libx264"),
    shown=lambda output: destination_of(output, keeps_all=True).name,
    numbered=numbered,
)

"""Streams that arrive in segments of some seconds, as HLS does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import av
from av.container import InputContainer

from livecam.sources.connection import Choose, Connection, NoSignal

_STALL_SECONDS = 10.0
"""The time without data after which the signal is lost: that of a segment, and more."""
_LONGEST_PAUSE_SECONDS = 2.0
_MOST_LATE_SECONDS = 0.1
_FORMATS = ("hls", "dash")


def is_segmented(connection: Connection) -> bool:
    """Return True if pictures arrive in bursts of some seconds."""
    return connection.container.format.name in _FORMATS


class Segments(Connection):
    """Yields each picture of a segment at its own time. Raises NoSignal, also if the stream is over.

    Args:
        request: Opens the playlist, called with `stall_seconds`, the time after which a read has to fail.
        choose: Chooses the stream to show.
    """

    def __init__(self, request: Callable[..., InputContainer], choose: Choose) -> None:
        super().__init__(request(stall_seconds=_STALL_SECONDS), choose, stall_seconds=_STALL_SECONDS)
        if self.has_an_end:
            self.close()
            raise NoSignal("the stream has ended")

    def pictures(self, stopping: threading.Event) -> Iterator[av.VideoFrame]:
        begin_seconds = 0.0  # when the picture with the time 0 is due
        for picture in self._decoded(stopping):
            if picture.time is not None:
                pause_seconds = begin_seconds + picture.time - time.perf_counter()
                if not -_MOST_LATE_SECONDS < pause_seconds < _LONGEST_PAUSE_SECONDS:  # at first, or after a gap
                    begin_seconds -= pause_seconds
                    pause_seconds = 0
                stopping.wait(max(pause_seconds, 0))
            yield picture
            self._since_seconds = time.perf_counter()

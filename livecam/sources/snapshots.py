"""URLs that answer each request with one picture, as many cameras offer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction

import av
from av.container import InputContainer

from livecam.sources.connection import STALL_SECONDS, Choose, Connection, NoSignal

USUAL_RATE = Fraction(2)


class Snapshots(Connection):
    """Yields pictures that are requested one after the other. Raises NoSignal if a request gets none.

    Args:
        request: Opens the URL, called with `stall_seconds`, the time after which a read has to fail. Raises NoSignal.
        choose: Chooses the picture among a file's streams.
        rate: How many pictures per second to ask for.
    """

    def __init__(self, request: Callable[..., InputContainer], choose: Choose, rate: Fraction) -> None:
        self._request, self._rate = request, rate
        super().__init__(request(stall_seconds=STALL_SECONDS), choose)

    @property
    def rate(self) -> Fraction:
        """How many pictures per second are asked for."""
        return self._rate

    def pictures(self, stopping: threading.Event) -> Iterator[av.VideoFrame]:
        while not stopping.is_set():
            yield from self._answer(stopping)
            self.close()
            stopping.wait(max(self._asked_seconds + float(1 / self._rate) - time.perf_counter(), 0))
            asked_seconds = time.perf_counter()
            self._take(self._request(stall_seconds=STALL_SECONDS), asked_seconds)

    def _answer(self, stopping: threading.Event) -> Iterator[av.VideoFrame]:
        try:
            for picture in self._decoded(stopping):
                self._has_come = True
                yield picture
        except NoSignal:  # also at its end
            if not self._has_come:
                raise

    def _take(self, container: InputContainer, asked_seconds: float) -> None:
        super()._take(container, asked_seconds)
        self._has_come = False

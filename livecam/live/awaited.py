"""A source of a live run that is not open yet."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from fractions import Fraction

from livecam.picture.frame import Frame
from livecam.picture.media import Media
from livecam.run.workers import GivenUp
from livecam.sources import LiveOptions, open_live
from livecam.sources.base import NotThereError, OnPacket, Source
from livecam.sources.signal import Signal
from livecam.text import redacted

log = logging.getLogger("livecam")

_RETRY_SECONDS = 2.0


class AwaitedSource(Source):
    """Stands for a source until it is open; it has no frames, and the facts of a black picture.

    Args:
        uri: What to open, as in `open_live`.
        options: How to read it.
        tries_again: Try again after a camera or stream could not be opened; else it is an error.
    """

    is_live = True
    media = Media(width=640, height=360, pixel_format="yuv420p", time_base=Fraction(1, 90_000))

    def __init__(self, uri: str, options: LiveOptions, *, tries_again: bool) -> None:
        self.name = redacted(uri)
        self.signal = Signal()
        self._uri, self._options, self._tries_again = uri, options, tries_again
        self._stopping = threading.Event()

    def opened(self) -> Source:
        """Open the source, again and again until it is there.

        Raises:
            InputError: It cannot be opened.
            GivenUp: It was stopped.
        """
        while not self._stopping.is_set():
            try:
                return open_live(self._uri, self._options)
            except NotThereError as exc:
                if not self._tries_again:
                    raise
                self._tell(str(exc))
                self._stopping.wait(_RETRY_SECONDS)
        raise GivenUp

    def frames(self, on_packet: OnPacket) -> Iterator[Frame]:
        yield from ()

    def stop(self) -> None:
        self._stopping.set()

    def close(self) -> None:
        pass

    def _tell(self, problem: str) -> None:
        if problem != self.signal.problem:
            log.warning("%s; it is tried again until it is there", problem)
        self.signal.lose(problem)

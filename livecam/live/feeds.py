"""The feeds of a live run, and the threads that open and read their sources."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, wait

from livecam.errors import InputError
from livecam.live.feed import Feed
from livecam.sources.base import Source
from livecam.system.background import in_background

_POLL_SECONDS = 0.01
_PATIENCE_SECONDS = 2.0
"""How long a run that could begin waits for further sources to be opened; they join it later."""
_LONGEST_END_SECONDS = 0.5
"""How long the threads may take to end. One that takes longer hangs in FFmpeg, and is left behind."""


class Feeds(list[Feed]):
    """The feeds of all sources of a run, each opened, read and closed by a thread of its own.

    Use it as a context manager: the threads work inside of the block. `changed` is the condition that all feeds share.
    """

    def __init__(self, sources: Sequence[Source], *, skips_damaged: bool = False) -> None:
        self.changed = threading.Condition()
        super().__init__(Feed(source, self.changed, skips_damaged=skips_damaged) for source in sources)
        self._reading: list[Future[None]] = []

    def __enter__(self) -> Feeds:
        self._reading = [in_background(feed.read, f"reader-{number}") for number, feed in enumerate(self)]
        return self

    def __exit__(self, *exc: object) -> None:
        self._end_reading()

    def wait_until_open(self) -> None:
        """Wait until every source is open or has failed; if some are open, not for long. Raises InputError."""
        begin_seconds = time.monotonic()
        while not all(feed.is_settled for feed in self):
            is_late = time.monotonic() - begin_seconds > _PATIENCE_SECONDS
            if is_late and any(feed.is_open for feed in self):
                break
            time.sleep(_POLL_SECONDS)
        self.raise_failure()
        if not any(feed.is_open for feed in self):
            raise InputError(f"none of the {len(self)} sources can be opened")

    def raise_failure(self) -> None:
        """Raise the exception of the first source that failed, if one did."""
        for reading in self._reading:
            if reading.done():
                reading.result()

    def stop(self) -> None:
        """Make the threads end, even those that wait. Thread-safe."""
        for feed in self:
            feed.stop()

    def end(self) -> None:
        """Stop the threads, and complete the ledgers."""
        self._end_reading()
        for feed in self:
            feed.close()

    def _end_reading(self) -> None:
        self.stop()
        wait(self._reading, _LONGEST_END_SECONDS)

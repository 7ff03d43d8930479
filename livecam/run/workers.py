"""The threads of a run, how they end, and the channels between them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Generic, TypeVar

from livecam.system.signals import ending_signals_held


class GivenUp(Exception):  # noqa: N818 - not an error of the stage
    """Raised in a waiting worker when the run has failed or was aborted, to end the worker."""


class Workers:
    """Runs each of `works`, by name, in a thread of its own; the first that fails ends them all.

    Args:
        works: What each thread does. It ends by returning or by raising; GivenUp counts as returning.
        on_failure: Called by a thread that has failed, without holding any lock. It must make the others end, even
            those that wait.

    Attributes:
        failure: What the first thread to fail has raised, None if none has.
    """

    def __init__(self, works: Mapping[str, Callable[[], None]], on_failure: Callable[[], None]) -> None:
        self.failure: BaseException | None = None
        self._on_failure = on_failure
        self._ended = {name: threading.Event() for name in works}
        self._threads = [
            threading.Thread(target=partial(self._run, work, self._ended[name]), name=f"livecam-{name}")
            for name, work in works.items()
        ]

    def run(self, tick: Callable[[], None], *, stop: Callable[[], None], give_up: Callable[[], None]) -> None:
        """Start the threads and return when all of them have ended.

        Signals that end the program are handled between two calls of `tick`.

        Args:
            tick: Called by this thread repeatedly until all others have ended. It should take some time, for example by
                calling `wait`. If it raises, the run fails as if a worker had raised.
            stop: Called at the first KeyboardInterrupt. It must make the workers finish their current work, then end.
            give_up: Called at any further KeyboardInterrupt. It must make the workers end at once.

        Raises:
            BaseException: The first exception of a worker or `tick`; else the KeyboardInterrupt.
        """
        interrupt: KeyboardInterrupt | None = None
        with ending_signals_held() as handle_next_signal:
            while not all(ended.is_set() for ended in self._ended.values()):
                try:
                    self._start()
                    tick()
                    handle_next_signal()
                except KeyboardInterrupt as exc:
                    if interrupt is None:
                        interrupt = exc
                        stop()
                    else:
                        give_up()
                except BaseException as exc:
                    self._fail(exc)
        for thread in self._threads:
            if thread.ident is not None:  # else it was never started
                thread.join()
        if error := self.failure or interrupt:
            raise error

    def wait(self, seconds: float) -> None:
        """Wait for a worker to end, at most for the timeout."""
        # Not by join: in CPython 3.11 a join that is interrupted may take a running thread for one that has ended.
        if ongoing := self.ongoing:
            self._ended[ongoing[0]].wait(seconds)

    @property
    def ongoing(self) -> list[str]:
        """The names of those that have not ended."""
        return [name for name, ended in self._ended.items() if not ended.is_set()]

    def _start(self) -> None:
        """Start the threads that have not been started; the loop above may have been interrupted between two.

        Once the run has failed they have ended: the system may have no room for another thread.
        """
        for thread, ended in zip(self._threads, self._ended.values(), strict=True):
            if thread.ident is None and self.failure is None:
                thread.start()
            elif thread.ident is None:
                ended.set()

    def _fail(self, error: BaseException) -> None:
        self.failure = self.failure or error
        self._on_failure()

    def _run(self, work: Callable[[], None], ended: threading.Event) -> None:
        try:
            work()
        except GivenUp:
            pass
        except BaseException as exc:
            self._fail(exc)
        finally:
            ended.set()


Item = TypeVar("Item")


class Channel(Generic[Item]):
    """A queue from one producer thread, which puts and closes, to one consumer thread, which iterates.

    It holds at most `capacity` items; if it is full, the producer waits. After `close` the consumer gets the remaining
    items, then its iteration ends. After `abort`, which any thread may call, both sides get `GivenUp` at once, even
    while they wait.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"a channel holds at least one item, not {capacity}")
        self.capacity = capacity
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._aborted = False

    def put(self, item: Item) -> None:
        """Add an item, waiting for room. Raises GivenUp."""
        with self._changed:
            self._changed.wait_for(lambda: self._aborted or len(self._items) < self.capacity)
            if self._aborted:
                raise GivenUp
            self._items.append(item)
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Item]:
        for items in self.batches(1):
            yield items[0]

    def batches(self, size: int) -> Iterator[list[Item]]:
        """Iterate over lists of a fixed number of items; the last may be shorter.

        Raises:
            GivenUp: The channel was aborted.
            ValueError: The number exceeds the channel's capacity.
        """
        if size > self.capacity:
            raise ValueError(f"a channel of {self.capacity} never holds {size} items")
        while items := self._take(size):
            yield items

    def _take(self, size: int) -> list[Item]:
        with self._changed:
            self._changed.wait_for(lambda: self._aborted or self._closed or len(self._items) >= size)
            if self._aborted:
                raise GivenUp
            items = [self._items.popleft() for _ in range(min(size, len(self._items)))]
            self._changed.notify_all()
            return items

    def close(self) -> None:
        """Mark the end of the items."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Wake up and end both sides, dropping the items in the channel."""
        with self._changed:
            self._aborted = True
            self._changed.notify_all()

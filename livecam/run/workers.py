"""The threads of a run, how they end, and the channel by which one hands its work to the next."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Generic, TypeVar


class GivenUp(Exception):  # noqa: N818 - not an error of the stage
    """Raised in a worker that waits when the run has failed or was given up: it has nothing left to do."""


class Workers:
    """Runs each of `works`, by name, in a thread of its own; the first that fails ends them all.

    Args:
        works: What each thread does. It ends by returning or by raising; GivenUp counts as returning.
        on_failure: Called once any of them has failed, without holding any lock, by the thread that failed. It makes
            the others end, also those that wait.
    """

    def __init__(self, works: Mapping[str, Callable[[], None]], on_failure: Callable[[], None]) -> None:
        self._error: BaseException | None = None
        self._on_failure = on_failure
        self._ended = {name: threading.Event() for name in works}
        self._threads = [
            threading.Thread(target=partial(self._run, work, self._ended[name]), name=f"livecam-{name}")
            for name, work in works.items()
        ]

    def run(self, tick: Callable[[], None], *, stop: Callable[[], None], give_up: Callable[[], None]) -> None:
        """Start the threads and return when all of them are gone.

        Args:
            tick: Called by this thread, again and again until the last of the others has ended. It should wait for a
                moment, by `wait` if for nothing else. If it raises, the run has failed, as if a worker had.
            stop: Called at the first KeyboardInterrupt. It makes the workers complete what they have begun, then end.
            give_up: Called at any further KeyboardInterrupt. It makes the workers end at once.

        Raises:
            BaseException: The first that a worker or `tick` raised; else the KeyboardInterrupt.
        """
        interrupt: KeyboardInterrupt | None = None
        while not all(ended.is_set() for ended in self._ended.values()):
            try:
                self._start()
                tick()
            except KeyboardInterrupt as exc:
                if interrupt is None:
                    interrupt = exc
                    stop()
                else:
                    give_up()
            except BaseException as exc:
                self._fail(exc)
        for thread in self._threads:
            thread.join()
        if error := self._error or interrupt:
            raise error

    def wait(self, seconds: float) -> None:
        """Wait for a worker to end, at most so long."""
        # Not by join: in CPython 3.11 a join that is interrupted may take a running thread for one that has ended.
        ongoing = next((ended for ended in self._ended.values() if not ended.is_set()), None)
        if ongoing is not None:
            ongoing.wait(seconds)

    def _start(self) -> None:
        """Start the threads that have not been started; the loop above may have been interrupted between two."""
        for thread in self._threads:
            if thread.ident is None:
                thread.start()

    def _fail(self, error: BaseException) -> None:
        self._error = self._error or error
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
    """Hands items, in order, from one thread that puts and closes to another that iterates; any thread may abort.

    It holds at most `capacity` items: a producer that is ahead waits, and nothing is lost. After `close` the consumer
    gets what is still in it, then its iteration ends. After `abort` both sides get `GivenUp` at once, also while they
    wait.
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
        """Hand an item over, once there is room. Raises GivenUp."""
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
        """Iterate over lists of so many items; the last may be shorter.

        Raises:
            GivenUp: The channel was aborted.
            ValueError: The channel cannot hold so many.
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
        """Say that no more items will come."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Wake up and end both sides; what is in the channel is lost."""
        with self._changed:
            self._aborted = True
            self._changed.notify_all()

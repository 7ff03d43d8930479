"""The threads of one run, each with a stage of the work: the first that fails ends them all."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from functools import partial
from typing import Generic, TypeVar


class GivenUp(Exception):  # noqa: N818 - not an error of the stage
    """The run has failed or was given up: a stage that hears of it has nothing left to do."""


class Workers:
    """Runs each of `works`, by name, in a thread of its own.

    `on_failure` wakes up those that wait, so that they end; it is called with the lock of nobody held.
    """

    def __init__(self, works: Mapping[str, Callable[[], None]], on_failure: Callable[[], None]) -> None:
        self.error: BaseException | None = None
        self._on_failure = on_failure
        self._ended = {name: threading.Event() for name in works}
        self._threads = [
            threading.Thread(target=partial(self._run, work, self._ended[name]), name=f"livecam-{name}")
            for name, work in works.items()
        ]

    @property
    def are_over(self) -> bool:
        """Whether all have ended."""
        return all(ended.is_set() for ended in self._ended.values())

    def start(self) -> None:
        """Start what has not been started."""
        for thread in self._threads:
            if thread.ident is None:
                thread.start()

    def wait(self, seconds: float) -> None:
        """Until one that has not ended does, or so long."""
        # Not by join: in CPython 3.11 a join that is interrupted may take a running thread for one that has ended.
        ongoing = next((ended for ended in self._ended.values() if not ended.is_set()), None)
        if ongoing is not None:
            ongoing.wait(seconds)

    def join(self) -> None:
        """Once they are over, until they are gone."""
        for thread in self._threads:
            thread.join()

    def fail(self, error: BaseException) -> None:
        """Keep the first error, and end all."""
        self.error = self.error or error
        self._on_failure()

    def _run(self, work: Callable[[], None], ended: threading.Event) -> None:
        try:
            work()
        except GivenUp:
            pass
        except BaseException as exc:
            self.fail(exc)
        finally:
            ended.set()


Item = TypeVar("Item")


class Policy(Enum):
    """What `put` does when the channel is full."""

    BLOCK = "block"
    """Wait for room: nothing is lost. For files."""
    LATEST = "latest"
    """Overwrite the oldest waiting item and count it as dropped. For live sources."""


class Channel(Generic[Item]):
    """One producer puts and closes, one consumer iterates; anyone may abort.

    After `close` the consumer still gets what waits, then its iteration ends. After `abort` both sides get
    `GivenUp` at once, also when they were blocked.
    """

    def __init__(self, capacity: int, policy: Policy = Policy.BLOCK) -> None:
        if capacity < 1:
            raise ValueError(f"a channel holds at least one item, not {capacity}")
        self.capacity = capacity
        self.policy = policy
        self.dropped = 0
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._aborted = False

    def put(self, item: Item) -> None:
        """Hand an item over. Raises GivenUp."""
        with self._changed:
            if self.policy is Policy.LATEST and len(self._items) == self.capacity:
                self._items.popleft()
                self.dropped += 1
            self._changed.wait_for(lambda: self._aborted or len(self._items) < self.capacity)
            if self._aborted:
                raise GivenUp
            self._items.append(item)
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Item]:
        for items in self.batches(1):
            yield items[0]

    def batches(self, most: int) -> Iterator[list[Item]]:
        """All that waits, up to so many; of a channel that blocks always so many until the end. Raises GivenUp.

        Raises ValueError where the channel cannot hold so many.
        """
        if most > self.capacity:
            raise ValueError(f"a channel of {self.capacity} never holds {most} items")
        least = most if self.policy is Policy.BLOCK else 1
        while items := self._take(least, most):
            yield items

    def _take(self, least: int, most: int) -> list[Item]:
        with self._changed:
            self._changed.wait_for(lambda: self._aborted or self._closed or len(self._items) >= least)
            if self._aborted:
                raise GivenUp
            items = [self._items.popleft() for _ in range(min(most, len(self._items)))]
            self._changed.notify_all()
            return items

    def close(self) -> None:
        """No more items will come."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Wake up and end both sides."""
        with self._changed:
            self._aborted = True
            self._changed.notify_all()

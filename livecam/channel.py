"""The bounded hand-off between two threads: it blocks, or keeps only the latest item."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from enum import Enum
from typing import Generic, TypeVar

from livecam.stages import GivenUp

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

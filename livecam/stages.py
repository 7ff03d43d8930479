"""The threads of one run, each with a stage of the work: the first that fails ends them all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial


class GivenUp(Exception):  # noqa: N818 - not an error of the stage
    """The run has failed or was given up: a stage that hears of it has nothing left to do."""


class Stages:
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

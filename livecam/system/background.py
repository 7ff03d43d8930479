"""Threads for what may hang outside of Python, which do not keep the program alive."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")


def in_background(work: Callable[[], Result], name: str) -> Future[Result]:
    """Start a thread of its own for something that may hang outside of Python; it does not keep the program alive."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as exc:
            future.set_exception(exc)

    threading.Thread(target=run, name=f"livecam-{name}", daemon=True).start()
    return future


def interruptible(work: Callable[[], Result]) -> Result:
    """Do something that may hang outside of Python, and return its result.

    An interrupt is raised at once; the thread that does the work is then left behind.
    """
    return in_background(work, "work").result()

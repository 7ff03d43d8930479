"""Signals that end the program, held back while their exceptions could be lost."""

from __future__ import annotations

import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

TERMINATING_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""The signals that ask the program to end, or that its terminal has closed."""


@contextmanager
def ending_signals_held() -> Iterator[Callable[[], None]]:
    """Hold back the signals that end the program inside of the block, if this is the main thread.

    Python's handler of Ctrl-C raises an exception wherever the main thread happens to be. If that is a callback of a
    library or the end of an object's life, the exception is swallowed, and the program goes on.

    Yields:
        A function that calls the handler of the next signal held back, if there is one. Usually the handler raises an
        exception. What is left at the end of a block that raises nothing is handled there.
    """
    held: deque[int] = deque()
    before: dict[int, Callable[[int, FrameType | None], object]] = {}

    def handle_next() -> None:
        if held:
            number = held.popleft()
            before[number](number, None)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, *TERMINATING_SIGNALS):
            handler = signal.getsignal(number)
            if callable(handler):  # neither ignored nor left to the system
                before[number] = handler
                signal.signal(number, lambda number, frame: held.append(number))
    try:
        yield handle_next
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    handle_next()

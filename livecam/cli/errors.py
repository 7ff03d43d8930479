"""How a command ends: the exit codes, one line for a known error, and the notes on the way."""

from __future__ import annotations

import functools
import logging
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click

from livecam.errors import LivecamError

EXIT_ERROR = 1
EXIT_INTERRUPTED = 128 + signal.SIGINT
_ENDING_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Terminated(KeyboardInterrupt):
    """SIGTERM, or the terminal is gone; taken like Ctrl-C: finish what was begun, then end."""

    def __init__(self, number: int) -> None:
        self.exit_code = 128 + number


def ends_well(command: Callable[..., None]) -> Callable[..., None]:
    """Wrap a command: an error is one line and exit code 1, Ctrl-C 130, SIGTERM 143; `--debug` shows tracebacks."""

    @click.option("--debug", is_flag=True, help="Show the traceback of an error.")
    @functools.wraps(command)
    def wrapped(*, debug: bool, **options: Any) -> None:
        with _notes_on_stderr(), _ending_signals_raised():
            try:
                command(**options)
            except click.ClickException:
                raise
            except (Exception, KeyboardInterrupt) as exc:
                interrupt = _interrupt_behind(exc)
                if interrupt is not None:
                    sys.exit(interrupt.exit_code if isinstance(interrupt, Terminated) else EXIT_INTERRUPTED)
                if debug:
                    raise
                click.echo(_one_line(exc), err=True)
                sys.exit(EXIT_ERROR)

    return wrapped


def _interrupt_behind(exc: BaseException | None) -> KeyboardInterrupt | None:
    """The interrupt that is this exception, or that it came of: what is being imported may wrap it in its own."""
    while exc is not None and not isinstance(exc, KeyboardInterrupt):
        exc = exc.__cause__ or exc.__context__
    return exc


def _one_line(exc: BaseException) -> str:
    if isinstance(exc, LivecamError):
        return f"livecam: {exc}"
    text = " ".join(str(exc).split())
    return f"livecam: unexpected {type(exc).__name__}: {text[:200]} (--debug shows where)"


@contextmanager
def _notes_on_stderr() -> Iterator[None]:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("livecam: note: %(message)s"))
    log = logging.getLogger("livecam")
    log.addHandler(handler)
    level = log.level
    log.setLevel(logging.INFO)
    try:
        with warnings.catch_warnings():
            # Pillow has much to say on files that it reads well all the same.
            warnings.filterwarnings("ignore", module="PIL")
            yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


@contextmanager
def _ending_signals_raised() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(number: int, frame: FrameType | None) -> None:
        raise Terminated(number)

    before = {number: signal.signal(number, terminate) for number in _ENDING_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""How a command ends: the exit codes, one line for a known error, and the notes on the way."""

from __future__ import annotations

import functools
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click

from livecam.errors import LivecamError

EXIT_ERROR = 1
EXIT_INTERRUPTED = 128 + signal.SIGINT
EXIT_TERMINATED = 128 + signal.SIGTERM


class Terminated(KeyboardInterrupt):
    """SIGTERM, taken like Ctrl-C: finish what was begun, then end."""


def ends_well(command: Callable[..., None]) -> Callable[..., None]:
    """Wrap a command: an error is one line and exit code 1, Ctrl-C 130, SIGTERM 143; `--debug` shows tracebacks."""

    @click.option("--debug", is_flag=True, help="Show the traceback of an error.")
    @functools.wraps(command)
    def wrapped(*, debug: bool, **options: Any) -> None:
        with _notes_on_stderr(), _sigterm_raised():
            try:
                command(**options)
            except KeyboardInterrupt as exc:
                sys.exit(EXIT_TERMINATED if isinstance(exc, Terminated) else EXIT_INTERRUPTED)
            except click.ClickException:
                raise
            except Exception as exc:
                if debug:
                    raise
                click.echo(_one_line(exc), err=True)
                sys.exit(EXIT_ERROR)

    return wrapped


def _one_line(exc: Exception) -> str:
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
    try:
        yield
    finally:
        log.removeHandler(handler)


@contextmanager
def _sigterm_raised() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(number: int, frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

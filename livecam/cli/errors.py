"""Exit codes and one-line error messages of the commands, and the notes that they print while they run."""

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
    """Raised on SIGTERM, or when the terminal closes; handled like Ctrl-C: open files are finished first."""

    def __init__(self, number: int) -> None:
        self.exit_code = 128 + number


def ends_well(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command so that it ends with a message and an exit code, never with a traceback.

    An error prints one line and exits with 1, Ctrl-C with 130, SIGTERM with 143. The command gets the option --debug,
    which shows tracebacks.
    """

    @click.option("--debug", is_flag=True, help="Show the Python traceback of an error.")
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
    """Return the interrupt that caused an exception, if one did: an import that is interrupted may wrap it."""
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
            # Pillow warns about flaws of files that it reads correctly.
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

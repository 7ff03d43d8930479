"""Exit codes and one-line error messages of the commands, and the notes that they print while they run."""

from __future__ import annotations

import functools
import logging
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

import click

from livecam.cli.settings import tell_settings
from livecam.cli.terminal import ERROR, tell
from livecam.errors import LivecamError, OptionError, in_one_line, is_out_of_memory
from livecam.system.memory import memory_limited
from livecam.system.signals import TERMINATING_SIGNALS

EXIT_ERROR, EXIT_USAGE = 1, 2
EXIT_INTERRUPTED = 128 + signal.SIGINT


class Terminated(KeyboardInterrupt):
    """Raised on SIGTERM, or when the terminal closes; handled like Ctrl-C: open files are finished first."""

    def __init__(self, number: int) -> None:
        self.exit_code = 128 + number


def ends_well(command: Callable[..., int | None]) -> Callable[..., None]:
    """Decorate a command so that it ends with a message and an exit code, never with a traceback.

    The command returns its exit code, None for 0. An error prints one line and exits with 1, wrong usage with 2, Ctrl-C
    with 130, SIGTERM with 143, SIGHUP with 129. The command gets the options --quiet, --verbose and --debug, which say
    what is told beside its result.
    """

    @click.option("-q", "--quiet", is_flag=True, help="Print only errors: no notes, no progress, no summary.")
    @click.option("-v", "--verbose", is_flag=True, help="Also print details: settings, model, engine and times.")
    @click.option("--debug", is_flag=True, help="Show the Python traceback of an error.")
    @functools.wraps(command)
    def wrapped(*, quiet: bool, verbose: bool, debug: bool, **options: Any) -> None:
        if quiet and verbose:
            raise click.UsageError("--quiet and --verbose exclude each other; leave out one")
        level = logging.ERROR if quiet else logging.DEBUG if verbose else logging.INFO
        with _notes_on_stderr(level), _ending_signals_raised(), memory_limited():
            tell_settings(click.get_current_context())
            sys.exit(_exit_code(partial(command, **options)))

    return wrapped


def _exit_code(command: Callable[[], int | None]) -> int | None:
    try:
        return command()
    except click.ClickException:
        raise
    except BaseException as exc:  # also SystemExit, which only a user's model can raise here
        interrupt = interrupt_behind(exc)
        if isinstance(interrupt, Terminated):
            return interrupt.exit_code
        if interrupt is not None:
            return EXIT_INTERRUPTED
        tell_error(exc)
        return EXIT_USAGE if isinstance(exc, OptionError) else EXIT_ERROR


def interrupt_behind(exc: BaseException | None) -> KeyboardInterrupt | None:
    """Return the interrupt that caused an exception, if one did: an import that is interrupted may wrap it."""
    while exc is not None and not isinstance(exc, KeyboardInterrupt):
        exc = exc.__cause__ or exc.__context__
    return exc


def tell_error(exc: BaseException) -> None:
    """Print the message for an error; before it, with --debug, the traceback."""
    if click.get_current_context().params["debug"]:
        for line in "".join(traceback.format_exception(exc)).splitlines():
            tell(line)
    tell(one_line(exc), **ERROR)


def one_line(exc: BaseException) -> str:
    """Return the message for an error."""
    if isinstance(exc, LivecamError):
        return f"livecam: {exc}"
    if is_out_of_memory(exc):
        return "livecam: the memory is not enough; close other programs, or take a smaller model, input size or --batch"
    if isinstance(exc, SystemExit):
        return f"livecam: the model, or other code beside livecam, called sys.exit({exc.code}) (--debug shows where)"
    text = in_one_line(exc)
    return f"livecam: unexpected {type(exc).__name__}{text and ': '}{text} (--debug shows where)"


class _Notes(logging.Handler):
    """Prints what is logged as notes, and with --verbose as details."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.INFO:
            tell(f"livecam: detail: {record.getMessage()}", dim=True)
        else:
            tell(f"livecam: note: {record.getMessage()}", fg="yellow")


@contextmanager
def _notes_on_stderr(level: int) -> Iterator[None]:
    handler = _Notes()
    log = logging.getLogger("livecam")
    log.addHandler(handler)
    before = log.level
    log.setLevel(level)
    try:
        with warnings.catch_warnings():
            # Pillow warns about flaws of files that it reads correctly.
            warnings.filterwarnings("ignore", module="PIL")
            yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)


@contextmanager
def _ending_signals_raised() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(number: int, frame: FrameType | None) -> None:
        raise Terminated(number)

    handlers: dict[int, Any] = dict.fromkeys(TERMINATING_SIGNALS, terminate)
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # as `livecam.__main__` leaves it
        handlers[signal.SIGINT] = signal.default_int_handler
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

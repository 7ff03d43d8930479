"""Text and tables on standard output; messages and the progress bar on standard error."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import click

from livecam.errors import OutputError
from livecam.text import printable, with_urls_redacted

if TYPE_CHECKING:
    from livecam.ledger import Ledger

ERROR = {"fg": "red", "bold": True}
"""The style of the prefix of an error."""
_PREFIX = re.compile("((?:livecam: (?:note: |detail: )?)?)(.*)")


def open_missing_streams() -> None:
    """Open the null device for each standard stream that is closed.

    Else the next file that is opened would get its number, and libraries would print their messages into that file.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115, PTH123 - until the process ends


def _has_colors() -> bool | None:
    """Return False if the user wants no colours; None if that depends on whether the output is a terminal."""
    return False if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" else None


def is_quiet() -> bool:
    """Return True if the command is to print only errors."""
    ctx = click.get_current_context(silent=True)
    return ctx is not None and ctx.params.get("quiet", False)


def tell(line: str, **style: Any) -> None:
    """Print a line to standard error, if anybody can read it there; at a terminal its prefix has a style of click."""
    prefix, rest = _PREFIX.fullmatch(printable(with_urls_redacted(line))).groups()  # type: ignore[union-attr]
    with suppress(OSError):
        click.echo((click.style(prefix, **style) if prefix and style else prefix) + rest, err=True, color=_has_colors())


def inform(line: str) -> None:
    """Print a line to standard error that is no error, unless the command is to be quiet."""
    if not is_quiet():
        tell(line)


@contextmanager
def waiting(line: str) -> Iterator[None]:
    """Show a line inside the block while nothing else is shown, and remove it; only if standard error is a terminal."""
    if not sys.stderr.isatty() or is_quiet():
        yield
        return
    line = printable(with_urls_redacted(line))[: shutil.get_terminal_size().columns - 1]
    with suppress(OSError):  # the cursor is left where the line begins, so that any other text replaces it
        click.echo(f"{line}\r", nl=False, err=True)
    try:
        yield
    finally:
        with suppress(OSError):
            click.echo(f"{' ' * len(line)}\r", nl=False, err=True)


def print_text(text: str) -> None:
    """Print to standard output. Names that come from elsewhere must be `printable`. Raises OutputError."""
    with output_errors():
        click.echo(text, color=_has_colors())


@contextmanager
def output_errors() -> Iterator[None]:
    """Raise OutputError if standard output fails, but not if its reader, such as `head`, has stopped reading."""
    try:
        yield
    except OSError as exc:
        # What is still buffered is written at exit, where it would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(exc, BrokenPipeError):
            raise OutputError(f"cannot write to standard output: {exc.strerror}") from exc


def print_table(rows: Sequence[Sequence[str]], *, numbers: Collection[int] = ()) -> None:
    """Print rows as columns, the headings first. The columns whose indices are in `numbers` are aligned right."""
    headings, *lines = _aligned(rows, numbers)
    print_text("\n".join([click.style(headings, bold=True), *lines]))


def tell_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows as columns to standard error."""
    for line in _aligned(rows):
        tell(f"  {line}")


def _aligned(rows: Sequence[Sequence[str]], numbers: Collection[int] = ()) -> Iterator[str]:
    """Yield a line for each row."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


class Progress:
    """A progress bar for each run, with speed and time left; shows nothing if standard error is not a terminal.

    Within `of`, call it with the ledger of the run. `on_forwards` reports the forward passes of a method that needs
    many of them for one picture.
    """

    def __init__(self) -> None:
        self.ledger: Ledger | None = None
        self._stack = ExitStack()
        self._bar: Any = None
        self._unit = "frames"
        self._shown = 0
        self._forwards = ""

    @contextmanager
    def of(self, unit: str) -> Iterator[None]:
        """Show the progress of one run inside the block; `unit` is "frames" or "pictures"."""
        self.ledger, self._bar, self._shown, self._unit, self._forwards = None, None, 0, unit, ""
        with self._stack:
            yield

    def on_forwards(self, done: int, total: int) -> None:
        """Store how many forward passes are done for the current picture; the next update of the bar shows it."""
        self._forwards = f", {done} of {total} channels" if done < total else ""

    def __call__(self, ledger: Ledger, expected: int | None) -> None:
        """Show the ledger's counts; `expected` is the number of frames or pictures, None if unknown."""
        self.ledger = ledger
        if not sys.stderr.isatty() or is_quiet():
            return
        if self._bar is None:
            bar = click.progressbar(
                length=expected or 1,
                file=sys.stderr,
                show_eta=expected is not None,
                show_percent=expected is not None,
                item_show_func=lambda text: text or "",
                update_min_steps=0,  # the text may change although the bar does not
            )
            self._bar = self._stack.enter_context(bar)
        of = f" of {expected}" if expected else ""
        step = ledger.delivered - self._shown if expected else 0
        self._shown = ledger.delivered
        with suppress(OSError):  # the terminal was closed
            self._bar.update(step, f"{ledger.delivered}{of} {self._unit}, {ledger.fps:.1f} fps{self._forwards}")

"""Text and tables on standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import click


def print_text(text: str) -> None:
    """Print, as far as anyone reads it."""
    try:
        click.echo(text)
    except BrokenPipeError:  # `| head` has seen enough; what is still buffered goes nowhere at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_table(rows: Sequence[Sequence[str]], *, numbers: Collection[int] = ()) -> None:
    """Print columns, the headings first; those of `numbers` end below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print_text("\n".join(_aligned(row, widths, numbers) for row in rows))


def _aligned(row: Sequence[str], widths: Sequence[int], numbers: Collection[int]) -> str:
    cells = [
        cell.rjust(width) if column in numbers else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


if TYPE_CHECKING:
    from livecam.ledger import Ledger


class Progress:
    """Shows how far each run is, its speed and the time left on a terminal; nothing elsewhere.

    Within `of` call it with the ledger as it grows. `on_forwards` takes the forward passes of a method that
    needs many.
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
        """For one run, which counts these."""
        self.ledger, self._bar, self._shown, self._unit, self._forwards = None, None, 0, unit, ""
        with self._stack:
            yield

    def on_forwards(self, done: int, total: int) -> None:
        """So many forward passes are done of those for what is being explained; shown with the next call."""
        self._forwards = f", {done} of {total} channels" if done < total else ""

    def __call__(self, ledger: Ledger, expected: int | None) -> None:
        """Show how far it is; `ledger` is kept."""
        self.ledger = ledger
        if not sys.stderr.isatty():
            return
        if self._bar is None:
            bar = click.progressbar(
                length=expected or 1,
                file=sys.stderr,
                show_eta=expected is not None,
                show_percent=expected is not None,
                item_show_func=lambda text: text or "",
                update_min_steps=0,  # the text also changes where the bar does not
            )
            self._bar = self._stack.enter_context(bar)
        of = f" of {expected}" if expected else ""
        step = ledger.delivered - self._shown if expected else 0
        self._shown = ledger.delivered
        self._bar.update(step, f"{ledger.delivered}{of} {self._unit}, {ledger.fps:.1f} fps{self._forwards}")

"""Text and tables on standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Sequence

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

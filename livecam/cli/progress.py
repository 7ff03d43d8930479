"""The progress bar."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from livecam.stats import Ledger


class Progress:
    """Shows frames, speed and the time left on a terminal; nothing elsewhere. Call it with the ledger as it grows."""

    def __init__(self) -> None:
        self.ledger: Ledger | None = None
        self._stack = ExitStack()
        self._bar: Any = None
        self._shown = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def __call__(self, ledger: Ledger, expected_frames: int | None) -> None:
        """Show how far it is; `ledger` is kept."""
        self.ledger = ledger
        if not sys.stderr.isatty():
            return
        if self._bar is None:
            bar = click.progressbar(
                length=expected_frames or 1,
                file=sys.stderr,
                show_eta=expected_frames is not None,
                show_percent=expected_frames is not None,
                item_show_func=lambda text: text or "",
            )
            self._bar = self._stack.enter_context(bar)
        of = f" of {expected_frames}" if expected_frames else ""
        step = ledger.written - self._shown if expected_frames else 0
        self._shown = ledger.written
        self._bar.update(step, f"{ledger.written}{of} frames, {ledger.fps:.1f} fps")

"""The runs of one command. The others are done if one fails, and a table tells which inputs were not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from livecam.cli.errors import interrupt_behind, one_line, tell_error
from livecam.cli.terminal import ERROR, inform, tell, tell_table
from livecam.text import redacted

if TYPE_CHECKING:
    from livecam.ledger import Ledger
    from livecam.run.plan import Run

FAILED, INCOMPLETE, STOPPED, NOT_BEGUN = "failed", "incomplete", "stopped", "not begun"


class Batch:
    """Does runs one after the other, and prints their outcome.

    Args:
        runs: The runs.
        annotate: Does a run and returns its ledger.
        begun: Returns the ledger of the latest run, None before its first frame.
        is_end: Takes the error of a run, returns True if it would be that of all runs.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        annotate: Callable[[Run], Ledger],
        begun: Callable[[], Ledger | None],
        is_end: Callable[[BaseException], bool],
    ) -> None:
        self._annotate, self._begun, self._is_end = annotate, begun, is_end
        self._waiting = list(runs)
        self._is_single = len(runs) == 1
        self._total = sum(len(run.input.names) for run in runs)
        self._outcomes: dict[str, tuple[str, str]] = {}  # of each input that is not simply done: a word and a reason

    def run(self) -> bool:
        """Do all runs. Return True if every input was done completely. Raises what ends all runs."""
        try:
            while self._waiting:
                self._do(self._waiting.pop(0))
        finally:
            for run in self._waiting:
                self._end(run.input.names, NOT_BEGUN)
            if self._total > 1:
                self._tell_outcomes()
        return not self._outcomes

    def _do(self, run: Run) -> None:
        try:
            ledger = self._annotate(run)
        except BaseException as exc:
            self._tell_failure(run, exc)
            if self._is_single or interrupt_behind(exc) or self._is_end(exc):
                raise
            tell_error(exc)
            return
        inform(f"{run.output.rstrip(':')}: {ledger.line()}")
        self._end_failed_files(ledger)
        if not run.is_still and not ledger.complete:
            rest = _flaws(ledger)
            tell(f"livecam: {rest}; {run.output} holds the rest", **ERROR)
            self._end(run.input.names, INCOMPLETE, rest)

    def _tell_failure(self, run: Run, exc: BaseException) -> None:
        ledger, interrupt = self._begun(), interrupt_behind(exc)
        names, delivered = run.input.names, 0
        if ledger is not None:
            if interrupt or ledger.delivered:
                inform(f"{run.output.rstrip(':')}: {'stopped, ' if interrupt else ''}{ledger.line()}")
            self._end_failed_files(ledger)
            names = tuple(name for name in names if name not in ledger.failed_files)
            delivered = ledger.delivered if run.is_still else 0
        if ledger is None and (interrupt or self._is_end(exc)):
            self._end(names, NOT_BEGUN)
        elif interrupt:
            self._end(names[delivered:], NOT_BEGUN if run.is_still else STOPPED)
        else:
            self._end(names[delivered:], FAILED, one_line(exc).removeprefix("livecam: "))

    def _end_failed_files(self, ledger: Ledger) -> None:
        for name, reason in ledger.failed_files.items():
            self._end([name], FAILED, reason)

    def _end(self, names: Sequence[str], outcome: str, reason: str = "") -> None:
        self._outcomes.update(dict.fromkeys(names, (outcome, reason)))

    def _tell_outcomes(self) -> None:
        """Print a table of the inputs that are not done, unless the error that follows says it of all alike."""
        is_all_alike = len(self._outcomes) == self._total and len(set(self._outcomes.values())) == 1
        if not self._outcomes or is_all_alike:
            return
        tell_table([(outcome, redacted(name), reason) for name, (outcome, reason) in self._outcomes.items()])
        counts = Counter(outcome for outcome, _ in self._outcomes.values())
        others = "".join(f", {count} {outcome}" for outcome, count in counts.items())
        tell(f"livecam: {self._total - len(self._outcomes)} of {self._total} inputs done{others}", **ERROR)


def _flaws(ledger: Ledger) -> str:
    """Return how many frames are missing or damaged, as text."""
    counts = {"could not be read": ledger.unreadable, "could be read only in part": ledger.damaged}
    return " and ".join(f"{count} frame{'s' * (count > 1)} {what}" for what, count in counts.items() if count)

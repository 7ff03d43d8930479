"""The runs of one command. The others are done if one fails, and a table tells which inputs were not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from livecam.cli.errors import interrupt_behind, one_line, tell_error
from livecam.cli.terminal import ERROR, inform, tell, tell_table
from livecam.text import redacted

if TYPE_CHECKING:
    from livecam.errors import LivecamError
    from livecam.ledger import Ledger
    from livecam.run.runs import Run

DONE, DONE_BEFORE = ("done", ""), ("done before", "")
NOT_BEGUN, STOPPED = ("not begun", ""), ("stopped", "")
FAILED, INCOMPLETE = "failed", "incomplete"
_MOST_NOT_BEGUN = 20
"""More inputs that were not begun are counted, and not named: those that have failed would be lost among them."""

State = tuple[str, str]
"""What became of an input: a word, and if it is not done, the reason."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        run: The run.
        ledger: Its ledger; None if it ended before its first frame.
        error: What it raised; None if it came to its end.
        is_end: True if the error would be that of all runs.
    """

    run: Run
    ledger: Ledger | None
    error: BaseException | None = None
    is_end: bool = False

    @property
    def is_interrupt(self) -> bool:
        """True if Ctrl-C or a signal ended the run."""
        return interrupt_behind(self.error) is not None

    @property
    def flaws(self) -> str:
        """How many frames are missing, damaged or not sent in the output of a video that came to its end, as text."""
        is_whole = self.ledger is None or self.error is not None or self.run.is_still
        return "" if is_whole or self.ledger is None else _flaws({**self.ledger.counts(), "unsent": self.ledger.unsent})

    @property
    def states(self) -> dict[str, State]:
        """What became of each input that was to be done."""
        failed = {name: str(error) for name, error in self.run.refused.items()}
        failed |= getattr(self.error, "failed_files", {})
        if self.ledger is not None:
            failed |= self.ledger.failed_files
        others = [name for name in self.run.names if name not in failed]
        written = len(others) if self.error is None else self._pictures_written
        return {
            **{name: (FAILED, reason) for name, reason in failed.items()},
            **dict.fromkeys(others[:written], (INCOMPLETE, self.flaws) if self.flaws else DONE),
            **dict.fromkeys(others[written:], self._state_of_the_rest),
        }

    @property
    def _pictures_written(self) -> int:
        return self.ledger.delivered if self.ledger is not None and self.run.is_still else 0

    @property
    def _state_of_the_rest(self) -> State:
        if self.is_interrupt:
            return NOT_BEGUN if self.ledger is None or self.run.is_still else STOPPED
        if self.error is None or (self.ledger is None and self.is_end):
            return NOT_BEGUN
        return FAILED, one_line(self.error).removeprefix("livecam: ")


Execute = Callable[[Sequence["Run"]], Generator[Outcome, None, None]]
"""Does runs and yields the outcome of each when it has ended. It is closed early if one ends them all."""


def one_by_one(
    annotate: Callable[[Run], Ledger],
    begun: Callable[[], Ledger | None],
    is_end: Callable[[BaseException], bool],
) -> Execute:
    """Return what does runs in this process, one after the other.

    Args:
        annotate: Does a run and returns its ledger.
        begun: Returns the ledger of the latest run, None before its first frame.
        is_end: Takes the error of a run, returns True if it would be that of all runs.
    """

    def execute(runs: Sequence[Run]) -> Generator[Outcome, None, None]:
        for run in runs:
            try:
                outcome = Outcome(run, annotate(run))
            except BaseException as exc:
                outcome = Outcome(run, begun(), exc, is_end(exc))
            yield outcome

    return execute


class Batch:
    """Does runs, prints their outcomes, and keeps what became of each input.

    Args:
        execute: Does the runs.
        sums_up: Print one account of all runs at the end, in place of one for each.
        on_refused: Called with the names of inputs that cannot even be planned.

    Attributes:
        total: The sum of the ledgers of all runs, of those that failed only the pictures that are written.
    """

    def __init__(
        self,
        execute: Execute,
        *,
        sums_up: bool = False,
        on_refused: Callable[[Sequence[str]], None] = lambda names: None,
    ) -> None:
        from livecam.ledger import FILE, Ledger  # with NumPy, which the help of a command does not wait for

        self._execute, self._sums_up, self._on_refused = execute, sums_up, on_refused
        self._states: dict[str, State] = {}
        self._before: Counter[str] = Counter()
        self.total = Ledger(FILE, "all inputs")

    def run(self, runs: Sequence[Run]) -> bool:
        """Do all runs of a command. Return True if every input is done completely. Raises what ends all runs."""
        is_interrupt = False
        try:
            self.do(runs, goes_on=len(runs) > 1 or self._sums_up)
        except BaseException as exc:
            is_interrupt = interrupt_behind(exc) is not None  # after which no error says what became of them
            raise
        finally:
            self.tell(always=is_interrupt and (self._sums_up or len(self._states) > 1))
        return not self._not_done

    def refuse(self, names: Sequence[str], error: LivecamError) -> None:
        """Print why inputs cannot even be planned, and keep it."""
        tell_error(error)
        self._states.update(dict.fromkeys(names, (FAILED, str(error))))
        self._on_refused(names)

    def do(self, runs: Sequence[Run], *, goes_on: bool = True) -> None:
        """Do some runs.

        Args:
            runs: The runs.
            goes_on: Print the error of a run and do the others; else it is raised.

        Raises:
            BaseException: What ends all runs: an interrupt, or that the explainer cannot be made.
        """
        self.total.begin()
        for run in runs:
            self._before.update(run.counts_before)
            self._states.update({name: _state_before(entry.frames) for name, entry in run.done.items()})
            self._states.update({name: (FAILED, str(error)) for name, error in run.refused.items()})
            self._states.update(dict.fromkeys(run.names, NOT_BEGUN))
        with closing(self._execute([run for run in runs if run.refused or run.names])) as outcomes:
            for outcome in outcomes:
                self._states.update(outcome.states)
                self._take_account(outcome)
                if outcome.error is None:
                    continue
                if outcome.is_interrupt or outcome.is_end or not goes_on:
                    raise outcome.error
                tell_error(outcome.error)

    def tell(self, *, always: bool = False) -> None:
        """Print a table of the inputs that are not done, and how many there are of each kind.

        Unless `always`, nothing is printed if all are done now, or if the error that follows says it of all alike.
        """
        self.total.end()
        if self._sums_up and self.total.read:
            inform(f"in all: {self.total.line()}")
        not_done, total = self._not_done, len(self._states)
        is_all_alike = len(not_done) == total and len(set(not_done.values())) == 1
        counts = Counter(word for word, _ in self._states.values())
        done = counts.pop(DONE[0], 0)
        others = "".join(f", {counts[word]} {word}" for word in sorted(counts, key=_is_not_done))
        closing_line = f"livecam: {done} of {total} inputs done{others}"
        if not_done and (always or (total > 1 and not is_all_alike)):
            are_named = counts[NOT_BEGUN[0]] <= _MOST_NOT_BEGUN
            named = {name: state for name, state in not_done.items() if are_named or state != NOT_BEGUN}
            tell_table([(word, redacted(name), reason) for name, (word, reason) in named.items()])
            tell(closing_line, **ERROR)
        elif always or DONE_BEFORE[0] in counts:
            inform(closing_line)

    def report(self) -> dict[str, Any]:
        """Return what became of all inputs, as plain data for JSON: how many there are of each kind, and the total."""
        before = {"done_before": self._before} if self._before["inputs"] else {}
        return {"inputs": Counter(word for word, _ in self._states.values()), **self.total.report(), **before}

    def _take_account(self, outcome: Outcome) -> None:
        """Add the ledger of a run to the total, and print what is to be known of it."""
        run, ledger = outcome.run, outcome.ledger
        if ledger is not None:
            if outcome.error is None or run.is_still or ledger.verified:
                self.total.add(ledger)
            if not self._sums_up and (outcome.error is None or outcome.is_interrupt or ledger.delivered):
                inform(f"{run.shown}: {'stopped, ' if outcome.is_interrupt else ''}{ledger.line()}")
        self.total.failed_files |= {name: why for name, (word, why) in outcome.states.items() if word == FAILED}
        if outcome.flaws:
            tell(
                f"livecam: {outcome.flaws}; {run.shown} {'got' if ledger and ledger.unsent else 'holds'} the rest",
                **ERROR,
            )

    @property
    def _not_done(self) -> Mapping[str, State]:
        return {name: state for name, state in self._states.items() if _is_not_done(state[0])}


def _is_not_done(word: str) -> bool:
    return word not in (DONE[0], DONE_BEFORE[0])


def _state_before(frames: Mapping[str, int]) -> State:
    """Return the state of an input that an earlier run has done, by the counts of its frames."""
    flaws = _flaws(frames)
    return (INCOMPLETE, f"{flaws} (done before)") if flaws else DONE_BEFORE


def _flaws(frames: Mapping[str, int]) -> str:
    """Return how many frames are missing, damaged or were not sent, as text."""
    words = {"unreadable": "could not be read", "damaged": "could be read only in part", "unsent": "could not be sent"}
    counts = {what: frames.get(name, 0) for name, what in words.items()}
    return " and ".join(f"{count} frame{'s' * (count > 1)} {what}" for what, count in counts.items() if count)

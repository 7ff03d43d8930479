"""What Prometheus reads of `livecam annotate`: the sums over all inputs, and how many of them are done."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from livecam.cli.batch import FAILED, Execute, Outcome
from livecam.run.metrics import Tally, engine_metrics, frame_metrics
from livecam.text import redacted

if TYPE_CHECKING:
    from prometheus_client import Metric

    from livecam.ledger import Ledger
    from livecam.run.runs import Run


class BatchMetrics:
    """Collects the metrics of runs; thread-safe.

    Args:
        begun: Returns the ledger of the run that is under way in this process, None before its first frame.
        report: Returns the report of the explainer, empty before it is made.
    """

    def __init__(self, begun: Callable[[], Ledger | None], report: Callable[[], Mapping[str, Any]]) -> None:
        self._begun, self._report = begun, report
        self._lock = threading.Lock()
        self._ended = Tally()
        self._frames: Counter[str] = Counter()
        self._counted: Ledger | None = None
        self._outcomes: Counter[str] = Counter()
        self._waiting: Counter[str] = Counter()

    def counting(self, execute: Execute) -> Execute:
        """Return what does runs as `execute` does, and counts their outcomes."""

        def counted(runs: Sequence[Run]) -> Generator[Outcome, None, None]:
            with self._lock:
                self._waiting.update(name for run in runs for name in run.names)
            with closing(execute(runs)) as outcomes:
                for outcome in outcomes:
                    self._take(outcome)
                    yield outcome

        return counted

    def count_refused(self, names: Sequence[str]) -> None:
        """Count inputs that cannot even be planned, and so have no outcome."""
        with self._lock:
            self._outcomes[FAILED] += len(names)

    def _take(self, outcome: Outcome) -> None:
        with self._lock:
            self._waiting -= Counter(outcome.run.names)
            self._outcomes.update(word for word, _ in outcome.states.values())
            if outcome.ledger is not None:
                self._ended.add(outcome.ledger)
                self._counted = outcome.ledger

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        inputs = CounterMetricFamily("livecam_inputs", "Inputs that have ended, by their outcome", labels=["outcome"])
        waiting = GaugeMetricFamily("livecam_inputs_waiting", "Inputs that have not ended")
        under_way = GaugeMetricFamily("livecam_input_in_progress", "1 for the input under way", labels=["input"])
        with self._lock:
            tally, ledger = Tally().add_tally(self._ended), self._begun()
            if ledger is not None and ledger is not self._counted:
                tally.add(ledger)
                under_way.add_metric([redacted(ledger.source)], 1)
            for outcome in ("done", FAILED, *sorted(self._outcomes.keys() - {"done", FAILED})):
                inputs.add_metric([outcome], self._outcomes[outcome])
            waiting.add_metric([], self._waiting.total())
            self._frames |= tally.frames  # when a file fails, its last frames are lost: a counter must not fall
            tally.frames = self._frames
        yield from frame_metrics({"": tally}, by_source=False)
        yield from (inputs, waiting, under_way)
        if report := self._report():
            yield from engine_metrics(report)

"""What Prometheus reads of a run: counts, times and states, served over HTTP in its text format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from livecam._version import __version__
from livecam.errors import OutputError
from livecam.ledger import BUCKETS_SECONDS, Durations, Ledger

if TYPE_CHECKING:
    from prometheus_client import Metric

USUAL_PORT = 9090
LATENCY = "latency"
_FATES = ("read", "explained", "carried", "delivered", "unreadable", "damaged")
_FRAMES = (
    "Frames by what became of them: read, explained by the model, delivered, carried (those of them with the map of an "
    "earlier frame), unreadable, damaged"
)
_FACTS = ("model", "method", "layer", "engine", "precision", "device")
_ENDS = [*map(str, BUCKETS_SECONDS), "+Inf"]


@dataclass
class Tally:
    """Counts and times of one or several ledgers, as numbers that only grow.

    Attributes:
        frames: Frames by their fate.
        dropped: Dropped frames, by the step that they were waiting for.
        buckets: Durations by the stage, or `LATENCY`, and the index of the bucket.
        seconds: The sum of the durations of each stage, or `LATENCY`.
        gaps: How many times there was no signal.
    """

    frames: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    buckets: Counter[tuple[str, int]] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)
    gaps: int = 0

    def add(self, ledger: Ledger) -> Tally:
        """Add the counts of a ledger."""
        self.frames.update({fate: getattr(ledger, fate) for fate in _FATES})
        self.dropped.update(dict(ledger.dropped))  # a copy: other threads add steps
        self.gaps += len(ledger.gaps)
        for stage, durations in ledger.stages.items():
            self._add_durations(stage, durations)
        self._add_durations(LATENCY, ledger.latency)
        return self

    def add_tally(self, other: Tally) -> Tally:
        """Add the counts of another tally."""
        self.frames.update(other.frames)
        self.dropped.update(other.dropped)
        self.buckets.update(other.buckets)
        self.gaps += other.gaps
        for stage, seconds in other.seconds.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds
        return self

    def _add_durations(self, stage: str, durations: Durations) -> None:
        self.buckets.update({(stage, index): count for index, count in enumerate(durations.buckets)})
        self.seconds[stage] = self.seconds.get(stage, 0.0) + durations.total_seconds


def frame_metrics(tallies: Mapping[str, Tally], *, by_source: bool) -> Iterator[Metric]:
    """Yield the metrics of frames and times.

    Args:
        tallies: The counts of each source, by its name without credentials.
        by_source: Give each source a label; else there is one tally.
    """
    from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

    labels = ["source"] if by_source else []
    frames = CounterMetricFamily("livecam_frames", _FRAMES, labels=[*labels, "fate"])
    dropped = CounterMetricFamily(
        "livecam_frames_dropped",
        "Frames that were dropped, by the step that they were waiting for",
        labels=[*labels, "step"],
    )
    latency = HistogramMetricFamily(
        "livecam_latency_seconds", "Time of each delivered frame from captured to delivered", labels=labels
    )
    stages = HistogramMetricFamily("livecam_stage_seconds", "Time of each frame in a stage", labels=[*labels, "stage"])
    gaps = CounterMetricFamily("livecam_gaps", "Times without a signal that are over", labels=labels)
    for name, tally in tallies.items():
        of_source = [name] if by_source else []
        for fate in _FATES:
            frames.add_metric([*of_source, fate], tally.frames[fate])
        for step, count in sorted(tally.dropped.items()):
            dropped.add_metric([*of_source, step], count)
        for stage, seconds in tally.seconds.items():
            family, more = (latency, []) if stage == LATENCY else (stages, [stage])
            family.add_metric([*of_source, *more], _cumulative(tally, stage), seconds)
        gaps.add_metric(of_source, tally.gaps)
    yield from (frames, dropped, latency, stages, gaps)


def _cumulative(tally: Tally, stage: str) -> list[tuple[str, float]]:
    """Return how many durations of a stage are not longer than the end of each bucket."""
    counts = accumulate(tally.buckets[stage, index] for index in range(len(_ENDS)))
    return list(zip(_ENDS, counts, strict=True))


def engine_metrics(report: Mapping[str, Any]) -> Iterator[Metric]:
    """Yield what explains, from the report of an explainer."""
    from prometheus_client.core import InfoMetricFamily

    facts = {name: str(report[name]) for name in _FACTS if report.get(name) is not None}
    yield InfoMetricFamily("livecam_explainer", "The model, and how it is explained and run", value=facts)


@contextmanager
def metrics_served(address: tuple[str, int | None] | None, collect: Callable[[], Iterable[Metric]]) -> Iterator[None]:
    """Serve metrics inside the block: those of this process, and what `collect` returns at each request.

    Args:
        address: The address and the port to listen on, None for the usual port; None: nothing is served.
        collect: Called by other threads.

    Raises:
        OutputError: It cannot listen there, or prometheus_client is not installed.
    """
    if address is None:
        yield
        return
    try:
        from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
    except ImportError as exc:
        raise OutputError("--metrics needs prometheus_client; install it with: pip install 'livecam[metrics]'") from exc
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Collector(collect))
    host, port = address[0], USUAL_PORT if address[1] is None else address[1]
    try:
        server, thread = start_http_server(port, host, registry)
    except (OSError, OverflowError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise OutputError(
            f"cannot serve metrics at {host}:{port} ({reason}); name another port with --metrics"
        ) from exc
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Collector:
    """Collects what a run has, for prometheus_client."""

    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def describe(self) -> Iterable[Metric]:
        """Return nothing: what there is depends on the run."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        from prometheus_client.core import InfoMetricFamily

        yield InfoMetricFamily("livecam_build", "The version of livecam", value={"version": __version__})
        yield from self._collect()

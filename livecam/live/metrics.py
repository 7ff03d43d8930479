"""What Prometheus reads of a live run."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from livecam.live.feeds import Feeds
from livecam.live.recorder import Recorder
from livecam.run.metrics import Tally, engine_metrics, frame_metrics
from livecam.text import redacted

if TYPE_CHECKING:
    from prometheus_client import Metric


class LiveMetrics:
    """Collects the counts, times and states of a live run; thread-safe for one reader.

    Args:
        feeds: The sources.
        recorder: The recordings and streams.
        report: Returns the report of the explainer, empty before it is loaded.
    """

    def __init__(self, feeds: Feeds, recorder: Recorder, report: Callable[[], Mapping[str, Any]]) -> None:
        self._feeds = feeds
        self._recorder = recorder
        self._report = report
        self._written: Counter[str] = Counter()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        tallies: defaultdict[str, Tally] = defaultdict(Tally)  # one source may be named twice
        for feed in self._feeds:
            tallies[redacted(feed.ledger.source)].add(feed.ledger)
        yield from frame_metrics(tallies, by_source=True)
        yield from self._of_signals()
        yield from self._of_recordings()
        if report := self._report():
            yield from engine_metrics(report)

    def _of_signals(self) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        up = GaugeMetricFamily("livecam_source_up", "1 while the source is open and gives frames", labels=["source"])
        states: dict[str, bool] = {}
        for feed in self._feeds:
            name = redacted(feed.source.name)
            states[name] = states.get(name, True) and feed.is_open and not feed.source.signal.problem
        for name, is_up in states.items():
            up.add_metric([name], is_up)
        yield up

    def _of_recordings(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        frames = CounterMetricFamily(
            "livecam_recording_frames",
            "Frames for recordings and streams: written or sent, dropped by a stream, left out by a slow encoder, lost",
            labels=["output", "fate"],
        )
        up = GaugeMetricFamily("livecam_recording_up", "1 while it is written, or received", labels=["output"])
        counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        states: dict[str, bool] = {}
        for recording in list(self._recorder.recordings):  # a stream is begun again when the size changes
            counts[recording.name].update(
                written=recording.written,
                dropped=recording.dropped.total(),
                left_out=recording.left_out,
                lost=recording.lost,
            )
            states[recording.name] = recording.is_up
        for name, fates in counts.items():
            # When a file fails, the last pictures written to it are lost: a counter must not fall.
            fates["written"] = self._written[name] = max(fates["written"], self._written[name])
            for fate, count in fates.items():
                frames.add_metric([name, fate], count)
            up.add_metric([name], states[name])
        yield from (frames, up)

"""Metrics: Prometheus' own parser reads what the ledgers say, counters never fall, and no name has a secret."""

from __future__ import annotations

import urllib.request
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import Result

from livecam.cli.options import Address
from livecam.errors import OutputError
from livecam.ledger import BUCKETS_SECONDS, FILE, Ledger
from livecam.live.metrics import LiveMetrics
from livecam.live.recorder import Recording
from livecam.run.metrics import Tally, frame_metrics, metrics_served
from tests.live.harness import LiveRun
from tests.support.doubles import NumberedSource, NumberReader
from tests.support.metrics import Samples, collected, fallen, samples_of, total
from tests.support.streams import free_port

Livecam = Callable[..., Result]


def metrics_of(run: LiveRun) -> LiveMetrics:
    return LiveMetrics(run._feeds, run.session.recorder, run.session.explainer_report)


def test_what_a_live_run_serves_agrees_with_its_ledger(tmp_path: Path) -> None:
    seen: list[Samples] = []

    def look(number: int) -> None:
        if number % 10 == 0:
            seen.append(collected(metrics.collect))

    run = LiveRun(NumberedSource(60), explainer=NumberReader(before=look), recordings=[tmp_path / "out.mkv"])
    metrics = metrics_of(run)
    run()
    seen.append(last := collected(metrics.collect))
    ledger = run.ledger
    for fate in ("read", "explained", "delivered"):
        assert total(last, "livecam_frames_total", source="numbers", fate=fate) == getattr(ledger, fate) == 60
    assert total(last, "livecam_latency_seconds_count") == ledger.delivered
    assert total(last, "livecam_latency_seconds_bucket", le="+Inf") == ledger.delivered
    assert total(last, "livecam_latency_seconds_sum") == pytest.approx(ledger.latency.total_seconds)
    assert total(last, "livecam_stage_seconds_count", stage="draw") == ledger.stages["draw"].count
    assert total(last, "livecam_recording_frames_total", fate="written") == 60
    assert total(last, "livecam_explainer_info", engine="eager", precision="fp32") == 1
    assert len(seen) > 5
    assert total(seen[1], "livecam_source_up", source="numbers") == 1
    assert fallen(seen) == []


def test_dropped_frames_and_durations_are_counted_where_they_belong() -> None:
    ledger = Ledger(FILE, "clip.mp4")
    ledger.read, ledger.dropped["show"] = 3, 2
    for seconds in (0.0005, 0.03, 0.05, 99.0):
        ledger.latency.add(seconds)
    samples = collected(lambda: frame_metrics({"": Tally().add(ledger).add(ledger)}, by_source=False))
    assert samples["livecam_frames_dropped_total", (("step", "show"),)] == 4
    assert samples["livecam_frames_total", (("fate", "read"),)] == 6
    counts = defaultdict(float, {0.001: 2.0, 0.05: 4.0})
    expected = 0.0
    for end in BUCKETS_SECONDS:
        expected += counts[end]
        assert samples["livecam_latency_seconds_bucket", (("le", str(end)),)] == expected
    assert samples["livecam_latency_seconds_bucket", (("le", "+Inf"),)] == 8


def test_metrics_are_served_until_the_end_of_the_run() -> None:
    port = free_port()
    with metrics_served(("127.0.0.1", port), lambda: []):
        text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
        with pytest.raises(OutputError, match=f"cannot serve metrics at 127.0.0.1:{port} .*; name another port"):
            metrics_served(("127.0.0.1", port), lambda: []).__enter__()
    assert total(samples_of(text), "process_resident_memory_bytes") > 1e6
    assert "livecam_build_info" in text
    with metrics_served(("127.0.0.1", port), lambda: []):
        pass  # the port is free again


def test_a_port_alone_is_for_this_machine() -> None:
    to_address = Address().convert
    assert to_address(":9090", None, None) == to_address("9090", None, None) == ("127.0.0.1", 9090)
    assert to_address("0.0.0.0:9090", None, None) == ("0.0.0.0", 9090)
    with pytest.raises(click.BadParameter, match="such as 127.0.0.1:9090"):
        Address("127.0.0.1:9090").convert("a/b", None, None)


def test_a_taken_port_is_told_in_one_line(livecam: Livecam, tmp_path: Path) -> None:
    port = free_port()
    with metrics_served(("127.0.0.1", port), lambda: []):
        source, predictions = "demo:?size=64x48&seconds=0.2", tmp_path / "said.jsonl"
        result = livecam("live", source, "--no-window", "--predictions", predictions, "--metrics", f":{port}")
    assert result.exit_code == 1
    assert f"cannot serve metrics at 127.0.0.1:{port} (Address already in use)" in result.output


def test_a_stream_that_was_begun_again_is_counted_as_one() -> None:
    """Its pictures have another size from then on. Prometheus refuses two samples with the same labels."""
    run = LiveRun(NumberedSource(1))
    for left_out, lost in ((2, 0), (1, 5)):
        recording = Recording("rtmp://127.0.0.1:9/app/live", (64, 48))
        recording.left_out, recording.lost = left_out, lost
        run.session.recorder.recordings.append(recording)
    families = {family.name: family.samples for family in metrics_of(run).collect()}
    counts = {each.labels["fate"]: each.value for each in families["livecam_recording_frames"]}
    assert counts == {"written": 0, "dropped": 0, "left_out": 3, "lost": 5}
    assert [len(families[f"livecam_recording_{name}"]) for name in ("frames", "up")] == [4, 1]


def test_no_label_has_a_secret() -> None:
    source = NumberedSource(1)
    source.name = "rtsp://u:swordfish@host/live?token=swordfish"
    run = LiveRun(source, recordings=["rtmp://u:swordfish@127.0.0.1:9/app/swordfish"])
    with pytest.raises(OutputError, match=r"nothing was sent to rtmp://127.0.0.1:9/app/\*\*\*"):
        run()
    samples = collected(metrics_of(run).collect)
    assert total(samples, "livecam_frames_total", source="rtsp://host/live?***", fate="read") == 1
    assert "swordfish" not in str(samples)

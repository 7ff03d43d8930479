"""`annotate --metrics`: sums over all inputs, by their outcomes, and the input under way."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result

from livecam.cli.batch import Outcome
from livecam.cli.batch_metrics import BatchMetrics
from livecam.ledger import FILE, Ledger
from livecam.run.plan import planned
from livecam.run.runs import Options
from livecam.sinks import NullSink
from livecam.sources import find_inputs
from tests.support.metrics import Samples, collected, fallen, total

Clip = Callable[..., Path]
Livecam = Callable[..., Result]
PAGE = Path(__file__).parents[2] / "docs" / "fleets.md"


@pytest.mark.usefixtures("quick_shapes")
def test_the_counts_are_those_of_all_inputs(
    livecam: Livecam, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[tuple[Any, Callable[[], Any]]] = []
    seen: list[Samples] = []

    @contextmanager
    def serving(address: Any, collect: Callable[[], Any]) -> Iterator[None]:
        served.append((address, collect))
        yield

    monkeypatch.setattr("livecam.run.metrics.metrics_served", serving)
    monkeypatch.setattr(NullSink, "write", lambda self, picture, frame: seen.append(collected(served[0][1])))
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    result = livecam("annotate", clip("a.mp4"), broken, clip("b.mp4", frames=7), "-o", "null:", "--metrics", ":9191")
    assert result.exit_code == 1, result.output
    ((address, collect),) = served
    seen.append(last := collected(collect))
    assert address == ("127.0.0.1", 9191)
    for fate in ("read", "explained", "delivered"):
        assert total(last, "livecam_frames_total", fate=fate) == 12 + 7
    assert total(last, "livecam_latency_seconds_count") == 12 + 7
    assert total(last, "livecam_inputs_total", outcome="done") == 2
    assert total(last, "livecam_inputs_total", outcome="failed") == 1
    assert total(seen[0], "livecam_inputs_waiting") == 3
    assert total(last, "livecam_inputs_waiting") == 0
    assert total(last, "livecam_explainer_info", model="shapes", method="gradcam") == 1
    assert fallen(seen) == []
    described = {line.split("`")[1].split("{")[0] for line in PAGE.read_text().splitlines() if "| `livecam_" in line}
    names = {name.removesuffix("_count") for name, _ in last}
    assert described >= {name for name in names if not name.endswith(("_sum", "_bucket"))}


def test_the_input_under_way_is_named_and_counted() -> None:
    ledger = Ledger(FILE, "http://user:swordfish@host/clip.mp4?token=swordfish")
    ledger.read = 5
    samples = collected(BatchMetrics(lambda: ledger, dict).collect)
    assert samples["livecam_input_in_progress", (("input", "http://host/clip.mp4?***"),)] == 1
    assert samples["livecam_frames_total", (("fate", "read"),)] == 5


def test_the_ledgers_of_other_processes_count(tmp_path: Path) -> None:
    """As those of the workers of a cluster, of which this process knows nothing else."""
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path in paths:
        path.touch()
    with planned(find_inputs(paths), "null:", Options()) as (run,):
        ledger = Ledger(FILE, "3 pictures")
        ledger.read = 3
        ledger.failed_files = {str(paths[2]): "it is damaged"}
        ledger.dropped["explain"] = 1
        for _ in range(2):
            ledger.deliver(time.perf_counter(), 0)
        metrics = BatchMetrics(lambda: None, dict)
        outcome = Outcome(run, pickle.loads(pickle.dumps(ledger)))
        assert list(metrics.counting(lambda runs: (yield outcome))([run])) == [outcome]
    samples = collected(metrics.collect)
    assert total(samples, "livecam_frames_total", fate="delivered") == 2
    assert total(samples, "livecam_frames_dropped_total", step="explain") == 1
    assert total(samples, "livecam_latency_seconds_count") == 2
    assert total(samples, "livecam_inputs_total", outcome="done") == 2
    assert total(samples, "livecam_inputs_total", outcome="failed") == 1
    assert total(samples, "livecam_inputs_waiting") == 0


def test_the_configuration_of_the_documentation_is_one() -> None:
    text = PAGE.read_text(encoding="utf-8").partition("## Metrics")[2].partition("```yaml")[2].partition("```")[0]
    (job,) = yaml.safe_load(text)["scrape_configs"]
    assert job["job_name"] == "livecam"
    assert job["static_configs"] == [{"targets": ["127.0.0.1:9090"]}]

"""`livecam bench`: its timing, its variants, and frames that arrive on a fixed schedule."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import Result

from livecam import Explainer, open_source
from livecam.bench import open_loop
from livecam.bench.overhead import Variant, fastest, pictures, variants
from livecam.sources import PacedSource
from livecam.system.machine import machine
from tests.support.clips import make_clip
from tests.support.doubles import NumberReader

Livecam = Callable[..., Result]
LITTLE = ("--engine", "eager", "--precision", "fp32", "--rounds", "2", "--seconds", "0.2", "--size", "160x96")


def test_bench_prints_its_tables_and_writes_all_figures(livecam: Livecam, tmp_path: Path) -> None:
    results = tmp_path / "bench.json"
    result = livecam("bench", *LITTLE, "--batch", "2", "--json", results)
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.stdout.splitlines() if line]
    assert [row[:3] for row in rows if row[0] == "eager"] == [["eager", "fp32", "1"], ["eager", "fp32", "2"]]
    assert [row[:2] for row in rows if row[0] in ("null:", "x264.mp4")] == [["null:", "6"], ["x264.mp4", "6"]]
    assert [row[0] for row in rows if row[1:3] == ["a", "second"]] == ["30", "60"]
    assert result.stderr.startswith("livecam: drawing the scene\nlivecam: preparing eager fp32, batch 1\n")
    figures = json.loads(results.read_text())
    assert (figures["model"], figures["input"], figures["layer"]) == ("shapes", "160x160", "evidence")
    assert figures["timed"] == "uint8 input on the CPU to maps and scores on the CPU"
    assert figures["rounds"] == {"warm_up": 3, "timed": 2}
    assert {"processor", "gpu", "python", "torch", "torch_threads"} <= figures["machine"].keys()
    for row in figures["overhead"]:
        assert row["cosine"] == pytest.approx(1)
        assert row["ratio"] > 0
        assert all(row[f"{what}_ms"].keys() == {"p50", "p90", "p99"} for what in ("prediction", "explanation"))
    assert figures["end_to_end"]["runs"][0]["stages_ms"].keys() == {"capture", "explain", "render", "write"}
    for loop in figures["open_loop"]["runs"]:
        assert loop["shown"] + loop["dropped"] == 6
        assert loop["latency_ms"]["p50"] <= loop["latency_ms"]["p99"]


@pytest.mark.parametrize(
    ("arguments", "exit_code", "line"),
    [
        (("--model", "resnet51"), 2, "did you mean resnet"),
        (("--device", "cuda:99"), 1, "the device 'cuda:99' cannot be used here"),
        (("--layer", "nowhere"), 2, "nowhere"),
        (("--size", "9999x9999"), 1, "size=9999x9999 is not WIDTHxHEIGHT"),
        (("--json", "nowhere/bench.json"), 1, "the folder nowhere does not exist"),
        (("--method", "scorecam", "--engine", "compiled"), 1, "cannot be explained here by compiled fp32"),
    ],
)
def test_bad_input_is_told_in_a_line(livecam: Livecam, arguments: tuple[str, ...], exit_code: int, line: str) -> None:
    result = livecam("bench", *LITTLE, *arguments)
    assert result.exit_code == exit_code
    told = result.stderr.splitlines()
    assert line in told[-1]
    assert all(each.startswith("livecam: ") for each in told)
    assert not result.stdout


def test_what_is_measured_is_what_was_asked_for() -> None:
    cpu = torch.device("cpu")
    assert variants(cpu, "compiled", "fp16") == [("compiled", "fp16")]
    everything = variants(cpu)
    assert {variant.engine for variant in everything} == {"eager", "compiled"}
    assert everything[0] == ("eager", "fp32")


def test_the_fastest_is_one_with_the_same_maps() -> None:
    def row(engine: str, precision: str, time_ms: float, cosine: float) -> dict[str, object]:
        return {"engine": engine, "precision": precision, "explanation_ms": {"p50": time_ms}, "cosine": cosine}

    rows = [row("eager", "fp32", 3, 1), row("compiled", "fp32", 2, 1), row("compiled", "bf16", 1, 0.9)]
    assert fastest(rows) == Variant("compiled", "fp32")
    assert fastest(rows[2:]) == Variant("compiled", "bf16")


def test_pictures_have_the_shape_of_the_input_and_are_the_same_each_time() -> None:
    explainer = Explainer("shapes")
    first, again = (pictures(explainer, 3) for _ in range(2))
    assert first.shape == (3, 160, 160, 3) and first.dtype == torch.uint8
    assert torch.equal(first, again)
    assert not torch.equal(first[0], first[1])


class Clock:
    """Time that passes only where it is told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def tell(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.seconds += seconds


@pytest.mark.parametrize(("fps", "period_seconds"), [(None, 1 / 25), (50, 1 / 50)])
def test_frames_arrive_in_order_at_their_times(fps: int | None, period_seconds: float) -> None:
    clock = Clock()
    with PacedSource(
        open_source("demo:?size=32x32&fps=25&seconds=1"), fps=fps, clock=clock.tell, sleep=clock.sleep
    ) as (source):
        arrivals = [
            (frame.index, frame.captured_seconds, clock.seconds) for frame in source.frames(lambda packet: None)
        ]
    assert [index for index, _, _ in arrivals] == list(range(25))
    for index, captured_seconds, seconds in arrivals:
        assert captured_seconds == pytest.approx(1000 + index * period_seconds)
        assert seconds == pytest.approx(captured_seconds)


def test_what_is_taken_late_was_captured_when_it_was_due() -> None:
    clock = Clock()
    captured, taken = [], []
    with PacedSource(open_source("demo:?size=32x32&fps=10&seconds=0.5"), clock=clock.tell, sleep=clock.sleep) as source:
        for frame in source.frames(lambda packet: None):
            captured.append(frame.captured_seconds - 1000)
            taken.append(clock.seconds - 1000)
            clock.seconds += 0.25 if frame.index == 1 else 0.0
    assert captured == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    assert taken == pytest.approx([0.0, 0.1, 0.35, 0.35, 0.4])


@pytest.mark.parametrize("explain_seconds", [0.0, 0.1])
def test_an_open_loop_is_a_live_run_that_drops_what_is_too_fast(tmp_path: Path, explain_seconds: float) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=12)
    reader = NumberReader(before=lambda number: time.sleep(explain_seconds))
    figures = open_loop(clip, 60, reader)  # type: ignore[arg-type]
    assert figures["arrivals_fps"] == 60
    assert figures["shown"] + figures["dropped"] == 12
    assert reader.expected == [(float("inf"), 1)]  # as for a live source
    if explain_seconds:
        assert figures["dropped"] >= 6
        assert figures["latency_ms"]["p50"] >= 100


def test_the_machine_without_a_gpu_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert machine()["gpu"] is None


def test_a_gpu_is_told_also_where_its_tool_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    monkeypatch.setattr(torch.cuda, "is_tf32_supported", lambda: True)
    monkeypatch.setenv("PATH", str(tmp_path))
    gpu = machine()["gpu"]
    assert gpu["name"] == "a GPU" and gpu["driver_version"] is None
    assert gpu["tf32"] is (torch.backends.cudnn.conv.fp32_precision == "tf32")
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'the GPU, 580.1, 1980, 2619, 1980'\n")
    tool.chmod(0o755)
    gpu = machine()["gpu"]
    assert gpu["driver_version"] == "580.1" and gpu["clocks.current.sm"] == "1980"

"""The benchmarks run and print what they promise, on very little."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("script", "arguments", "rows"),
    [
        (
            "faithfulness",
            "--scenes 2 --rounds 1 --methods gradcam,eigencam",
            ["gradcam at evidence*", "eigencam at features*", "chance"],
        ),
        ("classes", "--model mobilenet_v3_small --top 3 --rounds 1", ["top 1", "top 3"]),
        ("every", "demo:?size=160x90&fps=10&seconds=1 --models shapes --every 2 --rounds 1", ["2", "2, 5 explained"]),
        ("methods", "--architectures mobilenet_v3_small --no-peers", ["gradcam++", "fem"]),
    ],
)
def test_a_benchmark_prints_its_table_and_writes_json(
    script: str,
    arguments: str,
    rows: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    results = tmp_path / "results.json"
    monkeypatch.setattr(sys, "argv", [script, *arguments.split(), "--json", str(results)])
    import_module(f"benchmarks.{script}").main()
    printed = capsys.readouterr().out
    for row in rows:
        assert f"\n| {row} | " in printed
    assert json.loads(results.read_text())["machine"]["processor"]


def test_the_same_seed_gives_the_same_figures() -> None:
    from benchmarks.faithfulness import made_up, measure

    first, again = (measure(made_up(seed=3), count=2, seed=3) for _ in range(2))
    assert first == again
    assert first["the shape itself"]["points"] == 1 and first["the shape itself"]["insertion"] > 0.5

"""What `livecam bench` and the benchmarks measure, and how."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from livecam.bench.overhead import TIMED, MakeExplainer, fastest, measure_overhead, variants, warm
from livecam.bench.runs import FPS, end_to_end, make_clip, open_loop
from livecam.bench.timing import WARM_UP_ROUNDS
from livecam.explain.explainer import Explainer

ARRIVALS_FPS = (30, 60)


def bench(
    make: MakeExplainer,
    device: torch.device,
    *,
    engine: str,
    precision: str,
    batch: int,
    rounds: int,
    size: str,
    seconds: float,
    on_step: Callable[[str], None],
) -> dict[str, Any]:
    """Measure the overhead of explaining, then whole runs over a generated scene by what is fastest there.

    `engine` and `precision` narrow down what is measured, "auto" stands for all; `size` is that of the scene, as
    "1280x720". `on_step` is told what is about to be done. Raises LivecamError.
    """
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        on_step("drawing the scene")
        make_clip(clip, size, round(seconds * FPS))
        rows: list[dict[str, Any]] = []
        for each in sorted({1, batch}):
            rows += measure_overhead(make, variants(device, engine, precision), each, rounds, on_step)
        of_files = fastest([row for row in rows if row["batch"] == batch])
        of_live = fastest([row for row in rows if row["batch"] == 1])
        on_step(f"running end to end by {of_files}")
        with warm(partial(make, of_files), batch) as explainer:
            runs = [end_to_end(clip, output, explainer, batch) for output in ("null:", Path(folder) / "x264.mp4")]
        on_step(f"running open loops by {of_live}")
        with warm(partial(make, of_live), 1) as explainer:
            loops = [open_loop(clip, fps, explainer) for fps in ARRIVALS_FPS]
        return {
            **_settings(explainer),
            "rounds": {"warm_up": WARM_UP_ROUNDS, "timed": rounds},
            "overhead": rows,
            "end_to_end": {"size": size, "batch": batch, **of_files._asdict(), "runs": runs},
            "open_loop": {"size": size, **of_live._asdict(), "runs": loops},
        }


def _settings(explainer: Explainer) -> dict[str, Any]:
    height, width = explainer.classifier.preprocessing.size
    return {
        "model": explainer.classifier.name,
        "input": f"{width}x{height}",
        "method": explainer.method,
        "layer": explainer.layer,
        "device": str(explainer.device),
        "timed": TIMED,
    }

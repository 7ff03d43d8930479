"""Whole runs: as fast as they go, and with frames that arrive on a schedule of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from livecam.annotation import annotate
from livecam.channel import Policy
from livecam.explain.explainer import Explainer
from livecam.pipeline import Pipeline
from livecam.render import Renderer, Style
from livecam.sinks import NullSink
from livecam.sources import PacedSource, open_source
from livecam.stats import Ledger


def end_to_end(clip: Path, output: Path | str, explainer: Explainer, batch: int) -> dict[str, Any]:
    """Annotate a file as fast as it goes: `fps`, and `stages_ms`, each stage's percentiles a frame."""
    ledger = annotate(clip, output, explainer, batch=batch, overwrite=True)
    return {"output": Path(output).name, **_account(ledger), "stages_ms": ledger.report()["stages_ms"]}


def open_loop(clip: Path, fps: int, explainer: Explainer) -> dict[str, Any]:
    """Frames arrive so many a second, whether or not the one before is done; the latest is explained, as live.

    `latency_ms` is from arrival to written, queueing included, for those that were written. A closed loop, which asks
    for a frame when the one before is done, has no queue: it measures how long the work takes, and not how late it
    comes. What is too slow for its arrivals shows here as drops.
    """
    with PacedSource(open_source(clip), fps=fps) as source:
        sink = NullSink()
        ledger = Pipeline(source, explainer, Renderer(sink.pixel_format, Style()), sink, policy=Policy.LATEST).run()
    return {"arrivals_fps": fps, **_account(ledger), "latency_ms": ledger.latency.percentiles_ms()}


def _account(ledger: Ledger) -> dict[str, Any]:
    return {"fps": round(ledger.fps, 2), "written": ledger.written, "dropped": ledger.dropped}

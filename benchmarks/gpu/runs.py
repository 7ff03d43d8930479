"""Whole runs: files, live sources, and the memory of a long run."""

from __future__ import annotations

import resource
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.gpu.common import Results, Settings, engine_of, make_explainer, settled
from livecam.bench import end_to_end, make_clip, open_loop
from livecam.render import Renderer, Style
from livecam.run.pipeline import Pipeline
from livecam.sinks import NullSink
from livecam.sources import open_source


def files(settings: Settings) -> Results:
    """Annotate a file: without output, during and after a change of the engine, and to H.264."""
    fastest = {}
    with TemporaryDirectory() as folder:
        clip = Path(folder, "clip.mp4")
        make_clip(clip, settings.size, settings.frames)
        outputs: dict[str, str | Path] = {
            "nothing, from the start": "null:",
            "nothing": "null:",
            "H.264": Path(folder, "x264.mp4"),
        }
        for model in settings.run_models:
            explainer = make_explainer(model, settings)
            for name, output in outputs.items():
                run = end_to_end(clip, output, explainer, explainer.usual_batch)
                explainer.settle()
                yield f"{model} to {name}", {**run, **engine_of(explainer)}
                fastest[f"{model} to {name}"] = run["fps"]
    yield "summary", "frames a second: " + ", ".join(f"{name} {fps:.0f}" for name, fps in fastest.items())


def live(settings: Settings) -> Results:
    """Explain the latest frames of a source that delivers them on a fixed schedule."""
    summaries = []
    with TemporaryDirectory() as folder:
        clip = Path(folder, "clip.mp4")
        make_clip(clip, settings.live_size, settings.live_frames)
        for model in settings.run_models:
            explainer = settled(model, 1, settings)
            for fps in settings.arrivals_fps:
                run = open_loop(clip, fps, explainer)
                yield f"{model} at {fps}", {**run, **engine_of(explainer)}
                p99 = run["latency_ms"]["p99"]
                summaries.append(f"{model} at {fps} p99 {p99:.0f} ms, {run['dropped']} dropped")
    yield "summary", "; ".join(summaries)


def memory(settings: Settings) -> Results:
    """Measure how the memory of a long run grows, on the GPU and on the host."""
    explainer = make_explainer(settings.models[0], settings)
    samples: list[dict[str, Any]] = []
    wanted = (settings.soak_frames // 4, settings.soak_frames)

    def take_sample(number: int) -> None:
        if number in wanted:
            samples.append({"frame": number, **_memory_mb(explainer.device), **engine_of(explainer)})

    with open_source(f"demo:?size=320x180&fps=30&seconds={settings.soak_frames / 30}") as source:
        sink = NullSink()
        renderer = Renderer(sink.pixel_format, Style())
        entry = lambda frame, _: partial(take_sample, frame.index + 1)  # noqa: E731
        Pipeline(source, explainer, renderer, sink, entry=entry).run()
    yield "samples", samples
    first, last = samples
    changes = {name: last[name] - first[name] for name in ("allocated_mb", "reserved_mb", "rss_mb")}
    said = ", ".join(f"{name.removesuffix('_mb')} {change:+.1f} MB" for name, change in changes.items())
    yield "summary", f"from frame {wanted[0]} to {wanted[1]}: {said}"


def _memory_mb(device: torch.device) -> dict[str, float]:
    """Return the memory that torch has allocated and reserved on the device, and the resident memory of the process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "allocated_mb": torch.cuda.memory_allocated(device) / 1e6,
        "reserved_mb": torch.cuda.memory_reserved(device) / 1e6,
        "rss_mb": pages * resource.getpagesize() / 1e6,
    }

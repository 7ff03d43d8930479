"""Does the memory of a long run grow? `python -m benchmarks.soak --frames 10000 --json FILE`. Needs Linux's /proc.

Generated frames of 320x180 into the null sink, explained by the eager engine, which uses all buffers. At every sample:
the resident memory of the process, its threads, and the addresses of the explainer's input and of the copy of the
layer's activation, which must not change.
"""

from __future__ import annotations

import argparse
import re
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.timing import print_machine, print_table, weights_of
from livecam import Explainer
from livecam.bench.timing import write_json
from livecam.render import Renderer, Style
from livecam.run.pipeline import Pipeline
from livecam.sinks import NullSink
from livecam.sources import open_source

SAMPLES = 10


def sample(explainer: Explainer, frame: int) -> dict[str, Any]:
    """Return the current memory, threads and addresses."""
    status = Path("/proc/self/status").read_text()
    rss_kb, threads = (int(re.findall(rf"^{name}:\s+(\d+)", status, re.M)[0]) for name in ("VmRSS", "Threads"))
    return {"frame": frame, "rss_mb": rss_kb / 1024, "threads": threads, "buffers": addresses(explainer)}


def addresses(explainer: Explainer) -> dict[str, str]:
    """Return the addresses of the buffers that are reused for every frame."""
    buffer = explainer._runtime.engine.eager.program._taps[0]._buffer  # type: ignore[attr-defined]
    memory = explainer._preprocess._memory
    assert memory is not None and buffer is not None
    return {"input": hex(memory.ctypes.data), "activation": hex(buffer.data_ptr())}


def soak(model: str, frames: int) -> list[dict[str, Any]]:
    """Run, and take a sample at every tenth of the run."""
    samples: list[dict[str, Any]] = []
    explainer = Explainer(model, weights=weights_of(model), engine="eager")

    def take_sample(number: int) -> None:
        if number % (frames // SAMPLES) == 0:
            samples.append(sample(explainer, number))

    with open_source(f"demo:?size=320x180&fps=30&seconds={frames / 30}") as source:
        sink = NullSink()
        renderer = Renderer(sink.pixel_format, Style())
        entry = lambda frame, _: partial(take_sample, frame.index + 1)  # noqa: E731
        Pipeline(source, explainer, renderer, sink, entry=entry).run()
    return samples


def main() -> None:
    """Print the table, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="shapes")
    parser.add_argument("--frames", type=int, default=10_000, help="at least as many as there are samples, 10")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    samples = soak(options.model, options.frames)
    growth = samples[-1]["rss_mb"] / samples[0]["rss_mb"] - 1
    print_machine()
    print(f"{options.model}, {options.frames} frames of 320x180 into the null sink\n")
    print_table(
        ["frame", "RSS, MB", "threads", "input at", "activation at"],
        [[of["frame"], f"{of['rss_mb']:.0f}", of["threads"], *of["buffers"].values()] for of in samples],
    )
    print(f"\ngrowth after frame {samples[0]['frame']}: {growth:.1%}")
    if options.json:
        settings = {"model": options.model, "frames": options.frames}
        write_json(options.json, {"settings": settings, "growth": growth, "samples": samples})


if __name__ == "__main__":
    main()

"""How high is the latency of a live source? `python -m benchmarks.latency --swap resnet50 --json FILE`.

Generated frames of 640x360 arrive on a schedule of their own and run as in `livecam live --no-window`; the newest is
explained. Latency is from captured to shown. Each run is a process of its own, and its first frame is timed from the
end of its imports on: model, layer, engine and all.

The engine "auto" changes over to compiled code while the run goes on; frames before and after are reported separately.
For the models of `--swap` the cache is empty, so that compiling takes place during the run, which ends some seconds
after the change; the eager engine alone then runs over as many frames. efficientnet_lite0 and `shapes` have real
weights, other models random ones.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

from benchmarks.timing import print_machine, print_table, weights_of
from livecam import Explainer
from livecam.bench.timing import write_json
from livecam.explanation import Explanation
from livecam.ledger import percentiles
from livecam.live.display import NoWindow
from livecam.live.feeds import Feeds
from livecam.live.session import Session
from livecam.picture.frame import Frame
from livecam.sources import PacedSource, Source, open_source
from livecam.sources.base import OnPacket

MODELS = ("efficientnet_lite0", "mobilenet_v3_small", "resnet50")
ENGINES = ("eager", "auto")
ENDLESS = "demo:?size=640x360&seconds=100000"
LONGEST_SECONDS = 600.0
"""Where the change of engines does not come within that, the run ends."""


class Ending(Source):
    """A live source that passes on the frames of another one until a condition ends it."""

    is_live = True

    def __init__(self, source: Source, wants: Callable[[Frame], bool]) -> None:
        self.media = source.media
        self._source = source
        self._wants = wants

    def frames(self, on_packet: OnPacket) -> Iterator[Frame]:
        yield from takewhile(self._wants, self._source.frames(on_packet))

    def close(self) -> None:
        self._source.close()


class Log:
    """Latencies and drops of the frames that are shown, by the engine in use then."""

    def __init__(self, explainer: Explainer) -> None:
        self.first_seconds: float | None = None
        self.last_index = -1
        self.changed_at: int | None = None
        self._explainer = explainer
        self._latencies_ms: dict[str, list[float]] = {}
        self._dropped: dict[str, int] = {}

    def add(self, source: int, frame: Frame, explanation: Explanation) -> None:
        """Record a frame that has just been shown."""
        now = time.perf_counter()
        engine = self._explainer.engine
        if self.first_seconds is None:
            self.first_seconds = now
        if engine == "compiled" and self.changed_at is None:
            self.changed_at = frame.index
        self._latencies_ms.setdefault(engine, []).append(1000 * (now - frame.captured_seconds))
        self._dropped[engine] = self._dropped.get(engine, 0) + frame.index - self.last_index - 1
        self.last_index = frame.index

    def figures(self) -> dict[str, Any]:
        """Return the latencies and drops, by engine."""
        return {
            engine: {
                "shown": len(latencies),
                "dropped": self._dropped[engine],
                "latency_ms": percentiles(latencies),
            }
            for engine, latencies in self._latencies_ms.items()
        }


def paced_run(model: str, engine: str, fps: int, frames: int, until_changed: bool) -> dict[str, Any]:
    """Run over a number of frames, counted from the change of engines if `until_changed`."""
    begin = time.perf_counter()
    explainer = Explainer(model, weights=weights_of(model), engine=engine)
    log = Log(explainer)

    def wants(frame: Frame) -> bool:
        if not until_changed:
            return frame.index < frames
        if log.changed_at is None:
            return frame.index < LONGEST_SECONDS * fps
        return frame.index < log.changed_at + frames

    with Feeds([Ending(PacedSource(open_source(ENDLESS), fps=fps), wants)]) as feeds:
        Session(feeds, lambda: explainer, NoWindow(), on_shown=log.add).run()
    return {
        "model": model,
        "wanted_engine": engine,
        "frames": log.last_index + 1,
        "first_explained_seconds": None if log.first_seconds is None else log.first_seconds - begin,
        "changed_at_frame": log.changed_at,
        "by_engine": log.figures(),
        **explainer.report(),
    }


def in_process(cache: str | None = None, **run: Any) -> dict[str, Any]:
    """Call `paced_run` in a process of its own, with the cache in the folder that is named, if any."""
    command = [sys.executable, "-m", "benchmarks.latency", "--run", json.dumps(run)]
    settings = {"OMP_WAIT_POLICY": "PASSIVE"} | ({"LIVECAM_CACHE": cache} if cache else {})
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, **settings})
    return dict(json.loads(result.stdout.splitlines()[-1]))


def swap(model: str, fps: int, frames: int) -> dict[str, Any]:
    """Compare a run that compiles on the way with one of the same length that does not."""
    with tempfile.TemporaryDirectory() as cache:
        auto = in_process(cache, model=model, engine="auto", fps=fps, frames=frames, until_changed=True)
    eager = in_process(model=model, engine="eager", fps=fps, frames=auto["frames"], until_changed=False)
    return {"auto": auto, "eager": eager}


def main() -> None:
    """Print the tables, and write them as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(MODELS), help="by comma")
    parser.add_argument("--engines", default=",".join(ENGINES), help="by comma")
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--swap", default="", metavar="MODEL,...")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--run", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        print(json.dumps(paced_run(**options.run)))
        return
    frames = round(options.seconds * options.fps)
    runs = [
        in_process(model=model, engine=engine, fps=options.fps, frames=frames, until_changed=False)
        for model in options.models.split(",")
        if model
        for engine in options.engines.split(",")
    ]
    swapped = {model: swap(model, options.fps, frames) for model in options.swap.split(",") if model}
    report(runs, swapped, options)


def report(runs: list[dict[str, Any]], swapped: dict[str, Any], options: argparse.Namespace) -> None:
    """Print the tables, and write the JSON if asked to."""
    header = ["", "explained by", "p50 ms", "p99 ms", "shown", "dropped", "first frame, s"]
    print_machine()
    print(f"{options.fps} frames of 640x360 a second for {options.seconds:g} s\n")
    print_table(header, [row for run in runs for row in _rows(run)])
    if swapped:
        print(f"\nThe same with an empty cache, {options.seconds:g} s beyond the change of engines.\n")
        rows = [(row, run) for pair in swapped.values() for run in pair.values() for row in _rows(run)]
        print_table([*header, "changed after, s"], [[*row, _change(row, run, options.fps)] for row, run in rows])
    if options.json:
        settings = {"fps": options.fps, "seconds": options.seconds, "source": ENDLESS}
        write_json(options.json, {"settings": settings, "runs": runs, "swap": swapped})


def _change(row: list[str], run: dict[str, Any], fps: int) -> str:
    """Return after how many seconds a run changed over, for the row of its compiled frames."""
    at = run["changed_at_frame"]
    return f"{at / fps:.1f}" if row[1] == "compiled" and at is not None else ""


def _rows(run: dict[str, Any]) -> list[list[str]]:
    """Return a row for each engine that was in use, in that order."""
    return [
        [
            f"{run['model']} {run['wanted_engine']}",
            engine,
            *(f"{of['latency_ms'][name]:.1f}" for name in ("p50", "p99")),
            *(str(of["shown"]), str(of["dropped"])),
            f"{run['first_explained_seconds']:.2f}" if number == 0 else "",
        ]
        for number, (engine, of) in enumerate(run["by_engine"].items())
    ]


if __name__ == "__main__":
    main()

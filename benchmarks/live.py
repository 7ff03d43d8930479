"""How high is the latency of `livecam live`, and is it constant? `python -m benchmarks.live --seconds 300 --json FILE`.

Each run is the command itself over the generated scene as a camera of 1280x720, in a window if there is a display. Each
is preceded by a run of ten seconds that is not counted, so that its engine is on disk. Latency is from captured to
shown, where the window has drawn the picture; `stages` is the sum of the medians of explaining, drawing and showing.
Memory and threads are those of the process, sampled every second, the first tenth of the run left out; the first and
the last sixth are told apart, of an hour ten minutes each.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.timing import print_machine, print_table
from livecam.bench.timing import write_json
from livecam.ledger import percentiles

RUNS = {
    "efficientnet_lite0, 60 fps": ("demo:?size=1280x720&fps=60", "--model", "efficientnet_lite0"),
    "resnet50, 30 fps": ("demo:?size=1280x720", "--model", "resnet50", "--weights", "none"),
    "shapes, 30 fps": ("demo:?size=1280x720", "--model", "shapes"),
    "resnet152, eager, 30 fps": (
        *("demo:?size=1280x720", "--model", "resnet152"),
        *("--weights", "none", "--engine", "eager", "--precision", "fp32"),
    ),
}
_READY_SECONDS = 10.0
SOAK = {"shapes, 320x180": ("demo:?size=320x180", "--model", "shapes")}


def run(arguments: tuple[str, ...], seconds: float) -> dict[str, Any]:
    """Run the command once, watching its memory and threads from outside."""
    with tempfile.TemporaryDirectory() as folder:
        said, report = Path(folder, "said.jsonl"), Path(folder, "report.json")
        window = [] if os.environ.get("DISPLAY") else ["--no-window"]
        command = [sys.executable, "-m", "livecam", "live", *arguments, *window, "--duration", str(seconds)]
        process = subprocess.Popen([*command, "--predictions", str(said), "--report", str(report)])
        samples = []
        while process.poll() is None:
            samples.append(_sample(process.pid))
            time.sleep(1)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
        account = json.loads(report.read_text())
        lines = [json.loads(line) for line in said.read_text().splitlines()]
    return _figures(account, [1000 * line["latency_seconds"] for line in lines], [s for s in samples if s])


def _figures(account: dict[str, Any], latencies_ms: list[float], samples: list[tuple[int, int]]) -> dict[str, Any]:
    (source,) = account["sources"]
    frames, steady, sixth = source["frames"], samples[len(samples) // 10 :], len(latencies_ms) // 6
    return {
        "captured": frames["captured"],
        "shown": frames["shown"],
        "dropped": frames["dropped"],
        "is_accounted_for": frames["captured"] == frames["shown"] + sum(frames["dropped"].values()),
        "latency_ms": percentiles(latencies_ms),
        "first_sixth_ms": percentiles(latencies_ms[:sixth]),
        "last_sixth_ms": percentiles(latencies_ms[-sixth:]),
        "stages_ms": sum(source["stages_ms"][stage]["p50"] for stage in ("explain", "draw", "show")),
        "rss_mb": [steady[0][0] / 1e6, steady[-1][0] / 1e6],
        "threads": [steady[0][1], steady[-1][1]],
        "seconds": source["seconds"],
    }


def _sample(pid: int) -> tuple[int, int] | None:
    """Return the resident bytes and the threads of a process; None if it is ending."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    facts = dict(line.split(":", 1) for line in status.splitlines())
    if "VmRSS" not in facts:
        return None
    return 1024 * int(facts["VmRSS"].split()[0]), int(facts["Threads"])


def main() -> None:
    """Print the table, and write JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--soak", action="store_true", help="one run at 320x180 instead, --seconds 3600 for an hour")
    parser.add_argument("--runs", default="", help="those whose names begin with one of these, by comma")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    wanted = tuple(options.runs.split(","))
    chosen = {
        name: arguments for name, arguments in (SOAK if options.soak else RUNS).items() if name.startswith(wanted)
    }
    for arguments in chosen.values():
        run(arguments, _READY_SECONDS)
    runs = {name: run(arguments, options.seconds) for name, arguments in chosen.items()}
    print_machine()
    where = "in a window" if os.environ.get("DISPLAY") else "without a window"
    print(f"demo: for {options.seconds:g} s, {where}\n")
    latencies = ("p50 ms", "p99 ms", "stages ms", "first sixth p99", "last sixth p99")
    print_table(
        ["", "captured", "shown", "dropped", *latencies, "RSS MB", "threads"],
        [[name, *_cells(figures)] for name, figures in runs.items()],
    )
    if options.json:
        write_json(options.json, {"seconds": options.seconds, "runs": runs})


def _cells(figures: dict[str, Any]) -> list[str]:
    return [
        *(str(figures["captured"]), str(figures["shown"]), str(sum(figures["dropped"].values()))),
        *(f"{figures['latency_ms'][name]:.1f}" for name in ("p50", "p99")),
        f"{figures['stages_ms']:.1f}",
        *(f"{figures[part]['p99']:.1f}" for part in ("first_sixth_ms", "last_sixth_ms")),
        " - ".join(f"{mb:.0f}" for mb in figures["rss_mb"]),
        " - ".join(map(str, figures["threads"])),
    ]


if __name__ == "__main__":
    main()

"""What livecam does on a GPU, in nine minutes and without a network: `python -m benchmarks.gpu`.

The Python that runs it needs torch 2.11 or newer, torchvision, numpy, OpenCV, PyAV, Pillow and click; livecam need not
be installed. The steps run in order of importance, each in a process of its own with its own time limit. Results go to
results/gpu/STEP.json as soon as there is a figure, output to STEP.log. A step that takes too long is killed with its
child processes. If no time is left, or there is no GPU, the remaining steps are marked as skipped.

`python -m benchmarks.gpu STEP` runs a single step in this process.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.timing import print_table
from livecam.bench.timing import typed_command
from livecam.system.cores import module_command, module_environment
from livecam.system.machine import machine_line


class Step(NamedTuple):
    """A step: the name of a function in a module of `benchmarks.gpu`, and its time limit in seconds."""

    module: str
    limit_seconds: float


STEPS = {
    "facts": Step("environment", 60),
    "tests": Step("environment", 120),
    "agreements": Step("correctness", 90),
    "identity": Step("correctness", 60),
    "speed": Step("speed", 150),
    "files": Step("runs", 75),
    "live": Step("runs", 75),
    "memory": Step("runs", 60),
    "compilation": Step("speed", 150),
    "anchor": Step("speed", 120),
}
SECONDS = 530.0
LEAST_SECONDS = 5.0
"""With less than that a step is not begun."""

Command = Callable[[str], Sequence[str]]
"""From the name of a step to the command that runs it."""


def run_here(name: str, results: Path) -> None:
    """Run a step in this process; its JSON is on disk from its first figure on."""
    from benchmarks.gpu.common import Settings, SkippedError  # torch is theirs: without it the other steps are told

    step = getattr(importlib.import_module(f"benchmarks.gpu.{STEPS[name].module}"), name)
    found: dict[str, Any] = {}
    try:
        for key, value in step(Settings()):
            found[key] = value
            _write(results, name, found)
    except SkippedError as exc:
        found["skipped"] = str(exc)
        _write(results, name, found)


def conduct(limits: Mapping[str, float], results: Path, seconds: float, command: Command) -> dict[str, dict[str, Any]]:
    """Run the steps one after the other within a total time limit; returns their results, which are also on disk."""
    end = time.monotonic() + seconds
    found: dict[str, dict[str, Any]] = {}
    for name, limit in limits.items():
        left = end - time.monotonic()
        (results / f"{name}.json").unlink(missing_ok=True)
        if reason := _reason_to_skip(found, left):
            found[name] = {"skipped": reason, "seconds": 0.0}
        else:
            print(f"{name} ...", flush=True)
            found[name] = _run(name, command(name), min(limit, left), results)
        _write(results, name, found[name])
        print(f"{name}: {found[name]['seconds']:.0f} s, {outcome(found[name])}", flush=True)
    return found


def outcome(found: Mapping[str, Any]) -> str:
    """Return the outcome of a step, in a few words."""
    for key in ("failed", "skipped"):
        if key in found:
            return f"{key}: {found[key]}"
    return str(found.get("summary", "it found nothing"))


def _reason_to_skip(found: Mapping[str, Mapping[str, Any]], left_seconds: float) -> str | None:
    if "facts" in found and "machine" not in found["facts"]:
        return "nothing runs here, see facts"
    if "facts" in found and not found["facts"]["machine"]["gpu"]:
        return "there is no GPU that torch can use"
    return "no time was left" if left_seconds < LEAST_SECONDS else None


def _run(name: str, command: Sequence[str], limit_seconds: float, results: Path) -> dict[str, Any]:
    """Run a step in a process of its own, which is killed at its time limit; return its results so far."""
    log, begin, problem = results / f"{name}.log", time.monotonic(), None
    with (
        log.open("wb") as messages,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=messages,
            stderr=messages,
            env=module_environment(OMP_WAIT_POLICY="PASSIVE", PYTHONUNBUFFERED="1"),
            start_new_session=True,
        ) as process,
    ):
        try:
            if process.wait(limit_seconds):
                problem = _last_line(log) or f"it ended with {process.returncode}"
        except subprocess.TimeoutExpired:
            problem = f"it was stopped after {limit_seconds:.0f} s"
        finally:
            _kill(process)
    found = _read(results, name)
    if problem:
        found["failed"] = problem
    return {**found, "seconds": round(time.monotonic() - begin, 1)}


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a running process and its descendants, even those in other sessions."""
    if process.poll() is not None:
        return
    family = _family(process.pid)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for pid in family:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def _family(pid: int) -> list[int]:
    """Return a process and its descendants; only the process itself if there is no /proc."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            parent = int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    family = [pid]
    for each in family:
        family += children.get(each, [])
    return family


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return textwrap.shorten(lines[-1], 200, placeholder="...") if lines else ""


def _read(results: Path, name: str) -> dict[str, Any]:
    path = results / f"{name}.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _write(results: Path, name: str, data: Mapping[str, Any]) -> None:
    """Replace the JSON file atomically, so that a reader never finds half of it, even if the writer is killed."""
    draft = results / f"{name}.json.part"
    draft.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    draft.replace(results / f"{name}.json")


def _print_summary(found: Mapping[str, Mapping[str, Any]]) -> None:
    """The steps, and the figures of `speed`, as Markdown."""
    print(f"{machine_line(dict(found['facts']['machine']))}\n")
    print_table(["", "seconds", ""], [[name, each["seconds"], outcome(each)] for name, each in found.items()])
    speeds = {name: each for name, each in found["speed"].items() if isinstance(each, dict)}
    cells = {name: each["times_ms"] for name, each in speeds.items() if "times_ms" in each}
    if cells:
        print("\nMilliseconds a batch, from host memory to host memory, medians.\n")
        works = list(dict.fromkeys(name.partition(":")[0] for times in cells.values() for name in times))
        print_table(["", *works], [[name, *(_cell(times, work) for work in works)] for name, times in cells.items()])


def _cell(times_ms: Mapping[str, Mapping[str, float]], work: str) -> str:
    """Return a table cell: the median time, with the choice of the engine "auto"."""
    for name, of_work in times_ms.items():
        short, _, chosen = name.partition(": ")
        if short == work:
            return f"{of_work['p50']:.2f}{chosen and f' ({chosen})'}"
    return "-"


def main() -> None:
    """Run one step, or all and print the table; the exit code is 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", nargs="?", choices=STEPS)
    parser.add_argument("--results", type=Path, default=Path("results/gpu"))
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for all steps together")
    options = parser.parse_args()
    results = options.results.resolve()
    results.mkdir(parents=True, exist_ok=True)
    if options.step:
        run_here(options.step, results)
        print((results / f"{options.step}.json").read_text(encoding="utf-8"))
        return
    found = conduct(
        {name: step.limit_seconds for name, step in STEPS.items()},
        results,
        options.seconds,
        lambda name: module_command("benchmarks.gpu", name, "--results", results),
    )
    if "machine" in found["facts"]:
        if found["facts"]["machine"]["gpu"]:
            _write(results, "gpu", {"command": typed_command(), "steps": found})
        with (results / "gpu.txt").open("w", encoding="utf-8") as text, redirect_stdout(text):
            _print_summary(found)
        print("\n" + (results / "gpu.txt").read_text(encoding="utf-8"))
    sys.exit(any("failed" in each for each in found.values()))


if __name__ == "__main__":
    main()

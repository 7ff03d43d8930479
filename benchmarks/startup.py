"""How long does a command take to start? `python -m benchmarks.startup --rounds 5`.

Each command is a process of its own. Its processor time is that of all its threads until it ends. The first output is
the time until the first character on a terminal, such as "loading resnet50 …". A first frame is the time until a
generated picture is explained and the command has ended, with random weights where the real ones are a download. The
window is that of `livecam live` on a virtual screen, until a picture can be seen in it; without Xvfb it is left out.
"""

from __future__ import annotations

import argparse
import os
import pty
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import cpu_seconds, print_machine, print_table, spread, weights_of
from livecam.bench.timing import write_json
from livecam.system.machine import machine

COMMANDS = {
    "missing file": ["annotate", "missing.mp4"],
    "output folder missing": ["annotate", "demo:", "-o", "missing/out.mp4"],
    "version": ["--version"],
    "help": ["annotate", "--help"],
    "models": ["models"],
}
_COLOURS = 16
"""So many values of pixels make a picture."""
_LONGEST_SECONDS = 60
ONE_FRAME = ["demo:?size=640x360&seconds=0.04", "-o", "null:", "--engine", "eager"]


def run(arguments: list[str]) -> dict[str, float]:
    """Run the program with a terminal as its standard error. Return the seconds that it took."""
    reading, terminal = pty.openpty()
    begin_seconds, begin_cpu_seconds, first_seconds = time.perf_counter(), cpu_seconds(), None
    with subprocess.Popen([sys.executable, "-m", "livecam", *arguments], stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        with suppress(OSError):  # which is how a terminal ends
            while os.read(reading, 10_000):
                first_seconds = first_seconds or time.perf_counter() - begin_seconds
        process.wait()
    os.close(reading)
    end_seconds = time.perf_counter()
    return {
        "cpu": cpu_seconds() - begin_cpu_seconds,
        "first_output": first_seconds or end_seconds - begin_seconds,
        "wall": end_seconds - begin_seconds,
    }


@contextmanager
def virtual_screen() -> Iterator[tuple[str, np.ndarray]]:
    """Start a screen without a monitor; yields its name, and the bytes of what it shows at the time."""
    reading, writing = os.pipe()
    with tempfile.TemporaryDirectory() as folder:
        # Without -noreset it would begin anew, with another file, once the program has checked that windows open.
        command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1280x800x24", "-fbdir", folder, "-noreset"]
        with subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL) as server:
            os.close(writing)
            with os.fdopen(reading) as number:
                name = f":{number.readline().strip()}"
            try:
                yield name, np.memmap(f"{folder}/Xvfb_screen0", np.uint8, "r")[-1280 * 800 * 4 :]
            finally:
                server.terminate()


def window_seconds() -> float:
    """Return the seconds until the window of a live run shows a picture."""
    with virtual_screen() as (name, screen):
        environment = {**os.environ, "DISPLAY": name}
        begin_seconds = time.perf_counter()
        command = [sys.executable, "-m", "livecam", "live", "demo:?size=640x360"]
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
            seconds = 0.0
            while process.poll() is None and seconds < _LONGEST_SECONDS and not _shows_picture(screen):
                time.sleep(0.01)
                seconds = time.perf_counter() - begin_seconds
            process.kill()
    return seconds


def _shows_picture(screen: np.ndarray) -> bool:
    return len(np.unique(screen[::97])) >= _COLOURS  # an empty window has one or two


def measured(commands: dict[str, list[str]], rounds: int) -> dict[str, list[dict[str, float]]]:
    """Return the times of each command in each round, in which all commands run one after the other."""
    times: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, arguments in commands.items():
            times[name].append(run(arguments))
    return times


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", default="resnet50,efficientnet_lite0", help="those whose first frame is timed")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    first_frames = {
        f"first frame of {model}": ["annotate", *ONE_FRAME, "--model", model, "--weights", weights_of(model)]
        for model in filter(None, arguments.models.split(","))
    }
    times = measured({**COMMANDS, **first_frames}, arguments.rounds)
    print_machine()
    print(f"Seconds, medians of {arguments.rounds} rounds, and the range of the processor time:\n")
    rows: list[dict[str, Any]] = []
    for name, rounds in times.items():
        medians = {key: round(statistics.median(each[key] for each in rounds), 3) for key in rounds[0]}
        rows.append({"command": name, **medians, "cpu_range": spread([each["cpu"] for each in rounds])})
    print_table(
        ["COMMAND", "CPU", "CPU, RANGE", "FIRST OUTPUT", "UNTIL THE END"],
        [[row["command"], row["cpu"], row["cpu_range"], row["first_output"], row["wall"]] for row in rows],
    )
    window = [window_seconds() for _ in range(arguments.rounds if shutil.which("Xvfb") else 0)]
    print(
        f"\nThe window shows a picture after {statistics.median(window):.2f} s." if window else "\nNo window: no Xvfb."
    )
    if arguments.json is not None:
        facts = {"machine": machine(), "rounds": arguments.rounds, "commands": rows, "window_seconds": window}
        write_json(arguments.json, facts)


if __name__ == "__main__":
    main()

"""The command line in a process of its own that annotates one file after the other, so that a file may kill it.

python -m tests.support.annotating reads the lines "INPUT OUTPUT REPORT" from standard input, and prints what happened
to each as a line of JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LONGEST_SECONDS = 60
_OPTIONS = ("--engine", "eager", "--opacity", "0.3", "--model", "tests.support.tiny:quick_shapes")


@dataclass(frozen=True)
class Result:
    """What became of a run; `problem` says how the process ended if the run ended it."""

    exit_code: int
    text: str
    memory_mib: float
    problem: str = ""


class Annotator:
    """Annotates files in another process, which is started again when a file has ended it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def annotate(self, source: Path, output: Path, report: Path) -> Result:
        """Annotate a file. A run of more than a minute counts as hung."""
        process = self._process = self._process or _started()
        assert process.stdin and process.stdout
        process.stdin.write(f"{source} {output} {report}\n")
        process.stdin.flush()
        alarm = threading.Timer(LONGEST_SECONDS, process.kill)
        alarm.start()
        line = process.stdout.readline()
        alarm.cancel()
        if line:
            return Result(**json.loads(line))
        self._process = None
        return Result(-1, "", 0, f"hung or killed by signal {-process.wait()}")

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.communicate()


def _started() -> subprocess.Popen[str]:
    command = [sys.executable, "-m", __name__]
    folder = Path(__file__).parents[2]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=folder
    )


def _annotated(source: str, output: str, report: str) -> dict[str, Any]:
    from click.testing import CliRunner

    from livecam.cli import cli

    result = CliRunner().invoke(cli, ["annotate", source, "-o", output, "--report", report, *_OPTIONS])
    text = result.output
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        text += f"\nTraceback: {result.exception!r}"
    return {"exit_code": result.exit_code, "text": text, "memory_mib": _most_memory_mib()}


def _most_memory_mib() -> float:
    # Not by getrusage, which begins with what the process that started this one had.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(_annotated(*line.split())), flush=True)

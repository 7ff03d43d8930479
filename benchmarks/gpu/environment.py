"""The GPU and its software, and the tests that need one."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.gpu.common import Results, Settings, SkippedError
from livecam.system.machine import machine, versions


def facts(settings: Settings) -> Results:
    """Yield facts about the machine, the GPU and the versions of the software in use."""
    told = machine()
    yield "machine", told
    yield "cuda", torch.version.cuda
    yield "cudnn", torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    yield "packages", versions("opencv-python-headless", "grad-cam", "timm", "pytest")
    if told["gpu"] is None:
        yield "summary", "there is no GPU"
        return
    properties = torch.cuda.get_device_properties(settings.device)
    yield "capability", [properties.major, properties.minor]
    yield "memory_gb", round(properties.total_memory / 1e9, 1)
    yield "free_gb", round(torch.cuda.mem_get_info(settings.device)[0] / 1e9, 1)
    yield "summary", f"{told['gpu']['name']}, torch {told['torch']}, CUDA {torch.version.cuda}"


def tests(settings: Settings) -> Results:
    """Run the tests that need a GPU."""
    if importlib.util.find_spec("pytest") is None:
        raise SkippedError("pytest is not installed")
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-rs", "--continue-on-collection-errors"]
    yield from tested(command)


def tested(command: Sequence[str]) -> Results:
    """Run pytest and pass on its output. Raises RuntimeError if a test fails."""
    lines: list[str] = []
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=root) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line.rstrip())
    yield "exit_code", process.returncode
    yield "tail", lines[-60:]
    yield "summary", (lines or ["it said nothing"])[-1].strip("= ")
    if process.returncode:
        raise RuntimeError(f"pytest ended with {process.returncode}: {(lines or [''])[-1].strip('= ')}")

"""The machine and its software: what a figure depends on and a reader cannot guess."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("livecam", "torch", "torchvision", "av", "opencv-python", "numpy", "pillow")
_GPU_FACTS = ("name", "driver_version", "clocks.current.sm", "clocks.current.memory", "clocks.max.sm")


def machine() -> dict[str, Any]:
    """Processor, GPU, system, threads and versions, as plain data for JSON."""
    import torch

    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "gpu": _gpu(),
        "system": platform.platform(),
        "torch_threads": torch.get_num_threads(),
        **versions(),
    }


def machine_line(facts: dict[str, Any]) -> str:
    """The same in a line above a table."""
    gpu = facts["gpu"]["name"] if facts["gpu"] else "no GPU"
    packages = ", ".join(f"{name} {facts[name]}" for name in ("torch", "torchvision"))
    return f"{facts['processor']}, {facts['cores']} cores, {gpu}; {packages}, {facts['torch_threads']} threads"


def versions(*more: str) -> dict[str, str | None]:
    """Of Python, livecam and what it is built on, and of `more` packages; None where one is not installed."""
    return {"python": platform.python_version(), **{name: version(name) for name in (*_PACKAGES, *more)}}


def version(package: str) -> str | None:
    """Of an installed package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # such as opencv-python-headless in place of opencv-python
        return None


def _gpu() -> dict[str, Any] | None:
    """The GPU that torch computes on, with driver and clocks (MHz, as they are now) where nvidia-smi tells them."""
    import torch

    if not torch.cuda.is_available():
        return None
    told = _nvidia_smi(torch.cuda.current_device())
    return {**dict.fromkeys(_GPU_FACTS), "name": torch.cuda.get_device_name(), **told}


def _nvidia_smi(index: int) -> dict[str, str]:
    command = ["nvidia-smi", f"--query-gpu={','.join(_GPU_FACTS)}", "--format=csv,noheader,nounits", f"--id={index}"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    return dict(zip(_GPU_FACTS, (fact.strip() for fact in told.split(",")), strict=False))


def processor() -> str:
    """Its name, as the system tells it."""
    cpu_info = Path("/proc/cpuinfo")
    if cpu_info.exists():
        names = [
            line.split(":")[1].strip() for line in cpu_info.read_text().splitlines() if line.startswith("model name")
        ]
        return names[0] if names else platform.machine()
    return platform.processor() or platform.machine()

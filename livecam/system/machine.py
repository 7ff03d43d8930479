"""The machine and its software: what a figure depends on and a reader cannot guess."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("livecam", "torch", "torchvision", "openvino", "av", "opencv-python", "numpy", "pillow")
_GPU_FACTS = ("name", "driver_version", "clocks.current.sm", "clocks.current.memory", "clocks.max.sm")


def machine() -> dict[str, Any]:
    """Processor, GPU, system, threads and versions, as plain data for JSON."""
    import torch

    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "gpu": gpu(),
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


def gpu() -> dict[str, Any] | None:
    """The GPU that torch computes on, as plain data; None where there is none.

    `tf32` is as in `uses_tf32`; driver and clocks (MHz, as they are now) are None where nvidia-smi does not tell them.
    """
    import torch

    if not torch.cuda.is_available():
        return None
    rows = _nvidia_smi(_GPU_FACTS, f"--id={torch.cuda.current_device()}")
    told = dict(zip(_GPU_FACTS, rows[0], strict=False)) if rows else {}
    return {**dict.fromkeys(_GPU_FACTS), "name": torch.cuda.get_device_name(), "tf32": uses_tf32(), **told}


def uses_tf32() -> bool:
    """Tell if the current GPU computes float32 convolutions in TF32, to three digits: PyTorch's default."""
    import torch

    return torch.cuda.is_tf32_supported() and torch.backends.cudnn.conv.fp32_precision == "tf32"  # type: ignore[attr-defined]


def nvidia_gpus() -> list[str]:
    """The names of the GPUs that NVIDIA's driver knows, also of those that torch cannot compute on."""
    return [name for (name,) in _nvidia_smi(("name",))]


def _nvidia_smi(facts: Sequence[str], *options: str) -> list[list[str]]:
    """A row of these facts for each GPU; none where nvidia-smi is missing or fails."""
    command = ["nvidia-smi", f"--query-gpu={','.join(facts)}", "--format=csv,noheader,nounits", *options]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [[fact.strip() for fact in line.split(",")] for line in told.splitlines()]


def processor() -> str:
    """Its name, as the system tells it."""
    cpu_info = Path("/proc/cpuinfo")
    if cpu_info.exists():
        names = [
            line.split(":")[1].strip() for line in cpu_info.read_text().splitlines() if line.startswith("model name")
        ]
        return names[0] if names else platform.machine()
    return platform.processor() or platform.machine()

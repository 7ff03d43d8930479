"""A description of the machine and its software versions, for reports and measurements."""

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
    """Return processor, GPU, system, threads and versions, as plain data for JSON."""
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
    """Describe a machine in one line, given the result of `machine`."""
    gpu = facts["gpu"]["name"] if facts["gpu"] else "no GPU"
    packages = ", ".join(f"{name} {facts[name]}" for name in ("torch", "torchvision"))
    return f"{facts['processor']}, {facts['cores']} cores, {gpu}; {packages}, {facts['torch_threads']} threads"


def versions(*more: str) -> dict[str, str | None]:
    """Return the versions of Python, livecam, its dependencies and `more` packages; None for one not installed."""
    return {"python": platform.python_version(), **{name: version(name) for name in (*_PACKAGES, *more)}}


def version(package: str) -> str | None:
    """Return the version of a package, None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # such as opencv-python-headless in place of opencv-python
        return None


def has_protocol(name: str) -> bool:
    """Return True if this build of FFmpeg has a protocol of URLs. Nothing is connected to."""
    import av

    try:
        av.open(f"{name}://127.0.0.1/", options={"protocol_whitelist": "none"})
    except av.FFmpegError as exc:  # always: no protocol is allowed
        return not isinstance(exc, av.error.ProtocolNotFoundError)
    return True


def gpu() -> dict[str, Any] | None:
    """Return the name, TF32 setting, driver version and clocks of the GPU that torch computes on, None without one.

    The clocks are the current ones in MHz. Driver and clocks are None if nvidia-smi does not report them.
    """
    import torch

    if not torch.cuda.is_available():
        return None
    rows = _nvidia_smi(_GPU_FACTS, f"--id={torch.cuda.current_device()}")
    told = dict(zip(_GPU_FACTS, rows[0], strict=False)) if rows else {}
    return {**dict.fromkeys(_GPU_FACTS), "name": torch.cuda.get_device_name(), "tf32": uses_tf32(), **told}


def uses_tf32() -> bool:
    """Return True if the current GPU computes float32 convolutions in TF32, to three digits: PyTorch's default."""
    import torch

    return torch.cuda.is_tf32_supported() and torch.backends.cudnn.conv.fp32_precision == "tf32"  # type: ignore[attr-defined]


def nvidia_gpus() -> list[str]:
    """Return the names of the GPUs that NVIDIA's driver knows, including those that torch cannot compute on."""
    return [name for (name,) in _nvidia_smi(("name",))]


def _nvidia_smi(facts: Sequence[str], *options: str) -> list[list[str]]:
    """Query these facts of each GPU; the list is empty if nvidia-smi is missing or fails."""
    command = ["nvidia-smi", f"--query-gpu={','.join(facts)}", "--format=csv,noheader,nounits", *options]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [[fact.strip() for fact in line.split(",")] for line in told.splitlines()]


def processor() -> str:
    """Return the name of the processor according to the system."""
    cpu_info = Path("/proc/cpuinfo")
    if cpu_info.exists():
        names = [
            line.split(":")[1].strip() for line in cpu_info.read_text().splitlines() if line.startswith("model name")
        ]
        return names[0] if names else platform.machine()
    return platform.processor() or platform.machine()

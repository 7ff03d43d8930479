"""What the benchmarks share: the machine's facts, medians, and tables."""

from __future__ import annotations

import json
import os
import platform
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """What a figure depends on and a reader cannot guess."""
    import torch

    packages = ("torch", "torchvision", "av", "opencv-python", "numpy")
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch_threads": torch.get_num_threads(),
        **{name: version(name) for name in packages},
    }


def cpu_seconds() -> float:
    """Processor time of this process and of the children that have ended, all threads."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def print_machine() -> None:
    """The machine in a line above a table."""
    facts = machine()
    packages = ", ".join(f"{name} {facts[name]}" for name in ("torch", "torchvision"))
    print(f"{facts['processor']}, {facts['cores']} cores, {facts['gpu'] or 'no GPU'}; {packages}\n")


def interleaved(works: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each call, each once a round after one that warms up, so that all meet the same weather."""
    times_ms: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    for _ in range(rounds):
        for name, work in works.items():
            begin = time.perf_counter()
            work()
            times_ms[name].append(1000 * (time.perf_counter() - begin))
    return times_ms


def spread(values: Sequence[float]) -> str:
    """From the least to the most, for a table."""
    return f"{min(values):.1f}-{max(values):.1f}"


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A Markdown table."""
    for row in (header, ["---"] * len(header), *rows):
        print("| " + " | ".join(str(cell) for cell in row) + " |")


def write_json(path: Path, results: dict[str, Any]) -> None:
    """Results with the machine beside them."""
    path.write_text(json.dumps({"machine": machine(), **results}, indent=2) + "\n", encoding="utf-8")


def version(package: str) -> str | None:
    """Of an installed package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    cpu_info = Path("/proc/cpuinfo")
    if cpu_info.exists():
        names = [
            line.split(":")[1].strip() for line in cpu_info.read_text().splitlines() if line.startswith("model name")
        ]
        return names[0] if names else platform.machine()
    return platform.processor() or platform.machine()

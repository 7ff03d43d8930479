"""Helpers that the benchmarks share in addition to `livecam.bench`: processor time and tables."""

from __future__ import annotations

import resource
from collections.abc import Sequence

from livecam.system.machine import machine, machine_line

WEIGHTS_WITHOUT_DOWNLOAD = ("shapes", "efficientnet_lite0")


def weights_of(model: str) -> str:
    """Choose a model's own weights if they need no download, or else random ones, whose maps mean nothing."""
    return "default" if model in WEIGHTS_WITHOUT_DOWNLOAD else "none"


def cpu_seconds() -> float:
    """Return the processor time of this process and of its children that have ended, all threads."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def print_machine() -> None:
    """Print the machine in a line above a table."""
    print(f"{machine_line(machine())}\n")


def spread(values: Sequence[float]) -> str:
    """Return the minimum and the maximum of some values, for a table."""
    return f"{min(values):.1f}-{max(values):.1f}"


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table."""
    for row in (header, ["---"] * len(header), *rows):
        print("| " + " | ".join(str(cell) for cell in row) + " |")

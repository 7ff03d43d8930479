"""What the benchmarks share beside `livecam.bench`: processor time, and tables."""

from __future__ import annotations

import resource
from collections.abc import Sequence

from livecam.system.machine import machine, machine_line

WEIGHTS_WITHOUT_DOWNLOAD = ("shapes", "efficientnet_lite0")


def weights_of(model: str) -> str:
    """A model's own weights where they need no download, or else random ones, whose maps mean nothing."""
    return "default" if model in WEIGHTS_WITHOUT_DOWNLOAD else "none"


def cpu_seconds() -> float:
    """Processor time of this process and of the children that have ended, all threads."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def print_machine() -> None:
    """The machine in a line above a table."""
    print(f"{machine_line(machine())}\n")


def spread(values: Sequence[float]) -> str:
    """From the least to the most, for a table."""
    return f"{min(values):.1f}-{max(values):.1f}"


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A Markdown table."""
    for row in (header, ["---"] * len(header), *rows):
        print("| " + " | ".join(str(cell) for cell in row) + " |")

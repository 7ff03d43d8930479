"""What a run counts and clocks: every frame is accounted for, and every stage is timed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

STAGES = ("capture", "explain", "render", "write")


def percentiles(values: Sequence[float] | np.ndarray) -> dict[str, float]:
    """p50, p90, p99, to three places."""
    found = np.percentile(values, (50, 90, 99))
    return {name: round(float(value), 3) for name, value in zip(("p50", "p90", "p99"), found, strict=True)}


class Durations:
    """Keeps the last `capacity` durations in memory that is allocated once, and the longest of all."""

    def __init__(self, capacity: int = 65536) -> None:
        self.count = 0
        self._longest_seconds = 0.0
        self._seconds = np.zeros(capacity)

    def add(self, seconds: float) -> None:
        """Take one duration in."""
        self._seconds[self.count % len(self._seconds)] = seconds
        self._longest_seconds = max(self._longest_seconds, seconds)
        self.count += 1

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Clock the block."""
        begin = time.perf_counter()
        yield
        self.add(time.perf_counter() - begin)

    def percentiles_ms(self) -> dict[str, float] | None:
        """p50, p90, p99 of what is kept, and max of all, in milliseconds; None before the first."""
        if not self.count:
            return None
        kept = self._seconds[: min(self.count, len(self._seconds))]
        return {**percentiles(1e3 * kept), "max": round(self._longest_seconds * 1e3, 3)}


class Ledger:
    """The account of one run. Each count has a single writer, the stage that it belongs to.

    `read` frames came out of the source, `explained` went through the model, `carried` got the map of an earlier one,
    `written` reached the sink; `dropped` were overwritten by newer ones on the way (live sources only). `unreadable`
    frames were promised by the source but could not be decoded; `damaged` ones were decoded with gaps that the decoder
    painted over. `unreadable_files` names the pictures that could not be read, where a source is made up of several
    files. `verified` is True once the finished file was found to hold all that was written, None where there is nothing
    to check.
    """

    def __init__(self) -> None:
        self.read = 0
        self.explained = 0
        self.carried = 0
        self.written = 0
        self.dropped = 0
        self.unreadable = 0
        self.damaged = 0
        self.unreadable_files: list[str] = []
        self.verified: bool | None = None
        self.stages = {stage: Durations() for stage in STAGES}
        self.latency = Durations()
        self._begin_seconds = time.perf_counter()
        self._end_seconds: float | None = None

    def stop_clock(self) -> None:
        """The run is over."""
        self._end_seconds = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Wall-clock time of the run, so far or in all."""
        return (self._end_seconds or time.perf_counter()) - self._begin_seconds

    @property
    def fps(self) -> float:
        """Frames written a second of the run."""
        return self.written / self.seconds if self.seconds else 0.0

    @property
    def complete(self) -> bool:
        """Whether every frame that the source promised was read whole."""
        return not (self.unreadable or self.damaged)

    def line(self) -> str:
        """The account in one line, for people."""
        carried = f", {self.carried} carried" if self.carried else ""
        frames = (
            f"{self.read} read, {self.explained} explained{carried}, {self.dropped} dropped, {self.written} written"
        )
        trouble = "".join(
            f", {count} {name}" for name, count in (("unreadable", self.unreadable), ("damaged", self.damaged)) if count
        )
        verified = ", verified" if self.verified else ""
        return f"{frames}{trouble}{verified} in {self.seconds:.1f} s ({self.fps:.1f} fps)"

    def report(self) -> dict[str, Any]:
        """The account as plain data for JSON."""
        names = ("read", "explained", "carried", "dropped", "written", "unreadable", "damaged")
        return {
            "frames": {name: getattr(self, name) for name in names},
            "unreadable_files": self.unreadable_files,
            "fps": round(self.fps, 3),
            "seconds": round(self.seconds, 3),
            "stages_ms": {stage: clock.percentiles_ms() for stage, clock in self.stages.items()},
            "latency_ms": self.latency.percentiles_ms(),
            "verified": self.verified,
        }

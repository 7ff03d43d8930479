"""The account of one source of a live run: each frame was shown, or it is known at which step it was passed over."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import Counter, deque
from typing import Any

from livecam.ledger import Durations
from livecam.sources.base import Gap

RECENT_FRAMES = 300
"""Over how many frames the latencies are told while the run goes on: about ten seconds."""
_RATE_SECONDS = 2.0


class Rate:
    """How often something happens, over the last two seconds."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()
        self._lock = threading.Lock()  # one thread counts, another asks

    def count(self) -> None:
        """It has happened."""
        with self._lock:
            self._times.append(time.perf_counter())
            self._forget()

    @property
    def fps(self) -> float:
        """Times a second, of late."""
        with self._lock:
            self._forget()
            return len(self._times) / _RATE_SECONDS

    def _forget(self) -> None:
        begin = time.perf_counter() - _RATE_SECONDS
        while self._times and self._times[0] < begin:
            self._times.popleft()


class FeedLedger:
    """Counts and times of one source. `captured` is what is `shown` and what was `dropped`, by the step before which:

    "explain" and "show", where a newer frame took its place; "pause", while the picture stood still; "end", which was
    on its way when the run ended. So many were `explained`, whether or not they were shown then. `gaps` are the times
    without a signal, in seconds from the source's start. The time runs from the first frame on.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.captured = 0
        self.explained = 0
        self.shown = 0
        self.dropped: Counter[str] = Counter()
        self.unreadable = 0
        self.damaged = 0
        self.gaps: list[Gap] = []
        self.stages = {stage: Durations() for stage in ("explain", "draw", "show")}
        self.latency = Durations()
        self.recent_latency = Durations(RECENT_FRAMES)
        self.rate_in, self.rate_out = Rate(), Rate()
        self._begin_seconds: float | None = None
        self._end_seconds: float | None = None

    def capture(self) -> None:
        """A frame has come."""
        if self._begin_seconds is None:
            self._begin_seconds = time.perf_counter()
        self.captured += 1
        self.rate_in.count()

    def show(self, captured_seconds: float) -> None:
        """A frame that was captured then is on the screen, or where there is none in the record."""
        seconds = time.perf_counter() - captured_seconds
        self.shown += 1
        self.rate_out.count()
        self.latency.add(seconds)
        self.recent_latency.add(seconds)

    def close(self, *, unsent: int) -> None:
        """The run is over; so many frames were on their way."""
        self._end_seconds = time.perf_counter()
        if unsent:
            self.dropped["end"] += unsent

    @property
    def seconds(self) -> float:
        """Wall-clock time, so far or in all."""
        if self._begin_seconds is None:
            return 0.0
        return (self._end_seconds or time.perf_counter()) - self._begin_seconds

    def line(self) -> str:
        """The account in one line, for people."""
        steps = ", ".join(f"{count} at {step}" for step, count in sorted(self.dropped.items()))
        dropped = f"{self.dropped.total()} dropped" + (f" ({steps})" if steps else "")
        counts = f"{self.captured} captured, {self.shown} shown, {self.explained} explained, {dropped}"
        gaps = "gap" if len(self.gaps) == 1 else "gaps"
        trouble = "".join(
            f", {count} {name}"
            for name, count in (("unreadable", self.unreadable), ("damaged", self.damaged), (gaps, len(self.gaps)))
            if count
        )
        latency = self.latency.percentiles_ms()
        times = f", latency p50 {latency['p50']:.0f} ms, p99 {latency['p99']:.0f} ms" if latency else ""
        return f"{counts}{trouble} in {self.seconds:.1f} s{times}"

    def report(self) -> dict[str, Any]:
        """The account as plain data for JSON."""
        return {
            "source": self.name,
            "frames": {
                **{name: getattr(self, name) for name in ("captured", "explained", "shown", "unreadable", "damaged")},
                "dropped": dict(self.dropped),
            },
            "gaps": [dataclasses.asdict(gap) for gap in self.gaps],
            "seconds": round(self.seconds, 3),
            "stages_ms": {stage: clock.percentiles_ms() for stage, clock in self.stages.items()},
            "latency_ms": self.latency.percentiles_ms(),
        }

"""The ledger of a run: counts what happened to each frame of a source, and how long each stage took."""

from __future__ import annotations

import dataclasses
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from livecam.text import redacted


def percentiles(values: Sequence[float] | np.ndarray) -> dict[str, float]:
    """Return p50, p90 and p99 of the values, rounded to three places."""
    found = np.percentile(values, (50, 90, 99))
    return {name: round(float(value), 3) for name, value in zip(("p50", "p90", "p99"), found, strict=True)}


BUCKETS_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Durations are counted by the first of these that is not shorter; the rest is longer than all."""


class Durations:
    """Stores the last `capacity` durations in a fixed buffer, and the sum and the maximum of all durations.

    Of all durations, `total_seconds` is the sum, and `buckets` counts those of each range that `BUCKETS_SECONDS` ends.
    Pickled, it keeps only such figures of all: some hundred bytes, whatever there was to measure.
    """

    def __init__(self, capacity: int = 65536) -> None:
        self.count = 0
        self.total_seconds = self._longest_seconds = 0.0
        self.buckets = [0] * (len(BUCKETS_SECONDS) + 1)
        self._seconds = np.zeros(capacity)

    def add(self, seconds: float) -> None:
        """Add one duration."""
        self._seconds[self.count % len(self._seconds)] = seconds
        self._longest_seconds = max(self._longest_seconds, seconds)
        self.total_seconds += seconds
        self.buckets[bisect_left(BUCKETS_SECONDS, seconds)] += 1
        self.count += 1

    def add_all(self, others: Durations) -> None:
        """Add the durations of others to count, sum, buckets and maximum. From then on no single one is known."""
        self._seconds = np.zeros(0)
        self.total_seconds += others.total_seconds
        self._longest_seconds = max(self._longest_seconds, others._longest_seconds)
        self.buckets = [own + other for own, other in zip(self.buckets, others.buckets, strict=True)]
        self.count += others.count

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_seconds": np.zeros(0)}

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Add the duration of the block."""
        begin = time.perf_counter()
        yield
        self.add(time.perf_counter() - begin)

    def percentiles_ms(self) -> dict[str, float] | None:
        """Return p50, p90 and p99 of the stored durations and the maximum of all, in ms; None if there are none.

        Where no single one is known, the mean takes the place of the percentiles.
        """
        if not self.count:
            return None
        kept = self._seconds[: min(self.count, len(self._seconds))]
        middle = percentiles(1e3 * kept) if len(kept) else {"mean": round(1e3 * self.total_seconds / self.count, 3)}
        return {**middle, "max": round(self._longest_seconds * 1e3, 3)}

    def recent_ms(self, count: int) -> dict[str, float] | None:
        """Return p50, p90 and p99 of the last `count` durations, in milliseconds; None if there are none."""
        if not self.count:
            return None
        newest = np.arange(max(self.count - count, 0), self.count) % len(self._seconds)
        return percentiles(1e3 * self._seconds[newest])


@dataclass(frozen=True, slots=True)
class Gap:
    """A time without frames, from the last frame before it to the first one after it, with its reason.

    Seconds count from the source's first frame. A gap at the end lasts until the source was stopped.
    """

    begin_seconds: float
    end_seconds: float
    problem: str


class Kind(NamedTuple):
    """A kind of run: the names of its counts of frames read and delivered, and the stages that it times."""

    read: str
    delivered: str
    stages: tuple[str, ...]


FILE = Kind("read", "written", ("capture", "explain", "render", "write"))
LIVE = Kind("captured", "shown", ("explain", "draw", "show"))


class Ledger:
    """The account of one source in a run. Every frame that was read was either delivered or dropped.

    Args:
        kind: `FILE` for a run from a file to a file, `LIVE` for one to the screen.
        source: What the source is called.

    Attributes:
        read: Frames that the source gave.
        explained: Frames that went through the model.
        clips: Clips that went through a model of clips.
        clips_left_out: Clips that should have, by the stride that was asked for, but for which there was no time.
        delivered: Frames that were written to the output or shown on the screen.
        carried: Those of them that were drawn with the map of an earlier frame.
        dropped: Frames that were not delivered, by the step that they were waiting for: "explain" and "show" if a newer
            frame replaced them, "pause" if the picture was paused, "end" if the run ended first; "damaged" if damaged
            ones are left out; and the places of `Source.dropped`. Of several pictures also "explain" and "write", if
            that failed. Of a stream that is sent, "connect" while nobody received it, and "send" if that failed.
        unreadable: Frames that the source should contain but that could not be decoded.
        damaged: Frames that were decoded with parts missing, or predicted from such: the decoder painted over them.
        failed_files: Why a file was not done, by its name, for each of several pictures that failed.
        gaps: The times without a signal.
        verified: True once the finished file was checked to contain all frames; None if there is nothing to check.
        stages: The duration of each stage for each frame.
        latency: The time from captured to delivered of each delivered frame, without a pause.

    Each count has a single writer at a time.
    """

    def __init__(self, kind: Kind, source: str) -> None:
        self.source = source
        self.read = 0
        self.explained = 0
        self.clips = self.clips_left_out = 0
        self.delivered = 0
        self.carried = 0
        self.dropped: Counter[str] = Counter()
        self.unreadable = 0
        self.damaged = 0
        self.failed_files: dict[str, str] = {}
        self.gaps: list[Gap] = []
        self.verified: bool | None = None
        self.stages = {stage: Durations() for stage in kind.stages}
        self.latency = Durations()
        self._kind = kind
        self._begin_seconds: float | None = None
        self._end_seconds: float | None = None

    def begin(self) -> None:
        """Start the clock of the run, unless it was started before."""
        if self._begin_seconds is None:
            self._begin_seconds = time.perf_counter()

    def deliver(self, since_seconds: float, age_frames: int) -> None:
        """Count a frame that is delivered now.

        Args:
            since_seconds: When it was captured, or when a pause ended for which it waited, on the clock of
                `time.perf_counter`.
            age_frames: The age of its map in frames; 0 for its own map.
        """
        self.delivered += 1
        self.carried += age_frames > 0
        self.latency.add(time.perf_counter() - since_seconds)

    def add(self, other: Ledger) -> None:
        """Add the counts and durations of another run, and take their names. The clock of this one stays as it is."""
        self._kind = other._kind
        for name in ("read", "explained", "clips", "clips_left_out", "delivered", "carried", "unreadable", "damaged"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.dropped.update(other.dropped)
        self.failed_files |= other.failed_files
        self.gaps += other.gaps
        if other.verified is not None:
            self.verified = other.verified and self.verified is not False
        for stage, durations in other.stages.items():
            self.stages[stage].add_all(durations)
        self.latency.add_all(other.latency)

    def count_dropped_before(self, dropped: Mapping[str, int]) -> None:
        """Count frames that were dropped before they could be read: `dropped` are the totals so far, by place."""
        for place, count in dropped.items():
            self.read += count - self.dropped[place]
            self.dropped[place] = count

    def end(self, *, on_their_way: int = 0) -> None:
        """Stop the clock of the run, and count the frames that were still in progress as dropped."""
        self._end_seconds = time.perf_counter()
        if on_their_way:
            self.dropped["end"] += on_their_way

    @property
    def seconds(self) -> float:
        """Wall-clock time of the run: so far, or in all once it has ended."""
        if self._begin_seconds is None:
            return 0.0
        return (self._end_seconds or time.perf_counter()) - self._begin_seconds

    @property
    def fps(self) -> float:
        """Frames delivered per second of the run."""
        return self.delivered / self.seconds if self.seconds else 0.0

    @property
    def complete(self) -> bool:
        """True if every frame of the source was read without damage and sent where it should be, and no file failed."""
        return not (self.unreadable or self.damaged or self.failed_files or self.unsent)

    @property
    def unsent(self) -> int:
        """Frames that a stream should have got, but that nobody received."""
        return self.dropped["connect"] + self.dropped["send"]

    @property
    def in_progress(self) -> int:
        """Frames that were read and neither delivered nor dropped so far."""
        return self.read - self.delivered - self.dropped.total()

    @property
    def is_balanced(self) -> bool:
        """True if every frame that was read has been delivered or dropped; false while frames are in progress."""
        return not self.in_progress

    def __repr__(self) -> str:
        return f"Ledger({redacted(self.source)}: {self.line()})"

    def line(self) -> str:
        """Return the ledger as one line of text."""
        by_step = ", ".join(
            f"{count} {step}" if step == "damaged" else f"{count} at {step}"
            for step, count in sorted(self.dropped.items())
        )
        counts = [
            f"{self.read} {self._kind.read}",
            f"{self.explained} explained" + self._by_clips(),
            *([f"{self.carried} carried"] if self.carried else []),
            f"{self.dropped.total()} dropped" + (f" ({by_step})" if by_step else ""),
            f"{self.delivered} {self._kind.delivered}",
            *([f"{self.unreadable} unreadable"] if self.unreadable else []),
            *([f"{self.damaged} damaged"] if self.damaged else []),
            *([f"{len(self.gaps)} gap{'s' * (len(self.gaps) > 1)}"] if self.gaps else []),
            *(["verified"] if self.verified else []),
        ]
        return f"{', '.join(counts)} in {self.seconds:.1f} s{self._pace()}"

    def _by_clips(self) -> str:
        left_out = f", {self.clips_left_out} left out" if self.clips_left_out else ""
        return f" ({self.clips} clip{'s' * (self.clips > 1)}{left_out})" if self.clips else ""

    def _pace(self) -> str:
        """Return the pace as text: the latency of a live run, the speed of a run over a file."""
        latency = self.latency.percentiles_ms()
        if self._kind != LIVE:
            return f" ({self.fps:.1f} fps)"
        return f", latency p50 {latency['p50']:.0f} ms, p99 {latency['p99']:.0f} ms" if latency else ""

    def counts(self) -> dict[str, int]:
        """Return the counts of frames, by their names in the report."""
        return {
            self._kind.read: self.read,
            "explained": self.explained,
            "carried": self.carried,
            "dropped": self.dropped.total(),
            self._kind.delivered: self.delivered,
            "unreadable": self.unreadable,
            "damaged": self.damaged,
        }

    def report(self) -> dict[str, Any]:
        """Return the ledger as plain data for JSON.

        The counts in `frames` are named after the kind of run: read and written for a file, captured and shown live.
        `dropped` is a single number for a file and for pictures, and a count per step for a live run.
        """
        return {
            "source": self.source,
            "frames": {**self.counts(), **({"dropped": dict(self.dropped)} if self._kind == LIVE else {})},
            **({"clips": {"explained": self.clips, "left_out": self.clips_left_out}} if self.clips else {}),
            "failed_files": {redacted(name): reason for name, reason in self.failed_files.items()},
            "gaps": [dataclasses.asdict(gap) for gap in self.gaps],
            "fps": round(self.fps, 3),
            "seconds": round(self.seconds, 3),
            "stages_ms": {stage: clock.percentiles_ms() for stage, clock in self.stages.items()},
            "latency_ms": self.latency.percentiles_ms(),
            "verified": self.verified,
        }

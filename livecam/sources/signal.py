"""Whether a live source gives frames: told by the thread that reads, asked by any other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gap:
    """A time without frames, from the last one before it to the first one after it, and why it began.

    In seconds since the first frame of the source; one that nothing ended lasts until the source was stopped.
    """

    begin_seconds: float
    end_seconds: float
    problem: str


class Signal:
    """It is there until it is lost, and again with the next frame. `clock` is that by which frames are stamped."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._first_seconds: float | None = None
        self._last_seconds = clock()
        self._problem = self._cause = ""  # now, and at first
        self._gaps: list[Gap] = []

    def lost_seconds(self) -> float | None:
        """How long ago the last frame came, None while they come."""
        with self._lock:
            return self._clock() - self._last_seconds if self._problem else None

    @property
    def problem(self) -> str:
        """Why the signal is lost, in a few words; empty while frames come."""
        return self._problem

    @property
    def gaps(self) -> list[Gap]:
        """Those that are over."""
        with self._lock:
            return list(self._gaps)

    def lose(self, problem: str) -> None:
        """No frames come, for this reason, or now for this one."""
        with self._lock:
            self._cause = self._cause or problem
            self._problem = problem

    def came(self, seconds: float) -> None:
        """A frame came."""
        with self._lock:
            self._end_gap(seconds)
            if self._first_seconds is None:
                self._first_seconds = seconds
            self._last_seconds = seconds

    def stop(self) -> None:
        """No more frames will be asked for."""
        with self._lock:
            self._end_gap(self._clock())

    def _end_gap(self, seconds: float) -> None:
        # What went wrong before the first frame is no gap between frames.
        if self._problem and self._first_seconds is not None:
            begin_seconds, end_seconds = self._last_seconds - self._first_seconds, seconds - self._first_seconds
            self._gaps.append(Gap(round(begin_seconds, 3), round(end_seconds, 3), self._cause))
        self._problem = self._cause = ""

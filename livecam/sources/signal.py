"""The signal of a camera or a stream: if frames arrive, and what is told when it is lost and comes back."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable

from livecam.ledger import Gap

log = logging.getLogger("livecam")

_QUIET_SECONDS = 60.0
_MOMENT_SECONDS = 3.0
"""So long after a note, losses that are shorter than this are only counted."""


class Signal:
    """Tracks if frames arrive: the signal is present until it is lost, and present again with the next frame.

    `clock` returns seconds on the clock of the frames' times. Thread-safe.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._first_seconds: float | None = None
        self._last_seconds = clock()
        self._problem = self._cause = ""  # while there is a signal
        self._gaps: list[Gap] = []

    def lost_seconds(self) -> float | None:
        """Return how long ago the last frame arrived, None while frames arrive."""
        with self._lock:
            return self._clock() - self._last_seconds if self._problem else None

    @property
    def problem(self) -> str:
        """The reason why the signal is lost, in a few words; empty while frames arrive."""
        return self._problem

    @property
    def gaps(self) -> list[Gap]:
        """The gaps that are over."""
        with self._lock:
            return list(self._gaps)

    def lose(self, problem: str) -> None:
        """Mark the signal as lost, with a reason; may be called again if the reason changes."""
        with self._lock:
            self._cause = self._cause or problem
            self._problem = problem

    def came(self, seconds: float) -> None:
        """Record the arrival of a frame and its time."""
        with self._lock:
            self._end_gap(seconds)
            if self._first_seconds is None:
                self._first_seconds = seconds
            self._last_seconds = seconds

    def stop(self) -> None:
        """Record that no more frames will be read."""
        with self._lock:
            self._end_gap(self._clock())

    def _end_gap(self, seconds: float) -> None:
        # What went wrong before the first frame is no gap between frames.
        if self._problem and self._first_seconds is not None:
            begin_seconds, end_seconds = self._last_seconds - self._first_seconds, seconds - self._first_seconds
            self._gaps.append(Gap(round(begin_seconds, 3), round(end_seconds, 3), self._cause))
        self._problem = self._cause = ""


class LossNotes:
    """Tells when a signal is lost, why, and when it is back. Losses of a moment that repeat are told once a minute.

    `clock` returns seconds.
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.perf_counter) -> None:
        self._name, self._clock = name, clock
        self._since_seconds: float | None = None
        self._told_problems: set[str] = set()  # of the present loss
        self._last_told_seconds = -math.inf
        self._moments = 0  # losses that were not told

    def lost(self, problem: str) -> None:
        """Tell that the signal is lost; to be called again with each attempt that fails."""
        now_seconds = self._clock()
        self._tell_moments(now_seconds)
        if self._since_seconds is None:
            self._since_seconds = now_seconds
        if self._is_quiet(now_seconds) and now_seconds - self._since_seconds < _MOMENT_SECONDS:
            return
        if not self._told_problems:
            log.warning("%s is lost (%s); reconnecting until it is back", self._name, problem)
        elif problem not in self._told_problems:
            log.warning("%s is still lost (%s)", self._name, problem)
        self._told_problems.add(problem)
        self._last_told_seconds = now_seconds

    def came(self, lost_seconds: float | None) -> None:
        """Tell that the signal is back if it was lost; to be called with each frame."""
        if lost_seconds is not None:
            self._end(lost_seconds)
        self._tell_moments(self._clock())

    def _end(self, lost_seconds: float) -> None:
        if self._told_problems:
            log.warning("%s is back after %.1f s", self._name, lost_seconds)
        else:
            self._moments += 1
        self._since_seconds, self._told_problems = None, set()

    def _tell_moments(self, now_seconds: float) -> None:
        if self._moments and not self._is_quiet(now_seconds):
            log.warning("%s was lost for a moment %d more times", self._name, self._moments)
            self._moments, self._last_told_seconds = 0, now_seconds

    def _is_quiet(self, now_seconds: float) -> bool:
        """Return True within a minute after a note, unless the present loss was told."""
        return not self._told_problems and now_seconds - self._last_told_seconds < _QUIET_SECONDS

"""The notes about a signal that is lost and comes back."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable

log = logging.getLogger("livecam")

_QUIET_SECONDS = 60.0
_MOMENT_SECONDS = 3.0


class Losses:
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

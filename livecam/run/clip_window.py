"""The window of a source from which clips are taken: the newest frames, at the rate of the model, prepared."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections import deque
from collections.abc import Callable, Sequence

from livecam.explain.preprocess import Prepared
from livecam.explanation import Explanation
from livecam.picture.frame import Frame

log = logging.getLogger("livecam")

_LONG = 1.25
"""By how much longer a clip may last than those that the model was trained on; uneven times alone make less of it."""
_EARLY = 0.45
"""How early a frame may come for a tick, in periods. Jitter then skips no frame of a source that has the model's rate;
a full half would leave the choice to rounding errors where a source is twice as fast."""

Clip = tuple[Prepared, ...]
"""The frames that a model sees at once, the oldest first."""
Cells = Sequence[Explanation]
"""The explanations of a clip, one for each of its time cells, the earliest first."""


class Ticks:
    """Chooses those of a source's frames that come at a rate: for each tick the first that is not too early.

    A source that is slower has all of its frames chosen, as without a rate.
    """

    def __init__(self, frames_per_second: float | None) -> None:
        self._period_seconds = 1 / frames_per_second if frames_per_second else 0.0
        self._next_seconds = -math.inf

    def chooses(self, frame: Frame) -> bool:
        """Return True if the next frame is chosen."""
        seconds = _seconds_of(frame)
        if seconds < self._next_seconds - _EARLY * self._period_seconds:
            return False
        tick = self._next_seconds + self._period_seconds
        self._next_seconds = tick if tick > seconds else seconds + self._period_seconds
        return True


class ClipWindow:
    """Holds the newest frames of one source at the rate of a model of clips, and says when a clip is due.

    Each frame is prepared at most once. Not thread-safe.

    Args:
        prepare: Prepares a frame, as `Explainer.prepared`.
        frames: How many make a clip.
        frames_per_second: The rate at which the model sees them; None for every frame of the source.
        stride: How many frames of the source there are from one clip to the next, counted in whole steps of the model's
            rate; at most a clip's length, so that each frame is in a clip. None for the length of a time cell.
        name: What the source is called.

    Attributes:
        is_due: True if a clip is to be taken and explained.
        left_out: How many clips were due and not taken before the next one was.
        has_told_slowness: True once it was told that the source is slower than the model's rate.
    """

    def __init__(
        self,
        prepare: Callable[[Sequence[Frame]], Sequence[Prepared]],
        frames: int,
        frames_per_second: float | None = None,
        stride: int | None = None,
        name: str = "the video",
    ) -> None:
        self.frames, self.stride = frames, stride
        self.has_told_slowness = False
        self._name = name
        self._prepare = prepare
        self._rate = frames_per_second
        self.left_out = 0
        self.clear()

    def clear(self) -> None:
        """Forget all frames: those to come do not follow them."""
        self._ticks = Ticks(self._rate)
        self._prepared: deque[Prepared] = deque(maxlen=self.frames)
        self._seconds: deque[float] = deque(maxlen=self.frames)  # their times
        self._skipped: Frame | None = None  # the newest, if it was not chosen
        self._last_end = self._last_due = -1  # the indices at which the last clip ended, and at which one was due
        self.is_due = False

    @property
    def last_index(self) -> int:
        """The index of the newest frame that the next clip has; -1 before the first."""
        return self._prepared[-1].frame_index if self._prepared else -1

    @property
    def first_index(self) -> int:
        """The index of the oldest frame that a clip to come can have."""
        return self._prepared[0].frame_index if self._prepared else 0

    def add(self, frame: Frame) -> None:
        """Take the next frame of the source."""
        self._skipped = frame
        if self._ticks.chooses(frame):
            self._choose(frame)

    def end(self) -> None:
        """Take the last frame of the source as the last one of a clip, which is due if there are enough frames."""
        if self._skipped is not None:
            self._choose(self._skipped)
        self.is_due = self._is_full and self.last_index > self._last_end

    def take(self) -> Clip:
        """Return the newest clip; one must be due."""
        self.is_due = False
        self._last_end = self.last_index
        self._tell_slowness()
        return tuple(self._prepared)

    def settle_stride(self, cells: Cells) -> None:
        """Take the length of a time cell as the stride, unless another was asked for."""
        first, last = span_of(cells)
        self.stride = self.stride or max((last - first + 1) // len(cells), 1)

    def shortage(self, count: int) -> str:
        """Return why there is no clip in a source of so many frames."""
        rate, frames = self._rate, f"{count} frame{'s' * (count != 1)}"
        at_rate = f" at {rate:g} a second, which is {self.frames / rate:.2g} s" if rate else ""
        return f"{self._name} is too short with {frames}: the model sees {self.frames}{at_rate}; take a longer video"

    def _tell_slowness(self) -> None:
        """Tell once if a clip lasts longer than those that the model was trained on."""
        lasts_seconds = self._seconds[-1] - self._seconds[0]
        if self._rate and not self.has_told_slowness and lasts_seconds * self._rate > _LONG * (self.frames - 1):
            self.has_told_slowness = True
            log.warning(
                "%s has at times fewer frames a second than the %.3g that the model was trained at: "
                "motion looks faster to it there",
                self._name,
                self._rate,
            )

    def _choose(self, frame: Frame) -> None:
        (prepared,) = self._prepare([frame])
        self._prepared.append(prepared)
        self._seconds.append(_seconds_of(frame))
        self._skipped = None
        if self._is_full and frame.index - self._last_due >= self._step:
            self.left_out += self.is_due
            self.is_due, self._last_due = True, frame.index

    @property
    def _is_full(self) -> bool:
        return len(self._prepared) == self.frames

    @property
    def _step(self) -> int:
        """How many frames after a clip was due the next one is."""
        return min(self.stride or self.frames, self.last_index - self.first_index + 1)


def of_frame(cells: Cells, frame: Frame) -> Explanation:
    """Return the explanation of a frame by its own time cell of a clip that contains it."""
    begun = [cell for cell in cells if cell.cell_frames and cell.cell_frames[0] <= frame.index]
    return dataclasses.replace(begun[-1] if begun else cells[0], frame_index=frame.index)


def span_of(cells: Cells) -> tuple[int, int]:
    """Return the indices of the first and the last frame of a clip."""
    span = cells[0].clip_frames
    assert span is not None  # it is an explanation of a clip
    return span


def _seconds_of(frame: Frame) -> float:
    return frame.captured_seconds if frame.pts_seconds is None else frame.pts_seconds

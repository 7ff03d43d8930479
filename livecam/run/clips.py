"""Runs of models of clips: a window for each source, and the map of its own time for each frame of a file."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from livecam.errors import InputError, LivecamError
from livecam.explain.preprocess import Prepared
from livecam.explanation import Explanation
from livecam.picture.frame import Frame
from livecam.picture.media import Media
from livecam.run.clip_window import Cells, Clip, ClipWindow, of_frame, span_of

log = logging.getLogger("livecam")

_SLOW = 0.95
"""The share of the model's rate below which a source counts as slower."""


class Preparing(Protocol):
    """What is asked of an explainer here; the members are as in `livecam.explain.explainer.Explainer`."""

    @property
    def clip_frames(self) -> int: ...

    @property
    def frames_per_second(self) -> float | None: ...

    def prepared(self, images: Sequence[Frame]) -> list[Prepared]: ...


def window_for(explainer: Preparing, media: Media, name: str, stride: int | None = None) -> ClipWindow | None:
    """Return a window for the clips that an explainer takes of a source; None if it explains single frames.

    Tells if the source is slower than what the model was trained at.

    Raises:
        LivecamError: The stride would leave out frames of this source, or it is not for this model.
    """
    frames, rate = explainer.clip_frames, explainer.frames_per_second
    if frames == 1:
        if stride is not None:
            raise LivecamError("stride is for models of clips, and this one sees single frames; leave it out")
        return None
    longest = frames * (max(float(media.rate) / rate, 1) if rate and media.rate else 1)
    if stride is not None and not 1 <= stride <= longest:
        raise LivecamError(f"a clip is {longest:.0f} frames long, so stride is a number from 1 to that, not {stride}")
    window = ClipWindow(explainer.prepared, frames, rate, stride, name)
    if rate and media.rate and media.rate < _SLOW * rate:
        window.has_told_slowness = True
        log.warning(
            "%s has %.3g frames a second, and the model was trained at %.3g: motion looks faster to it",
            name,
            media.rate,
            rate,
        )
    return window


class ClipExplanations:
    """Explains the frames of a file, each by its own time cell of the clip whose middle is nearest to it.

    The first and the last clip also serve the frames before and after their middles, so that each frame has a map from
    a clip that contains it. A frame waits until that clip has been explained: at most as long as a clip lasts.

    For one run; not thread-safe.

    Args:
        window: Makes the clips.
        explain: Explains clips, as `Explainer.explain_clips`.
        batch: How many clips are explained at once.

    Attributes:
        stride: About how many frames there are from one clip to the next.
    """

    def __init__(
        self, window: ClipWindow, explain: Callable[[Sequence[Clip]], Sequence[Cells]], batch: int = 1
    ) -> None:
        self.stride = window.stride or window.frames // 2
        self._window, self._explain, self._batch = window, explain, batch
        self._waiting: deque[Frame] = deque()
        self._due: list[Clip] = []
        self._cells: Cells = ()  # of the last clip

    def of(self, frames: Iterable[Frame]) -> Iterator[tuple[Frame, Explanation]]:
        """Yield all frames of a file with their explanations. Raises InputError if they are too few for a clip."""
        for frame in frames:
            yield from self.add(frame)
        yield from self.end()

    def add(self, frame: Frame) -> list[tuple[Frame, Explanation]]:
        """Take the next frame; return the frames that can be explained now."""
        self._waiting.append(frame)
        self._window.add(frame)
        batch = self._batch if self._window.stride else 1  # the first clip says how long a time cell is
        return self._explained() if self._takes_due() == batch else []

    def end(self) -> list[tuple[Frame, Explanation]]:
        """Return the frames that are left. Raises InputError if there were too few for a clip."""
        self._window.end()
        explained = self._explained() if self._takes_due() else []
        if not self._cells:
            raise InputError(self._window.shortage(len(self._waiting)))
        return [*explained, *self._served(math.inf)]

    def _takes_due(self) -> int:
        """Take the clip that is due, if one is; return how many wait to be explained."""
        if self._window.is_due:
            self._due.append(self._window.take())
        return len(self._due)

    def _explained(self) -> list[tuple[Frame, Explanation]]:
        """Explain the clips that wait; return the frames that are nearer to these than to later ones."""
        served = []
        for cells in self._explain(self._due):
            if self._cells:
                served += self._served((_middle(self._cells) + _middle(cells)) / 2)
            self._cells = cells
            self._window.settle_stride(cells)
        self._due.clear()
        return served

    def _served(self, last_index: float) -> list[tuple[Frame, Explanation]]:
        """Return the frames that wait, up to an index, with their cells of the last clip."""
        served = []
        while self._waiting and self._waiting[0].index <= last_index:
            frame = self._waiting.popleft()
            served.append((frame, of_frame(self._cells, frame)))
        return served


def _middle(cells: Cells) -> float:
    """Return the index in the middle of a clip."""
    first, last = span_of(cells)
    return (first + last) / 2

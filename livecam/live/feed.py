"""The feed: holds the frames of one source of a live run between the reader, the explainer and the screen."""

from __future__ import annotations

import dataclasses
import logging
import math
import threading
import time
from collections import deque
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from livecam.explain.motion import MotionFinder
from livecam.explanation import Explanation
from livecam.ledger import LIVE, Ledger
from livecam.picture.frame import Frame
from livecam.picture.media import Orientation
from livecam.run.workers import GivenUp
from livecam.sources.base import Source, looked_at

if TYPE_CHECKING:  # it imports torch, which takes seconds: the window opens before
    from livecam.picture.transfer import DevicePlanes
    from livecam.run.clip_window import Clip, ClipWindow

log = logging.getLogger("livecam")

_MOST_WAITING_BYTES = 2**28
"""How much memory the frames may take that wait for a clip to be explained."""
_CATCH_UP = 1 / 3
"""By how much faster than captured the frames of clips are shown, to catch up after one that took long."""
_MOST_LATE_SECONDS = 0.5
"""How late a frame of a clip may be on the screen before it is dropped."""


@dataclass(frozen=True, slots=True)
class Explained:
    """A frame that went through the model.

    `facts` says how it was explained, as in `Explainer.report`, with the `layer_title`. `uploaded` holds the frame's
    planes if they are on a GPU. `clip` is what the model saw, if it saw more than this frame.
    """

    frame: Frame
    explanation: Explanation
    facts: dict[str, Any]
    uploaded: DevicePlanes | None = None
    clip: Clip | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """A frame for the screen with the newest explanation, which may be of an earlier frame."""

    frame: Frame
    explained: Explained


class Feed:
    """Hands the frames of a source from its reader to the explainer, and from there to the screen.

    One frame may wait before each step. The newest frame of a live source takes the place of one that waits, which
    counts as dropped; the reader of a file waits until the screen has room. While `shows_every` is set, every frame
    goes to the screen at once, and the newest to the explainer as well. The screen gets frames in order: a frame that
    was explained too late is dropped.

    For a model of clips (`take_clips`) all frames of the next clip may wait, up to a bound. Together they go to the
    screen once it is explained, which shows those of a live source at their own pace.

    Until `begin` frames do not count: `preview` is the newest of a live source, or the first of a file.

    With `skips_damaged`, damaged frames are dropped.

    All feeds of a run share the condition `changed`. The methods are thread-safe, for one thread that reads, one that
    explains, and one that shows. `source` may stand for one that is not open yet, which then takes its place.
    """

    def __init__(self, source: Source, changed: threading.Condition, *, skips_damaged: bool = False) -> None:
        self.source = source
        self.ledger = Ledger(LIVE, source.name)
        self.finder = MotionFinder()
        self.is_mirrored = False
        self.is_paused = False
        self.is_resting = False
        self.shows_every = False
        self.preview: Frame | None = None
        self.on_screen: Shown | None = None
        self._changed = changed
        self._skips_damaged = skips_damaged
        self._steps = 0  # frames to show although it is paused
        self._went_on_seconds = -math.inf  # after it had stood still
        self._window: ClipWindow | None = None
        self._followed: tuple[object, ...] = ()
        self._to_explain: deque[Frame] = deque()
        self._in_flight = False  # at the explainer
        self._awaited: set[int] = set()  # the indices of the frames there that are to be shown with their own map
        self._to_show: deque[tuple[Frame, Explained | None]] = deque()
        self._delay_seconds = 0.0  # from captured to shown, by which the frames of a clip keep their pace
        self._delayed_seconds = -math.inf  # when it was set
        self._last_sent = -1  # the index of the last frame that went to the screen
        self._newest: Explained | None = None
        self._is_revised = False
        self._begun = threading.Event()
        self._is_open, self._is_read, self._is_stopped = False, False, False

    @property
    def waits_for_explainer(self) -> bool:
        """True if a frame waits to be explained. A file's frame waits for room on the screen first."""
        if not self._has_due:
            return False
        return self.source.is_live or not self._to_show or not self._is_unsent(self._to_explain[0])

    @property
    def waits_for_screen(self) -> bool:
        """True if a frame can be shown now. The first frame of a file waits for its explanation."""
        has_map = self.source.is_live or self._newest is not None
        return bool(self._to_show) and has_map and not self._stands_still and self.seconds_to_next <= 0

    @property
    def seconds_to_next(self) -> float:
        """How long the next frame waits to be shown at its own pace; infinity if there is none."""
        with self._changed:
            if not self._to_show:
                return math.inf
            frame, own = self._to_show[0]
            delay_seconds = self._delay_seconds if _is_of_clip(own) else 0.0
            return frame.captured_seconds + delay_seconds - time.perf_counter()

    @property
    def is_revised(self) -> bool:
        """True if the frame on the screen has a new explanation that is not drawn yet."""
        return self._is_revised

    @property
    def is_open(self) -> bool:
        """True once the source is open."""
        return self._is_open

    @property
    def has_begun(self) -> bool:
        """True once frames count."""
        return self._begun.is_set()

    @property
    def is_stopped(self) -> bool:
        """True once it was stopped: no frame is shown from then on."""
        return self._is_stopped

    @property
    def is_settled(self) -> bool:
        """True once the source is open, or it is known that it cannot be opened now."""
        return self._is_open or self._is_read or bool(self.source.signal.problem)

    @property
    def is_silent(self) -> bool:
        """True if no frame is to be expected soon: the source has ended, or there is no signal."""
        return self._is_read or bool(self.source.signal.problem)

    @property
    def is_done(self) -> bool:
        """True once the last frame has been shown, too."""
        with self._changed:
            return self._is_read and not (self._to_explain or self._in_flight or self._to_show)

    def read(self) -> None:
        """Open the source, read it to its end and close it: the work of the reader's thread. Raises InputError."""
        try:
            with suppress(GivenUp), self.source.opened() as source:
                self._set_open(source)
                # Closed at once, so that the source ends its last gap.
                with closing(source.frames(lambda packet: None)) as frames:  # type: ignore[type-var]
                    coming = frames if source.is_live else looked_at(frames, self._look_at)
                    source.idle(self._begun, self._look_at)
                    for frame in coming:
                        self.put(dataclasses.replace(frame, orientation=self._orientation(frame)))
        finally:
            with self._changed:
                self._end_clips()
                self._is_read = True
                self._changed.notify_all()

    def put(self, frame: Frame) -> None:
        """Take the next frame from the source; waits for room if it is a file's frame. Raises GivenUp."""
        with self._changed:
            if not self.source.is_live:
                self._changed.wait_for(lambda: self._is_stopped or self._has_room())
            if self._is_stopped:
                raise GivenUp
            self.ledger.begin()
            self.ledger.read += 1
            self.ledger.count_dropped_before(self.source.dropped)
            if frame.is_damaged and self._skips_damaged:
                self._drop("damaged")
                return
            self._add_to_clips(frame)
            if self._stands_still and self.source.is_live:
                self._drop("pause")
                self._drop_waiting()
                return
            self._to_explain.append(frame)
            self._drop_waiting()
            # A step shows a frame with its own map, and so do those before the first clip.
            if self.shows_every and not self.is_paused and (self._window is None or self._newest is not None):
                for waiting in filter(self._is_unsent, self._to_explain):
                    self._send(waiting)
            self._changed.notify_all()

    def pause(self, is_paused: bool) -> None:
        """Pause or resume. While paused, frames of a live source are dropped, and a file waits."""
        with self._changed:
            self._stand_still(is_paused or self.is_resting)
            self.is_paused, self._steps = is_paused, 0
            if is_paused and self.source.is_live:
                self._drop("pause", len(self._to_show))
                self._to_show.clear()
            self._changed.notify_all()

    def rest(self, is_resting: bool) -> None:
        """Rest while nobody watches: nothing is explained, frames of a live source are dropped, and a file waits."""
        with self._changed:
            self._stand_still(is_resting or self.is_paused)
            self.is_resting = is_resting
            self._changed.notify_all()

    def step(self) -> None:
        """Show one more frame, then pause."""
        with self._changed:
            self._stand_still(self.is_resting)
            self.is_paused, self._steps = True, self._steps + 1
            self._changed.notify_all()

    def take_to_explain(self) -> Frame:
        """Return the frame that waits to be explained; there must be one."""
        with self._changed:
            (frame,) = self._taken(self._to_explain[-1].index)
            return frame

    def take_clips(self, window: ClipWindow) -> None:
        """Have clips of frames explained from now on."""
        with self._changed:
            self._window = window

    def take_clip(self) -> tuple[Clip, list[Frame]] | None:
        """Return the clip that is to be explained, and the frames that wait for it; None if it was given up."""
        with self._changed:
            if self._window is None or not self._has_due:
                return None
            clip = self._window.take()
            self.ledger.clips += 1
            return clip, self._taken(clip[-1].frame_index)

    def put_explained(self, *explained: Explained) -> None:
        """Accept the explanations of the frames that were last taken to explain."""
        with self._changed:
            self.ledger.explained += len(explained)
            self._newest = explained[-1]
            awaited = [each for each in explained if each.frame.index in self._awaited]
            if self._window is not None and self.source.is_live and awaited:
                self._set_delay(awaited[0].frame)
            for each in awaited:
                if self._is_unsent(each.frame):
                    self._send(each.frame, each)
                else:
                    self._drop("explain")
            self._in_flight = False
            self._awaited.clear()
            self._changed.notify_all()

    def revise(self, shown: Shown, explained: Explained) -> None:
        """Replace the explanation of what is on the screen; does nothing if something else is shown by now."""
        with self._changed:
            if self.on_screen is shown:
                self._newest = explained
                self.on_screen = Shown(shown.frame, explained)
                self._is_revised = True
                self._changed.notify_all()

    def take_to_show(self) -> Shown | None:
        """Return the frame that waits to be shown, with the newest explanation; None if there is no such frame."""
        with self._changed:
            if not self.waits_for_screen:
                return None
            frame, own = self._to_show.popleft()
            self._changed.notify_all()
            explained = own or self._newest
            if explained is None:
                self._drop("explain")
                return None
            self._steps = max(self._steps - 1, 0)
            self.on_screen = Shown(frame, explained)
            return self.on_screen

    def since_seconds(self, frame: Frame) -> float:
        """Return from when on the latency of a frame counts: since it was captured, or since it last stood still."""
        return max(frame.captured_seconds, self._went_on_seconds)

    def take_revised(self) -> bool:
        """Return True if the frame on the screen got a new explanation since the last call."""
        with self._changed:
            is_revised, self._is_revised = self._is_revised, False
            return is_revised

    def begin(self) -> None:
        """Let the frames come."""
        self._begun.set()

    def stop(self) -> None:
        """Make the reader end, even while it waits."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
            self.source.stop()
        self._begun.set()

    def close(self) -> None:
        """Complete the ledger once every thread of the run has ended."""
        self.ledger.count_dropped_before(self.source.dropped)
        to_explain = sum(map(self._is_unsent, self._to_explain))
        self.ledger.unreadable, self.ledger.damaged = self.source.unreadable, self.source.damaged
        self.ledger.gaps = self.source.signal.gaps
        self.ledger.end(on_their_way=to_explain + len(self._awaited) + len(self._to_show))

    def count_dropped(self) -> None:
        """Count what was dropped before it could be read, once frames count."""
        with self._changed:
            if self.has_begun:
                self.ledger.count_dropped_before(self.source.dropped)

    def _set_open(self, source: Source) -> None:
        with self._changed:
            if self._is_stopped:
                raise GivenUp
            self.source, self.ledger.source, self._is_open = source, source.name, True

    def _look_at(self, frame: Frame) -> None:
        self.preview = frame

    @property
    def _stands_still(self) -> bool:
        return self.is_resting or (self.is_paused and not self._steps)

    def _stand_still(self, stands_still: bool) -> None:
        if self._stands_still and not stands_still:
            self._went_on_seconds = time.perf_counter()

    def _has_room(self) -> bool:
        """True if another frame of a file can come in without any being dropped."""
        is_screen_free = not self._to_show and not self._awaited
        return not self._has_due and (is_screen_free or not self.shows_every)

    @property
    def _has_due(self) -> bool:
        """True if a frame waits to be explained, or frames of a clip that is due."""
        if self._window is None:
            return bool(self._to_explain)
        return bool(self._to_explain) and self._window.is_due and self._to_explain[0].index <= self._window.last_index

    def _add_to_clips(self, frame: Frame) -> None:
        """Take a frame into the next clip, which begins anew if the frame does not follow the one before."""
        if self._window is None or self.is_resting:
            self._followed = ()
            return
        followed = frame.orientation, len(self.source.signal.gaps)
        if followed != self._followed:
            self._window.clear()
        self._followed = followed
        self._window.add(frame)

    def _set_delay(self, frame: Frame) -> None:
        """Show this frame of a clip now, or a little later so as to catch up smoothly; drop those that are too late."""
        now = time.perf_counter()
        caught_up = self._delay_seconds - _CATCH_UP * (now - self._delayed_seconds)
        self._delay_seconds, self._delayed_seconds = max(now - frame.captured_seconds, caught_up), now
        while self._to_show and self.seconds_to_next < -_MOST_LATE_SECONDS:
            self._to_show.popleft()
            self._drop("show")

    def _drop_waiting(self) -> None:
        """Drop the oldest frames that wait to be explained, but for those that the next clip has."""
        while self._to_explain and self._waits_in_vain(self._to_explain[0]):
            if self._is_unsent(self._to_explain.popleft()):
                self._drop("explain")

    def _waits_in_vain(self, frame: Frame) -> bool:
        if self._window is None:
            return len(self._to_explain) > 1
        if frame.index < self._window.first_index:
            return True
        size = 3 * frame.picture.width * frame.picture.height
        return self.source.is_live and size * len(self._to_explain) > _MOST_WAITING_BYTES

    def _taken(self, last_index: int) -> list[Frame]:
        """Take the frames up to an index from those that wait to be explained."""
        frames = []
        while self._to_explain and self._to_explain[0].index <= last_index:
            frames.append(self._to_explain.popleft())
        self._in_flight = True
        self._awaited = {frame.index for frame in frames if self._is_unsent(frame)}
        self._changed.notify_all()
        return frames

    def _end_clips(self) -> None:
        """Let the last frames be a clip; those that no clip has are dropped."""
        if self._window is None or self._is_stopped:
            return
        self._window.end()
        if not self._has_due:
            self._drop("end", sum(map(self._is_unsent, self._to_explain)))
            if self._newest is None:
                log.warning(self._window.shortage(self.ledger.read))
            self._to_explain.clear()

    def _is_unsent(self, frame: Frame) -> bool:
        return frame.index > self._last_sent

    def _send(self, frame: Frame, own: Explained | None = None) -> None:
        """Let a frame wait for the screen, with its own explanation if it has one."""
        self._last_sent = frame.index
        if self._stands_still and self.source.is_live:
            self._drop("pause")
            return
        while self.source.is_live and self._to_show and not _is_of_clip(self._to_show[-1][1]):
            self._to_show.pop()
            self._drop("show")
        self._to_show.append((frame, own))

    def _drop(self, step: str, count: int = 1) -> None:
        if count:
            self.ledger.dropped[step] += count

    def _orientation(self, frame: Frame) -> Orientation:
        return frame.orientation.mirrored() if self.is_mirrored else frame.orientation


def _is_of_clip(own: Explained | None) -> bool:
    return own is not None and own.clip is not None

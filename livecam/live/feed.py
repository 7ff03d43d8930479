"""One source of a live run, and where its frames wait on their way: one place before each step, the newest wins."""

from __future__ import annotations

import dataclasses
import threading
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from livecam.explain.motion import MotionFinder
from livecam.explanation import Explanation
from livecam.live.ledger import FeedLedger
from livecam.picture.frame import Frame
from livecam.picture.media import Orientation
from livecam.picture.transfer import DevicePlanes
from livecam.run.workers import GivenUp
from livecam.sources import Source


@dataclass(frozen=True, slots=True)
class Shown:
    """A frame for the screen, and why the model said what it said of `explained`: this frame, or an earlier one.

    `facts` tell how it was explained, as in `Explainer.report`; `uploaded` are the planes of `explained` where they are
    on a GPU.
    """

    frame: Frame
    explained: Frame
    explanation: Explanation
    facts: dict[str, Any]
    uploaded: DevicePlanes | None = None


class Feed:
    """Hands the frames of a source from its reader to the explainer, and from there to the screen.

    Of a live source the newest frame takes the place of one that waits, which is counted; a file is read no faster than
    it is shown. While it `shows_every` frame, all go to the screen at once, and the newest to the explainer as well.
    The screen gets frames in their order: one that was explained too late for it is dropped.

    Every feed of a run shares the condition `changed`; the methods may be called by any thread.
    """

    def __init__(self, source: Source, changed: threading.Condition) -> None:
        self.source = source
        self.ledger = FeedLedger(source.name)
        self.finder = MotionFinder()
        self.is_mirrored = False
        self.shows_every = False
        self.on_screen: Shown | None = None
        self._changed = changed
        self._is_paused = False
        self._to_explain: Frame | None = None
        self._in_flight: Frame | None = None  # at the explainer
        self._is_in_flight_unsent = False
        self._to_show: Frame | None = None
        self._last_sent = -1  # the index of the last frame that went to the screen
        self._newest: tuple[Frame, Explanation, dict[str, Any], DevicePlanes | None] | None = None
        self._is_revised = False
        self._is_read, self._is_given_up = False, False

    @property
    def waits_for_explainer(self) -> bool:
        """Whether a frame does; one of a file only when there is room for it on the screen."""
        if self._to_explain is None:
            return False
        return self.source.is_live or self._to_show is None or not self._is_unsent(self._to_explain)

    @property
    def waits_for_screen(self) -> bool:
        """Whether a frame does, and can be shown: one of a file waits for the first explanation."""
        return self._to_show is not None and (self.source.is_live or self._newest is not None)

    @property
    def is_revised(self) -> bool:
        """Whether the frame on the screen has another explanation."""
        return self._is_revised

    @property
    def is_read(self) -> bool:
        """Whether no more frames will come."""
        return self._is_read

    @property
    def is_done(self) -> bool:
        """Whether all frames have been shown, too."""
        with self._changed:
            return self._is_read and self._to_explain is self._in_flight is self._to_show is None

    def read(self) -> None:
        """Read the source to its end: what the reader's thread does."""
        try:
            # Closed at once, so that the source knows its last gap to be over.
            with closing(self.source.frames(lambda packet: None)) as frames:  # type: ignore[type-var]
                for frame in frames:
                    self._capture(dataclasses.replace(frame, orientation=self._orientation(frame)))
        finally:
            with self._changed:
                self._is_read = True
                self._changed.notify_all()

    def pause(self, is_paused: bool) -> None:
        """Take nothing more from a live source while the picture stands still; a file waits by itself."""
        with self._changed:
            if is_paused and not self._is_paused and self.source.is_live and self._to_show is not None:
                self._drop("pause")
                self._to_show = None
            self._is_paused = is_paused

    def take(self) -> Frame:
        """The frame that waits for the explainer; only one thread takes them."""
        with self._changed:
            assert self._to_explain is not None
            frame, self._to_explain = self._to_explain, None
            self._in_flight, self._is_in_flight_unsent = frame, self._is_unsent(frame)
            self._changed.notify_all()
            return frame

    def explained(
        self, frame: Frame, explanation: Explanation, facts: dict[str, Any], uploaded: DevicePlanes | None = None
    ) -> None:
        """Hand on the explanation of the frame that was taken last; the rest is as in `Shown`."""
        with self._changed:
            self.ledger.explained += 1
            self._newest = frame, explanation, facts, uploaded
            if self._is_in_flight_unsent:
                if self._is_unsent(frame):
                    self._send(frame)
                else:
                    self._drop("explain")
            self._in_flight, self._is_in_flight_unsent = None, False
            self._changed.notify_all()

    def explained_again(
        self, frame: Frame, explanation: Explanation, facts: dict[str, Any], uploaded: DevicePlanes | None = None
    ) -> None:
        """Hand on another explanation of a frame that stands still on the screen, if it does so yet."""
        with self._changed:
            if self.on_screen is not None and self.on_screen.frame is frame:
                self._newest = frame, explanation, facts, uploaded
                self.on_screen = Shown(frame, *self._newest)
                self._is_revised = True
                self._changed.notify_all()

    def take_shown(self) -> Shown | None:
        """The frame that waits for the screen, and the newest explanation there is; None without either."""
        with self._changed:
            if not self.waits_for_screen:
                return None
            frame, self._to_show = self._to_show, None
            self._changed.notify_all()
            assert frame is not None
            if self._newest is None:
                self._drop("explain")
                return None
            self.on_screen = Shown(frame, *self._newest)
            return self.on_screen

    def take_revised(self) -> bool:
        """Whether the frame on the screen has another explanation since the last call."""
        with self._changed:
            is_revised, self._is_revised = self._is_revised, False
            return is_revised

    def give_up(self) -> None:
        """Whoever waits is told that there is no need to."""
        with self._changed:
            self._is_given_up = True
            self._changed.notify_all()
        self.source.stop()

    def close(self) -> None:
        """The run is over, and every thread of it."""
        to_explain = self._to_explain is not None and self._is_unsent(self._to_explain)
        unsent = to_explain + self._is_in_flight_unsent + (self._to_show is not None)
        self.ledger.unreadable, self.ledger.damaged = self.source.unreadable, self.source.damaged
        self.ledger.gaps = self.source.signal.gaps
        self.ledger.close(unsent=unsent)

    def _capture(self, frame: Frame) -> None:
        with self._changed:
            if not self.source.is_live:
                self._changed.wait_for(lambda: self._is_given_up or self._has_room())
            if self._is_given_up:
                raise GivenUp
            self.ledger.capture()
            if self._is_paused and self.source.is_live:
                self._drop("pause")
                return
            if self._to_explain is not None and self._is_unsent(self._to_explain):
                self._drop("explain")
            self._to_explain = frame
            if self.shows_every:
                self._send(frame)
            self._changed.notify_all()

    def _has_room(self) -> bool:
        """Whether another frame of a file can come in without any being passed over."""
        is_screen_free = self._to_show is None and not self._is_in_flight_unsent
        return self._to_explain is None and (is_screen_free or not self.shows_every)

    def _is_unsent(self, frame: Frame) -> bool:
        return frame.index > self._last_sent

    def _send(self, frame: Frame) -> None:
        """To the screen."""
        self._last_sent = frame.index
        if self._is_paused and self.source.is_live:
            self._drop("pause")
            return
        if self._to_show is not None:
            self._drop("show")
        self._to_show = frame

    def _drop(self, step: str) -> None:
        self.ledger.dropped[step] += 1

    def _orientation(self, frame: Frame) -> Orientation:
        return frame.orientation.mirrored() if self.is_mirrored else frame.orientation

"""One source of a live run, and where its frames wait on their way: one place before each step, the newest wins."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from livecam.frame import Explanation, Frame
from livecam.live.ledger import FeedLedger
from livecam.media import Orientation
from livecam.sources import Source
from livecam.stages import GivenUp


@dataclass(frozen=True, slots=True)
class Shown:
    """A frame for the screen, and why the model said what it said of `explained`: this frame, or an earlier one."""

    frame: Frame
    explained: Frame
    explanation: Explanation


class Feed:
    """Hands the frames of a source from its reader to the explainer, and from there to the screen.

    Of a live source the newest frame takes the place of one that waits, which is counted; a file is read no faster than
    it is shown. While it `shows_every` frame, all go to the screen at once, and the newest to the explainer as well.

    Every feed of a run shares the condition `changed`; the methods may be called by any thread.
    """

    def __init__(self, source: Source, changed: threading.Condition) -> None:
        self.source = source
        self.ledger = FeedLedger(source.name)
        self.is_paused = False
        self.is_mirrored = False
        self.shows_every = False
        self.on_screen: Shown | None = None
        self._is_revised = False
        self._changed = changed
        self._to_explain: tuple[Frame, bool] | None = None  # and whether it is to be shown once it is explained
        self._to_show: Frame | None = None
        self._newest: tuple[Frame, Explanation] | None = None  # explained
        self._is_read, self._is_given_up = False, False

    @property
    def waits_for_explainer(self) -> bool:
        """Whether a frame does."""
        return self._to_explain is not None

    @property
    def has_news(self) -> bool:
        """Whether something waits for the screen."""
        return self._to_show is not None or self._is_revised

    @property
    def is_read(self) -> bool:
        """Whether no more frames will come."""
        return self._is_read

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

    def take(self) -> Frame:
        """The frame that waits for the explainer; only one thread takes them."""
        with self._changed:
            assert self._to_explain is not None
            (frame, self._is_to_be_shown), self._to_explain = self._to_explain, None
            self._changed.notify_all()
            return frame

    def explained(self, frame: Frame, explanation: Explanation) -> None:
        """The explanation of the frame that was taken last. Raises GivenUp."""
        with self._changed:
            self.ledger.explained += 1
            if self._is_to_be_shown:
                self._put_to_show(frame)
            self._newest = frame, explanation
            self._changed.notify_all()

    def explained_again(self, explanation: Explanation) -> None:
        """Another explanation of the frame that is on the screen, while it stands still there."""
        with self._changed:
            if self.on_screen is not None:
                self.on_screen = Shown(self.on_screen.frame, self.on_screen.frame, explanation)
                self._newest = self.on_screen.frame, explanation
                self._is_revised = True
                self._changed.notify_all()

    def take_shown(self) -> Shown | None:
        """The frame that waits for the screen, and the newest explanation there is; None without either."""
        with self._changed:
            frame, self._to_show = self._to_show, None
            self._changed.notify_all()
            if frame is None:
                return None
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
        self.ledger.unreadable, self.ledger.damaged = self.source.unreadable, self.source.damaged
        self.ledger.gaps = self.source.signal.gaps
        self.ledger.close()

    def _capture(self, frame: Frame) -> None:
        with self._changed:
            if self._is_given_up:
                raise GivenUp
            self.ledger.capture()
            if self.is_paused and self.source.is_live:
                self.ledger.dropped["pause"] += 1
                return
            if not self.source.is_live:
                self._wait_while(lambda: self.waits_for_explainer or (self.shows_every and self._to_show is not None))
            elif self._to_explain is not None and self._to_explain[1]:
                self._drop("explain")
            self._to_explain = frame, not self.shows_every
            if self.shows_every:
                self._put_to_show(frame)
            self._changed.notify_all()

    def _put_to_show(self, frame: Frame) -> None:
        if not self.source.is_live:
            self._wait_while(lambda: self._to_show is not None)
        elif self._to_show is not None:
            self._drop("show")
        self._to_show = frame

    def _drop(self, step: str) -> None:
        self.ledger.dropped[step] += 1

    def _wait_while(self, is_taken: Callable[[], bool]) -> None:
        self._changed.wait_for(lambda: self._is_given_up or not is_taken())
        if self._is_given_up:
            raise GivenUp

    def _orientation(self, frame: Frame) -> Orientation:
        return frame.orientation.mirrored() if self.is_mirrored else frame.orientation

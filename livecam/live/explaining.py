"""What the explainer's thread of a live run does: the newest frame of every source, together, as the keys ask it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence

from livecam.errors import LivecamError
from livecam.explain.explainer import Explainer
from livecam.explain.steady import Steadiness
from livecam.frame import Explanation, Frame
from livecam.live.controls import Controls
from livecam.live.feed import Feed

_GATHER_SECONDS = 0.01
"""How long a frame waits for those of the other sources, to be explained together with them."""

_SETTLING_SECONDS = 5.0
"""How long a method has to stay before it is compiled: who is looking through all of them needs none of it."""


class Explaining:
    """Explains what waits in the feeds, which share the condition `changed`, until all are read or the run is over."""

    def __init__(
        self,
        feeds: Sequence[Feed],
        changed: threading.Condition,
        explainer: Explainer,
        controls: Controls,
        *,
        is_steady: bool,
    ) -> None:
        self.is_over = False
        self._feeds = feeds
        self._changed = changed
        self._explainer = explainer
        self._controls = controls
        self._is_steady = is_steady
        self._settled_seconds = math.inf
        self._begin_anew()

    def run(self) -> None:
        """Until nothing more will come."""
        try:
            while self._waited_for_work():
                self._follow_controls()
                if waiting := [feed for feed in self._feeds if feed.waits_for_explainer]:
                    self._explain(waiting)
        finally:
            with self._changed:
                self.is_over = True
                self._changed.notify_all()

    def _waited_for_work(self) -> bool:
        """Wait for a frame or another question; False where there will be none."""
        with self._changed:
            self._changed.wait_for(self._has_news)
            if self._controls.is_over or not (self._has_work() or self._is_asked):
                return False
            self._changed.wait_for(
                lambda: all(f.waits_for_explainer or f.is_read for f in self._feeds), _GATHER_SECONDS
            )
            return True

    def _has_news(self) -> bool:
        is_read = all(feed.is_read for feed in self._feeds)
        return self._has_work() or self._is_asked or self._controls.is_over or is_read

    @property
    def _is_asked(self) -> bool:
        return self._controls.question != self._controls.answered

    def _has_work(self) -> bool:
        return any(feed.waits_for_explainer for feed in self._feeds)

    def _follow_controls(self) -> None:
        now = time.monotonic()
        if self._is_asked:
            self._change()
            self._settled_seconds = now + _SETTLING_SECONDS
        elif now >= self._settled_seconds:
            self._settled_seconds = math.inf
            self._prepare()

    def _prepare(self) -> None:
        """Have the explainer compile what it goes on with; meanwhile the picture goes on by itself."""
        self._controls.is_preparing = True
        self._explainer.expect(math.inf, batch=len(self._feeds))
        self._controls.is_preparing = False

    def _change(self) -> None:
        """Answer the question from here on; where it does not fit say so, and stay with the one before."""
        question, before = self._controls.question, self._controls.answered
        self._controls.tell("")
        try:
            self._explainer.change(question.method, question.layer, question.target)
            self._begin_anew()
            self._controls.answered = question
            self._explain_again()
        except LivecamError as exc:
            self._controls.tell(str(exc))
            self._controls.question = before
        with self._changed:
            self._changed.notify_all()

    def _explain(self, feeds: Sequence[Feed]) -> None:
        frames = [feed.take() for feed in feeds]
        begin = time.perf_counter()
        explanations = self._explainer.explain(frames)
        seconds = time.perf_counter() - begin
        for feed, frame, explanation in zip(feeds, frames, explanations, strict=True):
            feed.ledger.stages["explain"].add(seconds)
            feed.explained(frame, self._steadied(feed, frame, explanation))

    def _begin_anew(self) -> None:
        """Forget the scale and the maps of before: every question has its own."""
        options = self._explainer.heat_options
        self._steadiness = {feed: Steadiness(options) for feed in self._feeds} if self._is_steady else {}

    def _steadied(self, feed: Feed, frame: Frame, explanation: Explanation) -> Explanation:
        return self._steadiness[feed](frame, explanation) if self._is_steady else explanation

    def _explain_again(self) -> None:
        """What stands still on the screen."""
        for feed in self._feeds:
            if self._controls.is_paused and feed.on_screen is not None:
                (again,) = self._explainer.explain([feed.on_screen.frame])
                feed.explained_again(again)

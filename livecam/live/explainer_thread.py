"""What the explainer's thread of a live run does: the newest frame of every source, together, as the keys ask it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence

from livecam.errors import LivecamError
from livecam.explain.explainer import Explainer
from livecam.explain.heat import Steadiness
from livecam.explanation import Explanation
from livecam.live.controls import Controls
from livecam.live.feed import Feed
from livecam.picture.frame import Frame
from livecam.picture.transfer import DevicePlanes, transfer_to, uploaded

_GATHER_SECONDS = 0.01
"""How long a frame waits for those of the other sources, to be explained together with them."""

_SETTLING_SECONDS = 5.0
"""How long a method has to stay before it is compiled: who is looking through all of them needs none of it."""


class ExplainerThread:
    """Explains what waits in the feeds, which share the condition `changed`, until the run is over."""

    def __init__(
        self,
        feeds: Sequence[Feed],
        changed: threading.Condition,
        explainer: Explainer,
        controls: Controls,
        *,
        is_steady: bool,
    ) -> None:
        self._feeds = feeds
        self._changed = changed
        self._explainer = explainer
        self._transfer = transfer_to(explainer.device)
        self._controls = controls
        self._is_steady = is_steady
        self._settled_seconds = math.inf
        self._begin_anew()

    def run(self) -> None:
        """Until the controls say so: a picture that stands still at the end of a file is explained as well."""
        while self._waited_for_work():
            self._follow_controls()
            if waiting := [feed for feed in self._feeds if feed.waits_for_explainer]:
                self._explain(waiting)

    def _waited_for_work(self) -> bool:
        """Wait for a frame or another question; False when the run is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._controls.is_over or self._controls.is_asked or self._has_work())
            self._changed.wait_for(
                lambda: all(feed.waits_for_explainer or feed.is_read for feed in self._feeds), _GATHER_SECONDS
            )
            return not self._controls.is_over

    def _has_work(self) -> bool:
        return any(feed.waits_for_explainer for feed in self._feeds)

    def _follow_controls(self) -> None:
        now = time.monotonic()
        if self._controls.is_asked:
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
        question = self._controls.question
        try:
            self._explainer.change(question.method, question.layer, question.target)
            self._controls.answered = question
            self._begin_anew()
            self._explain_again()
        except LivecamError as exc:
            self._controls.refuse(question, str(exc))
        with self._changed:
            self._changed.notify_all()

    def _explain(self, feeds: Sequence[Feed]) -> None:
        frames = [feed.take() for feed in feeds]
        begin = time.perf_counter()
        explanations, sent = self._explanations(frames)
        seconds = time.perf_counter() - begin
        facts = self._explainer.report()
        for feed, frame, explanation, there in zip(feeds, frames, explanations, sent, strict=True):
            feed.ledger.stages["explain"].add(seconds)
            feed.explained(frame, self._steadied(feed, frame, explanation), facts, there)

    def _explanations(self, frames: Sequence[Frame]) -> tuple[list[Explanation], list[DevicePlanes | None]]:
        """Explain frames; on a GPU by their planes there, which are then drawn on as well."""
        sent = [uploaded(frame.picture, self._transfer) for frame in frames]
        return self._explainer.explain(frames, uploaded=sent, heat=not self._is_steady), sent

    def _explain_again(self) -> None:
        """What stands still on the screen."""
        for feed in self._feeds:
            shown = feed.on_screen
            if self._controls.is_paused and shown is not None:
                (again,), (there,) = self._explanations([shown.frame])
                steady = self._steadied(feed, shown.frame, again)
                feed.explained_again(shown.frame, steady, self._explainer.report(), there)

    def _begin_anew(self) -> None:
        """Forget the scale and the maps of before: every question has its own."""
        options = self._explainer.heat_options
        self._steadiness = {feed: Steadiness(options, feed.finder) for feed in self._feeds}

    def _steadied(self, feed: Feed, frame: Frame, explanation: Explanation) -> Explanation:
        return self._steadiness[feed](frame, explanation) if self._is_steady else explanation

"""The live run: a reader for each source, one explainer for all, a recorder, and the window in the main thread."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from livecam.explain.explainer import Explainer
from livecam.explanation import Explanation
from livecam.live.controls import Controls, Question
from livecam.live.explainer_thread import ExplainerThread
from livecam.live.feed import Feed
from livecam.live.pane import Pane
from livecam.live.presenter import Presenter
from livecam.live.recorder import Recorder
from livecam.live.window import NoWindow, Window
from livecam.picture.frame import Frame
from livecam.render import Style
from livecam.run.workers import Workers
from livecam.sources import Source
from livecam.system.cores import drawing_threads

_TICK_SECONDS = 0.02
"""How often the window is asked for keys while no frame comes."""


class Session:
    """One live run. The main thread draws, shows and hears the keys; every other step has a thread of its own.

    Most parameters are as in `livecam.live.watch`; `recording_path` names the file of a source, by its number, when
    a recording begins, and `on_shown` is called with each frame of a source, by its number, that is on the screen.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        explainer: Explainer,
        window: Window | NoWindow,
        recorder: Recorder,
        *,
        style: Style,
        recording_path: Callable[[int], Path],
        is_recording: bool,
        shows_every: bool,
        is_steady: bool,
        max_age_seconds: float,
        duration_seconds: float | None,
        on_shown: Callable[[int, Frame, Explanation], None],
    ) -> None:
        self._changed = threading.Condition()
        self.feeds = [Feed(source, self._changed) for source in sources]
        self.controls = Controls(
            style,
            Question(explainer.method, explainer.wanted_layer),
            [layer.name for layer in explainer.survey.usable],
            shown_class=self._class_on_screen,
            is_recording=is_recording,
        )
        self._explainer = explainer
        self._recorder = recorder
        self._shows_every = shows_every
        self._duration_seconds = duration_seconds
        self._end_seconds: float | None = None
        self._handed_on: tuple[object, ...] = ()
        self._explaining = ExplainerThread(self.feeds, self._changed, explainer, self.controls, is_steady=is_steady)
        panes = [Pane(feed, self.controls, max_age_seconds) for feed in self.feeds]
        self._presenter = Presenter(
            panes, self.controls, window, recorder, recording_path=recording_path, on_shown=on_shown
        )
        readers = {f"reader-{number}": feed.read for number, feed in enumerate(self.feeds)}
        works = {**readers, "explain": self._explaining.run, "record": recorder.run}
        self.is_complete = False
        """Whether the run came to its end, by itself or because it was told to, with all that belongs to it."""
        self._workers = Workers(works, on_failure=self._give_up)

    def run(self) -> None:
        """Until the sources end, the window is closed, the time is over, or KeyboardInterrupt, which is raised again.

        A thread that fails ends the run, and its exception is raised. Recordings are completed unless theirs has; a
        second interrupt does not wait for them.
        """
        interrupt: KeyboardInterrupt | None = None
        with ExitStack() as stack:
            stack.callback(self._presenter.close)
            stack.enter_context(drawing_threads())
            stack.enter_context(self._explainer)
            self._explainer.expect(math.inf, batch=len(self.feeds))
            self._warm_up()
            while not self._workers.are_over:
                try:
                    self._follow()
                except KeyboardInterrupt as exc:
                    if interrupt is not None:
                        self._recorder.give_up()
                    interrupt = exc
                    self._give_up()
                except BaseException as exc:
                    self._workers.fail(exc)
                    self._recorder.give_up()
                    self._workers.wait(_TICK_SECONDS)
            self._workers.join()
        for feed in self.feeds:
            feed.close()
        self._recorder.abort()
        self.is_complete = self._workers.error is None
        if error := self._workers.error or interrupt:
            raise error

    def _warm_up(self) -> None:
        """What takes longer the first time is done before a frame has to wait for it: the window, the explainer."""
        self._presenter.refresh()
        media = self.feeds[0].source.media
        self._explainer.explain([np.zeros((media.height, media.width, 3), np.uint8)] * len(self.feeds))

    def _follow(self) -> None:
        """What the main thread does: draw, show and listen; at the end wait for the others."""
        self._hand_on_controls()
        self._workers.start()
        if self._duration_seconds is not None and self._end_seconds is None:
            self._end_seconds = time.perf_counter() + self._duration_seconds
        while not self._is_over():
            with self._changed:
                self._changed.wait_for(self._has_news, timeout=_TICK_SECONDS)
            self._presenter.present()
            self._hand_on_controls()
        self._give_up()
        self._presenter.close()
        self._recorder.close()
        while not self._workers.are_over:
            self._workers.wait(_TICK_SECONDS)

    def _has_news(self) -> bool:
        stands_still = self.controls.is_paused and not self.controls.steps
        return any(feed.is_revised or (feed.waits_for_screen and not stands_still) for feed in self.feeds)

    def _is_over(self) -> bool:
        is_late = self._end_seconds is not None and time.perf_counter() >= self._end_seconds
        is_all_shown = all(feed.is_done for feed in self.feeds) and not self.controls.is_paused
        return self.controls.is_over or is_late or is_all_shown

    def _hand_on_controls(self) -> None:
        stands_still = self.controls.is_paused and not self.controls.steps
        # While the explainer changes the picture goes on, with the last map carried along.
        shows_every = self._shows_every or self.controls.is_changing
        handed_on = (stands_still, shows_every, self.controls.is_mirrored, self.controls.question)
        if handed_on == self._handed_on:
            return
        self._handed_on = handed_on
        with self._changed:
            for feed in self.feeds:
                feed.pause(stands_still)
                feed.shows_every, feed.is_mirrored = shows_every, self.controls.is_mirrored
            self._changed.notify_all()

    def _give_up(self) -> None:
        """Let all threads come to their end."""
        self.controls.quit()
        for feed in self.feeds:
            feed.give_up()

    def _class_on_screen(self) -> int | None:
        """Of the first source."""
        shown = self.feeds[0].on_screen
        return shown.explanation.index if shown else None

"""A live run: an explainer and a recorder in threads of their own, and the screen in the main thread."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from livecam.explain.explainer import Explainer
from livecam.live.commands import Commands
from livecam.live.display import Display
from livecam.live.explainer_thread import ExplainerThread
from livecam.live.feeds import Feeds
from livecam.live.hud import Notice
from livecam.live.recorder import Recorder
from livecam.live.screen import OnShown, Screen
from livecam.render import Style
from livecam.run.workers import Workers
from livecam.system.cores import drawing_threads

_TICK_SECONDS = 0.02
"""The interval at which the display is polled for keys while no frame arrives."""


@dataclass(frozen=True, kw_only=True)
class SessionOptions:
    """Options of a live run for showing and recording; see `livecam.live.watch.watch`.

    `recordings` has a file for each source, which is recorded from its first picture on; if empty, recording starts
    when the user presses the key.
    """

    style: Style = Style()
    shows_every: bool = False
    max_age_seconds: float = 0.5
    is_steady: bool = True
    duration_seconds: float | None = None
    recordings: Sequence[Path] = ()
    overwrite: bool = False


class Session:
    """One live run. The main thread draws, shows and handles keys; every other step has a thread of its own.

    Args:
        feeds: Supply the frames; they have to be opened and read meanwhile.
        explainer: Explains all of them.
        display: Where they are shown.
        options: How they are shown and recorded.
        on_shown: Called by the main thread with each frame once it is on the screen.

    Attributes:
        ledgers: The account of each source.
        recorder: The recorder of the run.
        notice: The line for the user on the screen.
    """

    def __init__(
        self,
        feeds: Feeds,
        explainer: Explainer,
        display: Display,
        options: SessionOptions | None = None,
        *,
        on_shown: OnShown = lambda source, frame, explanation: None,
    ) -> None:
        options = options or SessionOptions()
        self._feeds = feeds
        self.ledgers = [feed.ledger for feed in feeds]
        self.notice = Notice()
        self.recorder = Recorder(
            options.recordings, overwrite=options.overwrite, goes_on=display.has_screen, tell=self.notice.tell
        )
        self._explainer = explainer
        self._explaining = ExplainerThread(
            feeds,
            feeds.changed,
            explainer,
            self.notice.tell,
            is_steady=options.is_steady,
            shows_every=options.shows_every,
        )
        self._display = display
        self._screen = Screen(
            feeds,
            display,
            self.recorder,
            self.notice,
            options.style,
            max_age_seconds=options.max_age_seconds,
            on_shown=on_shown,
        )
        self._commands = Commands(feeds, self._explaining, self._screen, self.recorder, quit_run=self._stop)
        self._duration_seconds = math.inf if options.duration_seconds is None else options.duration_seconds
        self._end_seconds = math.inf
        self._is_stopped = False
        works = {"explain": self._explaining.run, "record": self.recorder.run}
        self._workers = Workers(works, on_failure=self._stop)

    def run(self) -> None:
        """Run until the sources end, the display is closed, the user quits or the time is over.

        However the run ends, recordings are completed, unless the recorder's thread failed. A second KeyboardInterrupt
        abandons them.

        Raises:
            BaseException: What the first thread to fail raised; or KeyboardInterrupt, once everything is completed.
        """
        with ExitStack() as stack:
            stack.callback(self._display.close)
            stack.enter_context(drawing_threads())
            stack.enter_context(self._explainer)
            self._explainer.expect(math.inf, batch=len(self._feeds))
            self._warm_up()
            self._feeds.begin()
            try:
                self._workers.run(self._tick, stop=self._stop, give_up=self._give_up)
            finally:
                self._feeds.end()
                self.recorder.abort()
            self._feeds.raise_failure()
            self.recorder.raise_failure()

    def report(self) -> dict[str, Any]:
        """Return the accounts of sources and recordings as plain data for JSON."""
        return {
            "sources": [ledger.report() for ledger in self.ledgers],
            "recordings": self.recorder.report(),
        }

    def _warm_up(self) -> None:
        """Open the window and explain once before the first frame, since both take longer the first time."""
        self._screen.refresh()
        media = self._feeds[0].source.media
        self._explainer.explain([np.zeros((media.height, media.width, 3), np.uint8)] * len(self._feeds))

    def _tick(self) -> None:
        if not self._is_stopped:
            self._feeds.raise_failure()
        if self._end_seconds == math.inf and any(ledger.read for ledger in self.ledgers):
            self._end_seconds = time.perf_counter() + self._duration_seconds
        if self._is_over():
            self._stop()
            self.recorder.close()
            self._display.close()
            self._workers.wait(_TICK_SECONDS)
            return
        with self._feeds.changed:
            self._feeds.changed.wait_for(self._has_news, timeout=_TICK_SECONDS)
        for key in self._screen.present():
            self._commands.press(key)
        if self._display.is_closed:
            self._stop()

    def _has_news(self) -> bool:
        return any(feed.is_revised or feed.waits_for_screen for feed in self._feeds)

    def _is_over(self) -> bool:
        is_all_shown = all(feed.is_done and not feed.is_paused for feed in self._feeds)
        is_late = time.perf_counter() >= self._end_seconds
        return self._is_stopped or is_late or is_all_shown

    def _stop(self) -> None:
        """Make the readers and the explainer end, and with them the run. Thread-safe."""
        self._is_stopped = True
        self._explaining.stop()
        self._feeds.stop()

    def _give_up(self) -> None:
        """End without waiting for recordings to be completed."""
        self._stop()
        self.recorder.give_up()

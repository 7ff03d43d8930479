"""Live runs over doubles, whole or in part."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from livecam import Explanation
from livecam.ledger import Ledger
from livecam.live.commands import Commands
from livecam.live.explainer_thread import ExplainerThread
from livecam.live.feed import Explained, Feed
from livecam.live.feeds import Feeds
from livecam.live.hud import Notices
from livecam.live.pane import Pane
from livecam.live.recorder import Recorder
from livecam.live.screen import Screen
from livecam.live.session import Session, SessionOptions
from livecam.picture.frame import Frame
from livecam.render import Style
from livecam.sources import Source
from tests.support.doubles import FakeDisplay, NumberReader

FACTS = {**NumberReader().report(), "layer_title": NumberReader.layer_title}
_LONGEST_SECONDS = 20.0


class LiveRun:
    """A session over sources, on a display that presses keys, and what it showed: (source, frame, explanation).

    `keys` are pressed while the next frame after so many is drawn; otherwise the next one could be drawn or not.
    """

    def __init__(
        self, *sources: Source, explainer: Any = None, keys: dict[int, str] | None = None, **options: Any
    ) -> None:
        self.display = FakeDisplay(keys, is_ready=self._draws)
        self.shown: list[tuple[int, Frame, Explanation]] = []
        settings = SessionOptions(**{"is_steady": False, "duration_seconds": _LONGEST_SECONDS} | options)
        self._feeds = Feeds(sources)
        reader = explainer or NumberReader()
        self.session = Session(self._feeds, lambda: reader, self.display, settings, on_shown=self._add)

    def _add(self, source: int, frame: Frame, explanation: Explanation) -> None:
        self.shown.append((source, frame, explanation))
        self.display.frames += 1

    def _draws(self) -> bool:
        """Return True if there is a frame on the screen that does not count as shown yet."""
        last = self.shown[-1][1] if self.shown else None
        return any(feed.on_screen is not None and feed.on_screen.frame is not last for feed in self._feeds)

    def __call__(self) -> LiveRun:
        with self._feeds:
            self.session.run()
        return self

    @property
    def ledger(self) -> Ledger:
        """The account of the first source."""
        return self.session.ledgers[0]

    @property
    def indices(self) -> list[int]:
        """The indices of the frames shown."""
        return [frame.index for _, frame, _ in self.shown]


class Parts:
    """The parts of a session over sources, put together but for the threads."""

    def __init__(self, *sources: Source, reader: NumberReader | None = None, **options: Any) -> None:
        changed = threading.Condition()
        self.feeds = [Feed(source, changed) for source in sources]
        self.reader = reader or NumberReader()
        self.notices, self.display = Notices(), FakeDisplay()
        self.recorder = Recorder([], overwrite=False, goes_on=True, tell=self.notices.tell)
        self.explaining = ExplainerThread(
            self.feeds,
            changed,
            self.reader,  # type: ignore[arg-type]
            self.notices.tell,
            **{"is_steady": False, "shows_every": False} | options,
        )
        self.screen = Screen(
            self.feeds,
            self.display,
            self.recorder,
            self.notices,
            Style(),
            max_age_seconds=0.5,
            model_name="tiny",
            on_shown=lambda source, frame, explanation: None,
        )
        self.quits = 0
        self.commands = Commands(self.feeds, self.explaining, self.screen, self.recorder, quit_run=self._quit)

    def _quit(self) -> None:
        self.quits += 1

    def press(self, keys: str) -> None:
        for key in keys:
            self.commands.press(key)

    @contextmanager
    def explaining_thread(self) -> Iterator[None]:
        """Let the explainer's thread work inside the block."""
        thread = threading.Thread(target=self.explaining.run)
        thread.start()
        try:
            yield
        finally:
            self.explaining.stop()
            thread.join()


def explained(frame: Frame, explanation: Explanation) -> Explained:
    return Explained(frame, explanation, FACTS)


def wait_until(is_so: Callable[[], object]) -> None:
    """Wait until something is so, or fail."""
    deadline = time.monotonic() + _LONGEST_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def on_screen(
    pane: Pane, *notices: str, shows_figures: bool = False, size: tuple[int, int] | None = None
) -> np.ndarray:
    """Return a pane in a window of this (width, height), by default its usual size."""
    width, height = size or pane.usual_size
    bgr = np.zeros((height, width, 3), np.uint8)
    pane.on_screen(bgr, notices, shows_figures=shows_figures)
    return bgr

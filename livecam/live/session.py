"""A live run: an explainer and a recorder in threads of their own, and the screen in the main thread."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from livecam.errors import LivecamError, in_one_line
from livecam.live.commands import QUIT_KEYS, Commands
from livecam.live.display import Display
from livecam.live.feeds import Feeds
from livecam.live.hud import Notices
from livecam.live.recorder import Recorder
from livecam.live.screen import OnShown, Screen
from livecam.live.state import state_of
from livecam.render import Style
from livecam.run.workers import GivenUp, Workers
from livecam.system.background import in_background
from livecam.system.cores import drawing_threads

if TYPE_CHECKING:  # it imports torch, which takes seconds: the window opens before
    from livecam.explain.explainer import Explainer
    from livecam.live.explainer_thread import ExplainerThread

log = logging.getLogger("livecam")

Result = TypeVar("Result")

_TICK_SECONDS = 0.02
"""The interval at which the display is polled for keys while no frame arrives."""
_UNNOTICED_SECONDS = 0.2
"""How long the window waits for the sources to open, so that it usually opens in their size."""
_LOOK_SECONDS = 0.5
"""The interval at which the display is asked if it is hidden."""
_ENDING_SECONDS = 2.0
"""If ending takes longer, it is told what is waited for."""

_ENDS_ONCE = {"explain": "the model has finished its pass", "record": "the recording is complete"}
"""What is waited for, by the name of the thread."""


@dataclass(frozen=True, kw_only=True)
class SessionOptions:
    """Options of a live run for showing and recording; see `livecam.live.watch.watch`.

    `recordings` has a file or stream for each source, which is recorded from its first picture on; if empty, recording
    starts when the user presses the key. With `works_hidden`, frames are also explained while nobody sees the window.
    """

    style: Style = Style()
    shows_every: bool = False
    max_age_seconds: float = 0.5
    is_steady: bool = True
    stride: int | None = None
    works_hidden: bool = False
    duration_seconds: float | None = None
    recordings: Sequence[str | Path] = ()
    overwrite: bool = False


class Session:
    """One live run. The main thread draws, shows and handles keys; every other step has a thread of its own.

    Args:
        feeds: Supply the frames; they have to be opened and read meanwhile.
        load: Returns the explainer of all of them. It is called by another thread once sources are open.
        display: Where they are shown.
        options: How they are shown and recorded.
        model_name: The name of the model, for the window.
        on_shown: Called by the main thread with each frame once it is on the screen.

    Attributes:
        ledgers: The account of each source.
        recorder: The recorder of the run.
        notices: The lines for the user on the screen.
        explainer: The explainer, once it is loaded.
    """

    def __init__(
        self,
        feeds: Feeds,
        load: Callable[[], Explainer],
        display: Display,
        options: SessionOptions | None = None,
        *,
        model_name: str = "the model",
        on_shown: OnShown = lambda source, frame, explanation: None,
    ) -> None:
        options = options or SessionOptions()
        self._feeds = feeds
        self.ledgers = [feed.ledger for feed in feeds]
        self.notices = Notices(display.tell)
        self.recorder = Recorder(
            options.recordings, overwrite=options.overwrite, goes_on=display.has_screen, tell=self.notices.tell
        )
        self.explainer: Explainer | None = None
        self._load = load
        self._model_name = model_name
        self._options = options
        self._display = display
        self._screen = Screen(
            feeds,
            display,
            self.recorder,
            self.notices,
            options.style,
            max_age_seconds=options.max_age_seconds,
            model_name=model_name,
            on_shown=on_shown,
        )
        self._explaining: ExplainerThread | None = None
        self._duration_seconds = math.inf if options.duration_seconds is None else options.duration_seconds
        self._end_seconds = math.inf
        self._looked_seconds = -math.inf
        self._tells_ending_seconds: float | None = None
        self._is_stopped = False

    def run(self) -> None:
        """Run until the sources end, the display is closed, the user quits or the time is over.

        However the run ends, recordings are completed, unless the recorder's thread failed. A second KeyboardInterrupt
        abandons them.

        Raises:
            BaseException: What the first thread to fail raised; or KeyboardInterrupt, once everything is completed.
        """
        with suppress(GivenUp), ExitStack() as stack:
            stack.push(lambda kind, error, trace: self._display.close(_reason_of(error)))
            stack.enter_context(drawing_threads())
            opening = in_background(self._feeds.wait_until_open, "opening")
            wait([opening], _UNNOTICED_SECONDS)
            self._show_early()  # before the import of torch takes the processor
            self._show_until_done(opening)
            self.explainer = stack.enter_context(self._show_until_done(in_background(self._load, "loading")))
            self.explainer.expect(math.inf, batch=len(self._feeds))
            self._set_up(self.explainer)
            try:
                self._workers.run(self._tick, stop=self._stop, give_up=self._give_up)
            finally:
                self._feeds.end()
                self.recorder.abort()
            self._feeds.raise_failure()
            self.recorder.raise_failure()

    def explainer_report(self) -> dict[str, Any]:
        """Return the report of the explainer as plain data for JSON; empty before it is loaded."""
        return self.explainer.report() if self.explainer is not None else {}

    def report(self) -> dict[str, Any]:
        """Return the accounts of sources and recordings as plain data for JSON."""
        return {
            "sources": [ledger.report() for ledger in self.ledgers],
            "recordings": self.recorder.report(),
        }

    def _show_until_done(self, work: Future[Result]) -> Result:
        """Show in the window what is waited for, and return the result. Raises GivenUp if the user quits."""
        while not work.done():
            self._show_early()
            wait([work], _TICK_SECONDS)
        return work.result()

    def _show_early(self) -> None:
        """Show in the window what is waited for, also as the answer to keys. Raises GivenUp if the user quits."""
        for request in self._screen.present():
            if request in QUIT_KEYS:
                raise GivenUp
            self._screen.answer(f"not yet: {self._screen.panes[0].waits_for}")
        self._display.update(self._state)
        if self._display.is_closed:
            raise GivenUp

    def _set_up(self, explainer: Explainer) -> None:
        from livecam.live.explainer_thread import ExplainerThread

        self._explaining = ExplainerThread(
            self._feeds,
            self._feeds.changed,
            explainer,
            self.notices.tell,
            is_steady=self._options.is_steady,
            shows_every=self._options.shows_every,
            stride=self._options.stride,
        )
        self._commands = Commands(self._feeds, self._explaining, self._screen, self.recorder, quit_run=self._stop)
        works = {"explain": self._explaining.run, "record": self.recorder.run}
        self._workers = Workers(works, on_failure=self._stop)

    def _tick(self) -> None:
        if not self._is_stopped:
            self._feeds.raise_failure()
        if self._end_seconds == math.inf and any(ledger.read for ledger in self.ledgers):
            self._end_seconds = time.perf_counter() + self._duration_seconds
        if self._is_over():
            self._end()
            return
        self._rest_while_hidden()
        with self._feeds.changed:
            seconds = max(min(feed.seconds_to_next for feed in self._feeds), 0)
            self._feeds.changed.wait_for(self._has_news, timeout=min(seconds, _TICK_SECONDS) or _TICK_SECONDS)
        self.notices.progress = self._explaining.progress if self._explaining else ""
        for request in self._screen.present():
            self._commands.execute(request)
        self._display.update(self._state)
        if self._display.is_closed:
            self._stop()

    def _state(self) -> dict[str, Any]:
        settings = self._commands.settings if self._explaining else None
        return state_of(self._screen.panes, self._model_name, settings, self._explaining)

    def _end(self) -> None:
        """Close everything, and wait a little for the threads."""
        reason = self._reason
        self._stop()
        self.recorder.close()
        self._display.close(reason)
        self._workers.wait(_TICK_SECONDS)
        now = time.perf_counter()
        self._tells_ending_seconds = self._tells_ending_seconds or now + _ENDING_SECONDS
        if now > self._tells_ending_seconds and self._workers.ongoing:
            self._tells_ending_seconds = math.inf
            log.warning("livecam ends once %s", " and ".join(_ENDS_ONCE[name] for name in self._workers.ongoing))

    @property
    def _reason(self) -> str:
        """Why the run ends."""
        if self._is_stopped:
            return _reason_of(self._workers.failure)
        return "its time is over" if self._is_late else "its sources have ended"

    def _rest_while_hidden(self) -> None:
        """Let the feeds rest while the window is hidden and nothing is recorded or written of what it shows."""
        now = time.perf_counter()
        if now < self._looked_seconds + _LOOK_SECONDS or self._options.works_hidden:
            return
        self._looked_seconds = now
        is_resting = self._display.is_hidden and not self.recorder.is_on
        for feed in self._feeds:
            feed.rest(is_resting)

    def _has_news(self) -> bool:
        return any(
            feed.is_revised or (feed.waits_for_screen and not self._screen.holds_back(feed)) for feed in self._feeds
        )

    def _is_over(self) -> bool:
        is_all_shown = all(feed.is_done and not feed.is_paused for feed in self._feeds)
        return self._is_stopped or self._is_late or is_all_shown

    @property
    def _is_late(self) -> bool:
        return time.perf_counter() >= self._end_seconds

    def _stop(self) -> None:
        """Make the readers and the explainer end, and with them the run. Thread-safe."""
        self._is_stopped = True
        if self._explaining is not None:
            self._explaining.stop()
        self._feeds.stop()

    def _give_up(self) -> None:
        """End without waiting for recordings to be completed."""
        self._stop()
        self.recorder.give_up()


def _reason_of(error: BaseException | None) -> str:
    """Return why a run has ended if this was raised, for those who watch it."""
    if error is None or isinstance(error, GivenUp | KeyboardInterrupt):
        return "it was stopped"
    return in_one_line(error) if isinstance(error, LivecamError) else f"an unexpected {type(error).__name__}"

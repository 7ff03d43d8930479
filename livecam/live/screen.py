"""The screen: draws the panes of all sources as one picture for the display, recordings and snapshots."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from livecam.errors import OutputError
from livecam.explanation import ClassMap, Explanation
from livecam.live.display import Click, Display, Request
from livecam.live.drawn import Drawn
from livecam.live.feed import Feed
from livecam.live.hud import Notices, draw_help
from livecam.live.pane import Pane, placed
from livecam.live.recorder import Recorder, write_snapshot
from livecam.picture.frame import Frame
from livecam.render import Style

_REFRESH_SECONDS = 0.25
"""The interval at which the figures are updated while no frame arrives."""
_PREVIEW_SECONDS = 0.05
"""That interval until every source has shown a frame: until then a preview moves."""

OnShown = Callable[[int, Frame, Explanation], None]
"""Called with the number of a source, a frame of it that is on the screen, and the explanation shown with it."""


class Screen:
    """Draws the next frames of the feeds, records them and shows them on the display. For the main thread only.

    Args:
        feeds: The sources; each gets a pane.
        display: Where the picture is shown.
        recorder: Records the panes while it is on.
        notices: Lines for the user, which are shown.
        style: How frames are drawn.
        max_age_seconds: A map of an earlier frame is hidden if it is older.
        model_name: The name of the model, shown while it is loaded.
        on_shown: Called with each frame once it is on the screen.
    """

    def __init__(
        self,
        feeds: Sequence[Feed],
        display: Display,
        recorder: Recorder,
        notices: Notices,
        style: Style,
        *,
        max_age_seconds: float,
        model_name: str,
        on_shown: OnShown,
    ) -> None:
        self.style = style
        """How frames are drawn from now on; the frame on the screen is drawn again."""
        self.shows_figures = True
        self.help: Sequence[tuple[str, str]] = ()
        """Keys and what they do, shown over the picture as far as there is room; empty for none."""
        self.help_shown = 0
        """How many of them there was room for."""
        self.typed: str | None = None
        """The prompt that the user is typing, shown over the picture; None for none."""
        self.panes = [Pane(feed, max_age_seconds, model_name) for feed in feeds]
        self._display = display
        self._recorder = recorder
        self._shown_notices = notices
        self.answer = notices.answer
        self._on_shown = on_shown
        self.is_full_screen = False
        self._refreshed_seconds = -math.inf
        self._title = ", ".join(pane.name for pane in self.panes) + f" - {model_name} - livecam"

    def present(self) -> Sequence[Request]:
        """Draw and show the frames that wait. Return the requests of the user meanwhile."""
        shown = {number: drawn for number, pane in enumerate(self.panes) if (drawn := self._draw_next(number, pane))}
        begin = time.perf_counter()
        interval = _REFRESH_SECONDS if all(pane.drawn for pane in self.panes) else _PREVIEW_SECONDS
        is_due = begin - self._refreshed_seconds >= interval
        if self._redraw() or shown or is_due:
            self.refresh()
        pressed = self._display.keys()  # which lets a window draw itself: only now is the picture on the screen
        for number, drawn in shown.items():
            feed = self.panes[number].feed
            feed.ledger.stages["show"].add(time.perf_counter() - begin)
            feed.ledger.deliver(feed.since_seconds(drawn.frame), drawn.explanation.age_frames)
            self._on_shown(number, drawn.frame, drawn.explanation)
        return [each for request in pressed if (each := self._placed(request)) is not None]

    def _placed(self, request: Request | Click) -> Request | None:
        """Return a click as the setting of the point that is there; None if there is no picture."""
        if not isinstance(request, Click):
            return request
        click = self._in_pane(request) if request.source is None else request
        pane = click and next((pane for number, pane in enumerate(self.panes) if number == click.source), None)
        point = click and pane and pane.point_at(click.x, click.y)
        return {"at": point} if point else None

    def _in_pane(self, click: Click) -> Click | None:
        """Return a click on the picture of all panes as one on that of a source; None if none is there."""
        size = self._display.fit(*self._usual_size)
        assert size is not None  # else displays know the source
        width, height = size
        places = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=2)
        for number, (pane, part) in enumerate(zip(self.panes, grid(places, len(self.panes)), strict=False)):
            left, top, *shown = placed(pane.usual_size, part)
            x, y = ((click.x, click.y) * np.array(size) - part[0, 0] - (left, top)) / shown
            if 0 <= x < 1 and 0 <= y < 1:
                return Click(x, y, number)
        return None

    def refresh(self) -> None:
        """Show the panes on the display without drawing them again."""
        self._refreshed_seconds = time.perf_counter()
        if not self._display.has_screen:
            return
        size = self._display.fit(*self._usual_size)
        if size is None:
            return
        width, height = size
        picture = np.zeros((height, width, 3), np.uint8)
        for number, (pane, part) in enumerate(zip(self.panes, grid(picture, len(self.panes)), strict=False)):
            pane.on_screen(part, self._notices(number, pane), shows_figures=self.shows_figures)
        if self.help:
            self.help_shown = draw_help(picture, self.help)
        self._display.show(picture, self._title)

    @property
    def _usual_size(self) -> tuple[int, int]:
        """The (width, height) of all panes: the sides are at most half as long again as those of the first."""
        width, height = self.panes[0].usual_size
        columns = columns_of(len(self.panes))
        rows = math.ceil(len(self.panes) / columns)
        scale = min(1.5 / columns, 1.0)
        return round(columns * width * scale), round(rows * height * scale)

    def shown_class(self) -> ClassMap | None:
        """Return the class that is explained in the first pane; None before its first frame."""
        drawn = self.panes[0].drawn
        return drawn.explanation.classes[0] if drawn else None

    def snapshot(self) -> str:
        """Write the panes to files; return where they are, or why they are not."""
        drawn = [(number, pane) for number, pane in enumerate(self.panes) if pane.drawn is not None]
        try:
            names = [write_snapshot(number, *pane.snapshot()).name for number, pane in drawn]
        except OutputError as exc:
            return str(exc)
        return f"saved {', '.join(names)} in {Path.cwd()}" if names else "there is no picture yet"

    def switch_full_screen(self) -> None:
        """Fill the whole screen, or go back to a window."""
        self.is_full_screen = not self.is_full_screen
        self._display.set_full_screen(self.is_full_screen)

    def _draw_next(self, number: int, pane: Pane) -> Drawn | None:
        """Draw and record the next frame of a feed, if one waits."""
        shown = None if self.holds_back(pane.feed) else pane.feed.take_to_show()
        if shown is None:
            return None
        drawn = pane.draw(shown, self.style)
        self._record(number, pane, drawn)
        self._display.take(number, drawn)
        return drawn

    def holds_back(self, feed: Feed) -> bool:
        """Return True if the next frame of a file has to wait until the recorder has room; a camera never waits."""
        return self._recorder.is_full and not feed.source.is_live

    def _record(self, number: int, pane: Pane, drawn: Drawn) -> None:
        if not self._recorder.is_on:
            return
        can_wait = not pane.feed.source.is_live
        self._recorder.add(number, drawn.picture, drawn.frame, pane.media(), can_wait=can_wait)

    def _redraw(self) -> bool:
        """Draw the frames on the screen again if the style or their explanation has changed."""
        stale = [each for each in enumerate(self.panes) if self._is_stale(each[1])]
        for number, pane in stale:
            if pane.feed.on_screen is not None:
                self._display.take(number, pane.draw(pane.feed.on_screen, self.style))
        return bool(stale)

    def _is_stale(self, pane: Pane) -> bool:
        return pane.feed.take_revised() or pane.is_out_of_style(self.style)

    def _notices(self, number: int, pane: Pane) -> list[str]:
        """Return the lines that the user must see even if the figures are hidden."""
        recording = self._recorder.status(number)
        is_named = pane.drawn is None or len(self.panes) > 1
        return [
            *([pane.name] if is_named else []),
            *(["paused"] if pane.feed.is_paused else []),
            *([recording] if recording else []),
            *([] if self.typed is None else [f"prompt: {self.typed}_"]),
            *self._shown_notices.lines,
        ]


def columns_of(count: int) -> int:
    """Return the number of columns of a grid of this many panes."""
    return math.ceil(math.sqrt(count))


def grid(picture: np.ndarray, count: int) -> list[np.ndarray]:
    """Return views of the parts of a picture, (H, W, ...), that form a grid for this many panes, in reading order."""
    rows = np.array_split(picture, math.ceil(count / columns_of(count)), axis=0)
    return [part for row in rows for part in np.array_split(row, columns_of(count), axis=1)]

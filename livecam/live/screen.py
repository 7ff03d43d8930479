"""The screen: draws the panes of all sources as one picture for the display, recordings and snapshots."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from livecam.errors import OutputError
from livecam.explanation import ClassMap, Explanation
from livecam.live.display import Display
from livecam.live.feed import Feed
from livecam.live.hud import Notices, draw_help
from livecam.live.pane import Drawn, Pane
from livecam.live.recorder import Recorder, write_snapshot
from livecam.picture.frame import Frame
from livecam.render import Style

_REFRESH_SECONDS = 0.25
"""The interval at which the figures are updated while no frame arrives."""

_PREVIEW_SECONDS = 0.05
"""That interval while a source has no frame on the screen yet, but may show what it sees."""

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
        """Keys and what they do, shown over the picture; empty for none."""
        self._panes = [Pane(feed, max_age_seconds, model_name) for feed in feeds]
        self._display = display
        self._recorder = recorder
        self._shown_notices = notices
        self.answer = notices.answer
        self._on_shown = on_shown
        self.is_full_screen = False
        self._refreshed_seconds = -math.inf
        self._title = ", ".join(feed.source.name for feed in feeds) + f" - {model_name} - livecam"

    def present(self) -> list[str]:
        """Draw and show the frames that wait. Return the keys that were pressed meanwhile."""
        shown = {number: drawn for number, pane in enumerate(self._panes) if (drawn := self._draw_next(number, pane))}
        begin = time.perf_counter()
        interval = _REFRESH_SECONDS if all(pane.drawn for pane in self._panes) else _PREVIEW_SECONDS
        is_due = begin - self._refreshed_seconds >= interval
        if self._redraw() or shown or is_due:
            self.refresh()
        pressed = self._display.keys()  # which lets a window draw itself: only now is the picture on the screen
        for number, drawn in shown.items():
            ledger = self._panes[number].feed.ledger
            ledger.stages["show"].add(time.perf_counter() - begin)
            ledger.deliver(drawn.frame.captured_seconds, drawn.explanation.age_frames)
            self._on_shown(number, drawn.frame, drawn.explanation)
        return pressed

    def refresh(self) -> None:
        """Show the panes on the display without drawing them again."""
        self._refreshed_seconds = time.perf_counter()
        if not self._display.has_screen:
            return
        panes = [
            pane.on_screen(self._notices(number, pane), shows_figures=self.shows_figures)
            for number, pane in enumerate(self._panes)
        ]
        picture = arranged(panes)
        if self.help:
            draw_help(picture, self.help)
        self._display.show(picture, self._title)

    def shown_class(self) -> ClassMap | None:
        """Return the class that is explained in the first pane; None before its first frame."""
        drawn = self._panes[0].drawn
        return drawn.explanation.classes[0] if drawn else None

    def snapshot(self) -> str:
        """Write the panes to files; return where they are, or why they are not."""
        drawn = [(number, pane) for number, pane in enumerate(self._panes) if pane.drawn is not None]
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
        shown = pane.feed.take_to_show()
        if shown is None:
            return None
        drawn = pane.draw(shown, self.style)
        self._record(number, pane, drawn)
        return drawn

    def _record(self, number: int, pane: Pane, drawn: Drawn) -> None:
        if not self._recorder.is_on:
            return
        can_wait = not pane.feed.source.is_live
        self._recorder.add(number, drawn.picture, drawn.frame, pane.media(), can_wait=can_wait)

    def _redraw(self) -> bool:
        """Draw the frames on the screen again if the style or their explanation has changed."""
        stale = [pane for pane in self._panes if pane.feed.take_revised() or pane.is_out_of_style(self.style)]
        for pane in stale:
            if pane.feed.on_screen is not None:
                pane.draw(pane.feed.on_screen, self.style)
        return bool(stale)

    def _notices(self, number: int, pane: Pane) -> list[str]:
        """Return the lines that the user must see even if the figures are hidden."""
        recording = self._recorder.status(number)
        is_named = pane.drawn is None or len(self._panes) > 1
        return [
            *([pane.feed.source.name] if is_named else []),
            *(["paused"] if pane.feed.is_paused else []),
            *([recording] if recording else []),
            *self._shown_notices.lines,
        ]


def arranged(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Arrange pictures as panes of a grid, in reading order; a single one is returned as it is.

    The panes are as large as the first picture, made smaller so that the grid's sides are at most half as long again as
    the first's. Pictures of another shape are centred in their panes.

    Args:
        pictures: (H, W, 3) uint8 each.

    Returns:
        The grid, (H', W', 3) uint8.
    """
    if len(pictures) == 1:
        return pictures[0]
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    first_height, first_width = pictures[0].shape[:2]
    scale = min(1.5 / columns, 1.0)
    width, height = round(first_width * scale), round(first_height * scale)
    grid = np.zeros((rows * height, columns * width, 3), np.uint8)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        _fit(picture, grid[row * height : (row + 1) * height, column * width : (column + 1) * width])
    return grid


def _fit(picture: np.ndarray, pane: np.ndarray) -> None:
    """Scale a picture into the middle of a pane, keeping its aspect."""
    height, width = pane.shape[:2]
    scale = min(width / picture.shape[1], height / picture.shape[0])
    size = max(round(picture.shape[1] * scale), 1), max(round(picture.shape[0] * scale), 1)
    x, y = (width - size[0]) // 2, (height - size[1]) // 2
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    cv2.resize(picture, size, dst=pane[y : y + size[1], x : x + size[0]], interpolation=interpolation)

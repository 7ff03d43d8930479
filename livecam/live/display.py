"""Displays: a window that shows the picture of a live run and reads the keys, or none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np

from livecam.live.desktop import is_hidden, leave_events_to_qt, listen_to_keys, typed_letters, work_area
from livecam.live.drawn import Drawn

_NAME = "livecam"
_LARGEST_SIDE = 1280
"""The initial length in pixels of the window's longer side."""
_SHOWN_WITH_PATIENCE, _PATIENCE_MS = 100, 20
"""For each of this many first pictures the window gets this time to draw itself."""
_MOST_OF_SCREEN = 0.9
"""The share of the screen that a new window takes at most, with room for its frame."""


class Click(NamedTuple):
    """A click on the picture.

    Attributes:
        x, y: Where, in fractions of the picture, from its top left corner.
        source: The number of the source whose picture it is; None for that of all sources together.
    """

    x: float
    y: float
    source: int | None = None


Request = str | Mapping[str, Any]
"""A request of the user: a key, one character; or settings by name with their values, as in `livecam.live.settings`."""


class Display(Protocol):
    """The interface of a display. All calls but those of `tell` come from the main thread.

    A class that inherits from it may leave out the methods that return nothing: they do nothing.
    """

    # To type checkers, a method whose body is `return` may be left out, one that only has a docstring may not.

    has_screen: bool
    """False if nothing is visible. Then nothing is drawn, and errors are raised instead of shown."""

    def fit(self, width: int, height: int) -> tuple[int, int] | None:
        """Return the (width, height) in pixels to draw at, for a picture that usually has this size.

        None if the display puts the pictures of the sources together by itself, as it gets them by `take`.
        """

    def show(self, bgr: np.ndarray, title: str) -> None:
        """Show the next picture, (H, W, 3) uint8 BGR, under a title."""
        return

    def take(self, source: int, drawn: Drawn) -> None:
        """Take the picture of the source with this number, which was just drawn."""
        return

    def tell(self, line: str) -> None:
        """Tell the user a line, which `show` also has in its picture for some seconds."""
        return

    def update(self, state: Callable[[], dict[str, Any]]) -> None:
        """Take what there is to tell beside the pictures: `state()` is as `livecam.live.state` describes it."""
        return

    def keys(self) -> Sequence[Request | Click]:
        """Wait until the picture is visible, then return the requests and clicks of the user since the last call."""

    @property
    def is_closed(self) -> bool:
        """True once the user has closed the display, which ends the run."""

    @property
    def is_hidden(self) -> bool:
        """True while the user cannot see the display, since it is minimised or on another desktop."""

    def set_full_screen(self, full: bool) -> None:
        """Fill the whole screen, or go back to a window."""
        return

    def close(self, reason: str) -> None:
        """Close the display, since the run has ended for this reason; may be called more than once."""
        return


class NoWindow(Display):
    """A display that shows nothing."""

    has_screen = is_closed = is_hidden = False

    def fit(self, width: int, height: int) -> tuple[int, int]:
        return width, height

    def keys(self) -> list[str]:
        return []


class Window(Display):
    """A window on the desktop, opened with OpenCV; it can be resized and keeps the picture's aspect."""

    has_screen = True

    def __init__(self) -> None:
        self._is_open = False
        self._is_full_screen = False
        self._usual_size = (0, 0)
        self._title = ""
        self._shown = 0
        self._shown_size = 1, 1
        self._clicks: list[Request | Click] = []
        self._hears_letters = False

    def fit(self, width: int, height: int) -> tuple[int, int]:
        if not self._is_open:
            leave_events_to_qt()
            cv2.namedWindow(_NAME, cv2.WINDOW_NORMAL | cv2.WINDOW_FREERATIO | cv2.WINDOW_GUI_NORMAL)
            cv2.setMouseCallback(_NAME, self._on_mouse)
            self._is_open = True
        if (width, height) != self._usual_size and not self._is_full_screen:
            self._resize(width, height)
        _, _, *size = cv2.getWindowImageRect(_NAME)
        return max(size[0], 1), max(size[1], 1)

    def show(self, bgr: np.ndarray, title: str) -> None:
        if title != self._title:
            cv2.setWindowTitle(_NAME, title)
            self._title = title
        cv2.imshow(_NAME, bgr)
        self._shown += 1
        self._shown_size = bgr.shape[1], bgr.shape[0]

    def keys(self) -> list[Request | Click]:
        if not self._is_open:
            return []
        return [*self._typed(), *self._clicked()]

    def _on_mouse(self, event: int, x: int, y: int, flags: int, data: object) -> None:
        """Take a click of the left button as one on the picture, of the right one as a request for no point."""
        width, height = self._shown_size
        if event == cv2.EVENT_LBUTTONDOWN:
            self._clicks.append(Click((x + 0.5) / width, (y + 0.5) / height))
        elif event == cv2.EVENT_RBUTTONDOWN:
            self._clicks.append({"at": None})

    def _clicked(self) -> list[Request | Click]:
        clicks, self._clicks = self._clicks, []
        return clicks

    def _typed(self) -> str:
        # This lets the window draw itself, for which a millisecond is too short while torch is imported.
        code = cv2.waitKeyEx(1 if self._shown > _SHOWN_WITH_PATIENCE else _PATIENCE_MS)
        self._hears_letters = self._hears_letters or listen_to_keys()
        if self._hears_letters:
            return typed_letters()
        typed = ""
        while code >= 0:
            typed += chr(code) if code < 128 else ""
            code = cv2.pollKey()
        return typed

    @property
    def is_closed(self) -> bool:
        """True once the user has closed the window."""
        if not self._is_open:
            return False
        try:
            return cv2.getWindowProperty(_NAME, cv2.WND_PROP_VISIBLE) < 1
        except cv2.error:  # Qt has gone with its last window
            return True

    @property
    def is_hidden(self) -> bool:
        """True while the window is minimised or on another desktop."""
        return self._is_open and is_hidden()

    def set_full_screen(self, full: bool) -> None:
        if self._is_open and full != self._is_full_screen:
            self._is_full_screen = full
            mode = cv2.WINDOW_FULLSCREEN if full else cv2.WINDOW_NORMAL
            cv2.setWindowProperty(_NAME, cv2.WND_PROP_FULLSCREEN, mode)

    def close(self, reason: str) -> None:
        if self._is_open and not self.is_closed:
            cv2.destroyWindow(_NAME)
            cv2.waitKeyEx(1)
        self._is_open = False

    def _resize(self, width: int, height: int) -> None:
        """Resize the window for a picture of this size, as far as the screen has room; a new one is centred."""
        is_new = self._usual_size == (0, 0)
        self._usual_size = width, height
        left, top, across, down = work_area() or (0, 0, _LARGEST_SIDE, _LARGEST_SIDE)
        scale = min(
            _LARGEST_SIDE / max(width, height), _MOST_OF_SCREEN * across / width, _MOST_OF_SCREEN * down / height, 1
        )
        width, height = max(round(width * scale), 1), max(round(height * scale), 1)
        cv2.resizeWindow(_NAME, width, height)
        if is_new and work_area():
            cv2.moveWindow(_NAME, left + (across - width) // 2, top + (down - height) // 2)

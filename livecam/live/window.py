"""The window: OpenCV's, of which every call has to come from the main thread."""

from __future__ import annotations

import os
import subprocess
import sys

import cv2
import numpy as np

from livecam.errors import OutputError

_NAME = "livecam"
_LARGEST_SIDE = 1280
"""Pixels of the longer side that the window begins with."""


class Window:
    """Shows pictures and tells the keys; it can be resized and keeps the aspect."""

    is_there = True

    def __init__(self) -> None:
        self._is_open = False
        self._is_full_screen = False
        self._shape = (0, 0)

    def show(self, bgr: np.ndarray) -> None:
        """The next picture, (H, W, 3) uint8."""
        if not self._is_open:
            cv2.namedWindow(_NAME, cv2.WINDOW_NORMAL | cv2.WINDOW_FREERATIO | cv2.WINDOW_GUI_NORMAL)
            self._is_open = True
        if bgr.shape[:2] != self._shape and not self._is_full_screen:
            self._fit(bgr)
        _, _, width, height = cv2.getWindowImageRect(_NAME)
        cv2.imshow(_NAME, _padded(bgr, width / max(height, 1)))

    def keys(self) -> list[str]:
        """What was pressed since the last call. It also lets the window draw itself."""
        if not self._is_open:
            return []
        code = cv2.waitKeyEx(1)
        return [chr(code)] if 0 <= code < 128 else []

    @property
    def is_closed(self) -> bool:
        """Whether the user has closed it."""
        if not self._is_open:
            return False
        try:
            return cv2.getWindowProperty(_NAME, cv2.WND_PROP_VISIBLE) < 1
        except cv2.error:  # Qt has gone with its last window
            return True

    def set_full_screen(self, full: bool) -> None:
        """All of the screen, or a window."""
        if self._is_open and full != self._is_full_screen:
            self._is_full_screen = full
            mode = cv2.WINDOW_FULLSCREEN if full else cv2.WINDOW_NORMAL
            cv2.setWindowProperty(_NAME, cv2.WND_PROP_FULLSCREEN, mode)

    def close(self) -> None:
        """Take it away."""
        if self._is_open and not self.is_closed:
            cv2.destroyWindow(_NAME)
            cv2.waitKeyEx(1)
        self._is_open = False

    def _fit(self, bgr: np.ndarray) -> None:
        """To a picture whose shape is not that of the one before."""
        height, width = self._shape = bgr.shape[:2]
        scale = min(_LARGEST_SIDE / max(width, height), 1)
        cv2.resizeWindow(_NAME, round(width * scale), round(height * scale))


def _padded(bgr: np.ndarray, aspect: float) -> np.ndarray:
    """With black bars where the window has another shape; OpenCV stretches a picture whose shape has changed."""
    height, width = bgr.shape[:2]
    across, down = max(round(height * aspect) - width, 0), max(round(width / max(aspect, 0.01)) - height, 0)
    if across <= 1 and down <= 1:
        return bgr
    left, top = across // 2, down // 2
    return cv2.copyMakeBorder(bgr, top, down - top, left, across - left, cv2.BORDER_CONSTANT)


class NoWindow:
    """In its place where there is none."""

    is_there = is_closed = False

    def show(self, bgr: np.ndarray) -> None:
        """Nowhere."""

    def keys(self) -> list[str]:
        """None."""
        return []

    def set_full_screen(self, full: bool) -> None:
        """Nothing to be done."""

    def close(self) -> None:
        """Nothing to be done."""


_OPEN_A_WINDOW = "import cv2; cv2.namedWindow('livecam'); cv2.destroyAllWindows()"


def check_window(timeout_seconds: float = 10.0) -> None:
    """Open a window and close it, by OpenCV, in a process of its own: a fifth of a second. Raises OutputError.

    Qt, which OpenCV draws windows with on Linux, aborts the whole process where the display does not answer, lets no
    program in without its cookie, or lacks a library. Only to connect to the display's socket would not tell the last.
    """
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise OutputError(
            "there is no screen, neither DISPLAY nor WAYLAND_DISPLAY is set; use --no-window or set DISPLAY"
        )
    import cv2

    if not cv2.currentUIFramework():
        raise OutputError(
            "this OpenCV opens no windows; pip uninstall opencv-python-headless, "
            "then pip install --force-reinstall opencv-python; or use --no-window"
        )
    command = [sys.executable, "-P", "-c", _OPEN_A_WINDOW]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=timeout_seconds
        )
    except subprocess.TimeoutExpired as exc:
        raise OutputError(_refusal(f"{_screen()} did not answer within {timeout_seconds:g} s")) from exc
    if done.returncode:
        raise OutputError(_refusal(f"no window can be opened on {_screen()} ({_reason(done.stderr)})"))


def _screen() -> str:
    name = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return f"the display {name}" if name else "the screen"


def _refusal(problem: str) -> str:
    return f"{problem}; use --no-window or set DISPLAY to a screen that is there"


def _reason(messages: str) -> str:
    """The line that says it: others may come before it, on fonts or the session's type."""
    lines = messages.strip().splitlines() or ["it crashed"]
    return next((line for line in lines if "could not" in line.lower()), lines[-1]).strip()

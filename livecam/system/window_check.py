"""Checks that there is a screen and that a window can be opened on it, before anything heavy is imported."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys

from livecam.errors import OutputError

_OPEN_A_WINDOW = """
import os, {modules}
cv2.namedWindow("livecam", cv2.WINDOW_NORMAL | cv2.WINDOW_GUI_NORMAL)
os._exit(0)
"""
"""Ends at once, so that the window is hardly seen."""

_begun: dict[str | None, subprocess.Popen[str]] = {}
"""The children that are opening a window, by the name of the display, until their answer is asked for."""


def begin_window_check() -> None:
    """Start what `check_window` waits for, unless it has begun. Raises OutputError if there is no screen."""
    check_screen("use --show browser or --no-window, or set DISPLAY")
    if _display_name() in _begun:
        return
    # In the order of this process, in which livecam imports cv2 first: see livecam/picture/__init__.py.
    is_av_first = [name for name in list(sys.modules) if name in ("av", "cv2")][:1] == ["av"]
    code = _OPEN_A_WINDOW.format(modules="av, cv2" if is_av_first else "cv2")
    child = subprocess.Popen(
        [sys.executable, "-P", "-c", code],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    atexit.register(child.kill)  # if nobody asks for the answer, and the display does not answer either
    _begun[_display_name()] = child


def check_window(timeout_seconds: float = 10.0) -> None:
    """Check that a window can be opened, by opening one in a child process; it takes a third of a second.

    Qt, which OpenCV draws windows with on Linux, aborts the whole process if the display does not answer or refuses the
    program, or if a library is missing. Connecting to the display's socket would not detect a missing library.

    Raises:
        OutputError: No window can be opened.
    """
    import cv2

    if not cv2.currentUIFramework():
        raise OutputError(
            "this OpenCV opens no windows; pip uninstall opencv-python-headless, "
            "then pip install --force-reinstall opencv-python; or use --no-window"
        )
    begin_window_check()
    with _begun.pop(_display_name()) as child:
        try:
            _, messages = child.communicate(timeout=timeout_seconds)
        except subprocess.TimeoutExpired as exc:
            child.kill()
            order = "; or import cv2 before av" if "av, cv2" in str(child.args) else ""
            raise OutputError(_refusal(f"{_screen()} did not answer within {timeout_seconds:g} s") + order) from exc
    if child.returncode:
        raise OutputError(_refusal(f"no window can be opened on {_screen()} ({_reason(messages)})"))


def check_screen(advice: str) -> None:
    """Check that there may be a screen, without asking it. Raises OutputError, which ends in this advice."""
    if sys.platform.startswith("linux") and not _display_name():
        raise OutputError(f"there is no screen, neither DISPLAY nor WAYLAND_DISPLAY is set; {advice}")


def _display_name() -> str | None:
    return os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")


def _screen() -> str:
    name = _display_name()
    return f"the display {name}" if name else "the screen"


def _refusal(problem: str) -> str:
    return f"{problem}; use --show browser or --no-window, or set DISPLAY to a screen that works"


def _reason(messages: str) -> str:
    """Return the line that names the cause, which lines about fonts or the session type may precede."""
    lines = messages.strip().splitlines() or ["it crashed"]
    return next((line for line in lines if "could not" in line.lower()), lines[-1]).strip()

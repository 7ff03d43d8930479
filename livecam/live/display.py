"""The screen: whether a window can be opened on it."""

from __future__ import annotations

import os
import subprocess
import sys

from livecam.errors import OutputError

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

"""The window itself, on a screen that only this test sees: needs Xvfb and xdotool, and is skipped without them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes.util import find_library
from pathlib import Path

import pytest

from livecam.names import LAYER_METHODS

_LONGEST_SECONDS = 60


OPENED = """
import ctypes
from livecam.live.display import Window
Window().fit(320, 180)
ctypes.CDLL(None).XSetEventQueueOwner
"""
"""Ends well if Qt was given the X11 library of the system, which leaves events to it."""


@pytest.fixture
def tools() -> None:
    if shutil.which("xdotool") is None:
        pytest.skip("xdotool is not installed")


@contextmanager
def live(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "livecam", "live", "demo:?size=320x180", *arguments, "--engine", "eager"]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True, env=os.environ.copy())
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def xdotool(*arguments: str) -> str:
    return subprocess.run(["xdotool", *arguments], capture_output=True, text=True).stdout


def press_until(process: subprocess.Popen[str], key: str, is_done: object) -> None:
    """Again and again: a window that has just opened hears nothing yet."""
    deadline = time.monotonic() + _LONGEST_SECONDS
    while not is_done() and process.poll() is None and time.monotonic() < deadline:  # type: ignore[operator]
        for window in xdotool("search", "--name", " - livecam$").split():
            xdotool("windowfocus", window)
            xdotool("key", key)
        time.sleep(0.5)


@pytest.mark.skipif(find_library("X11-xcb") is None, reason="the system has no libX11-xcb")
def test_xlib_takes_no_events_from_the_window(virtual_screen: str) -> None:
    subprocess.run([sys.executable, "-c", OPENED], check=True)


@pytest.mark.usefixtures("tools")
def test_keys_are_heard_and_quitting_ends_the_program_with_its_ledger(virtual_screen: str, tmp_path: Path) -> None:
    with live(tmp_path) as process:
        press_until(process, "s", lambda: list(tmp_path.glob("*.json")))
        press_until(process, "q", lambda: False)
        _, messages = process.communicate(timeout=_LONGEST_SECONDS)
    assert process.returncode == 0, messages
    assert json.loads(next(tmp_path.glob("*.json")).read_text())["method"] == "gradcam"
    assert next(tmp_path.glob("*.png")).stat().st_size > 1000
    assert "captured" in messages.splitlines()[-1]


@pytest.mark.usefixtures("tools")
def test_letters_typed_quickly_are_all_heard_and_capitals_as_such(virtual_screen: str, tmp_path: Path) -> None:
    with live(tmp_path) as process:
        press_until(process, "s", lambda: list(tmp_path.glob("*.json")))
        assert (
            xdotool("search", "--name", "livecam$", "getwindowname").strip() == "demo:?size=320x180 - shapes - livecam"
        )
        xdotool("type", "--delay", "5", "mmmmmmM")  # all within a few pictures
        press_until(process, "s", lambda: LAYER_METHODS[5] in methods(tmp_path))
    assert LAYER_METHODS[5] in methods(tmp_path)


def methods(folder: Path) -> set[str]:
    """The methods of the snapshots in a folder."""
    return {json.loads(path.read_text())["method"] for path in folder.glob("*.json")}


@pytest.mark.usefixtures("tools")
def test_ctrl_c_in_the_terminal_ends_it_too(virtual_screen: str, tmp_path: Path) -> None:
    with live(tmp_path, "--record", "out.mp4") as process:
        deadline = time.monotonic() + _LONGEST_SECONDS
        while not (tmp_path / "out.mp4.part").exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        _, messages = process.communicate(timeout=_LONGEST_SECONDS)
    assert process.returncode == 130, messages
    assert "Traceback" not in messages
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]

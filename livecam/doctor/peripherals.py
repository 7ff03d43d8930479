"""Checks of what `livecam live` needs: a window or a page, and cameras."""

from __future__ import annotations

from collections.abc import Iterator

from livecam.doctor import Check
from livecam.errors import OutputError, some_of
from livecam.sources.devices import CameraFacts, Mode, find_cameras
from livecam.system.machine import version
from livecam.system.window_check import check_window


def window() -> Iterator[Check]:
    """Check that a window opens, and that a page can be shown instead."""
    yield _window()
    yield _page()


def _window() -> Check:
    try:
        check_window()
    except OutputError as exc:
        return Check.of_message("window", str(exc))
    import cv2

    return Check.ok("window", f"opens, with OpenCV and {cv2.currentUIFramework()}")


def _page() -> Check:
    number = version("aiohttp")
    if number is None:
        return Check.absent("page", "for --show browser, aiohttp is not installed: pip install 'livecam[web]'")
    return Check.ok("page", f"--show browser shows one, with aiohttp {number}")


def cameras() -> Iterator[Check]:
    """Check each camera; each check is named after the camera's path."""
    found = find_cameras()
    if not found:
        yield Check.absent("camera", "none is connected")
    for camera in found:
        yield _camera(camera)


def _camera(camera: CameraFacts) -> Check:
    if camera.problem is not None:
        return Check.of_message(camera.path, f"{camera.name}, {camera.problem}")
    modes = f", {some_of([_words(mode) for mode in camera.modes])}" if camera.modes else ""
    return Check.ok(camera.path, f"{camera.name}{modes}")


def _words(mode: Mode) -> str:
    return f"{mode.width}x{mode.height}" + (f" at {mode.fps:g} fps" if mode.fps else "")

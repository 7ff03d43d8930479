"""What a page shows and tells."""

from __future__ import annotations

import base64
import time
from typing import Any

import cv2
import numpy as np

from livecam.web.server import WebServer
from tests.support.chromium import Page

IS_CONNECTED = "livecam.status().connection === 'connected'"
IS_ENDED = "livecam.status().connection === 'ended'"
WITHOUT_H264 = "delete window.VideoDecoder; delete window.VideoEncoder"
"""Run before the page, it makes the browser one that can only do JPEG."""
_AT_REST = """(() => {
  const status = livecam.status();
  const dropped = Object.values(status.dropped).reduce((sum, count) => sum + count, 0);
  return status.captured === status.shown + dropped && status;
})()"""
_RECORD = """
window.drawn = [];
addEventListener("livecam:drawn", ({detail}) => drawn.push({...detail, url: picture.toDataURL("image/png")}));
"""


def press(page: Page, *keys: str) -> None:
    """Press keys that no field of the page has the focus for."""
    for key in keys:
        page.evaluate(f"document.body.dispatchEvent(new KeyboardEvent('keydown', {{key: '{key}', bubbles: true}}))")


def asked(server: WebServer, page: Page) -> list[dict[str, Any]]:
    """What the page has asked for, in order, key frames apart: a step is asked for by its key, and waited for."""
    press(page, ".")
    deadline_seconds = time.monotonic() + 30
    commands: list[dict[str, Any]] = []
    while commands[-1:] != [{"command": "step"}]:
        assert time.monotonic() < deadline_seconds, commands
        for command in server.commands():
            if command.pop("type") != "key":
                commands.append(command)
        time.sleep(0.01)
    return commands[:-1]


def wait_for_more(page: Page, frames: int = 5) -> None:
    """Wait until so many more frames are shown."""
    shown = page.evaluate("livecam.status().shown")
    page.wait_for(f"livecam.status().shown >= {shown + frames}")


def rest(page: Page) -> dict[str, Any]:
    """Stop the camera, and return the status once no frame is on its way: all are shown or dropped."""
    page.evaluate("livecam.stop()")
    try:
        return page.wait_for(_AT_REST)
    except TimeoutError:
        raise AssertionError(f"not accounted for: {page.evaluate('livecam.status()')}") from None


def record(page: Page) -> None:
    """Keep every picture that a page draws from now on."""
    page.evaluate(_RECORD)


def drawn(page: Page) -> list[tuple[dict[str, Any], np.ndarray]]:
    """Return what was drawn since `record`: what was said of each picture, and its pixels, (H, W, 3) uint8 RGB."""
    return [(facts, _pixels(facts.pop("url"))) for facts in page.evaluate("drawn")]


def pixels_of(page: Page, selector: str = "canvas") -> np.ndarray:
    """Return the pixels of a canvas, (H, W, 3) uint8 RGB."""
    return _pixels(page.evaluate(f"document.querySelector({selector!r}).toDataURL('image/png')"))


def _pixels(url: str) -> np.ndarray:
    png = np.frombuffer(base64.b64decode(url.partition(",")[2]), np.uint8)
    return cv2.cvtColor(cv2.imdecode(png, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)

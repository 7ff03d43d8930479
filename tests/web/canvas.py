"""What a page has drawn."""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np

from tests.support.chromium import Page

_RECORD = """
window.drawn = [];
addEventListener("livecam:drawn", ({detail}) => drawn.push({...detail, url: picture.toDataURL("image/png")}));
"""


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

"""What a page has drawn."""

from __future__ import annotations

import base64

import cv2
import numpy as np

from tests.support.chromium import Page


def pixels_of(page: Page, selector: str = "canvas") -> np.ndarray:
    """Return the pixels of a canvas, (H, W, 3) uint8 RGB."""
    url = page.evaluate(f"document.querySelector({selector!r}).toDataURL('image/png')")
    png = np.frombuffer(base64.b64decode(url.partition(",")[2]), np.uint8)
    return cv2.cvtColor(cv2.imdecode(png, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)

"""Still pictures of known content."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from livecam.scene import Scene


def scene(seed: int = 1, width: int = 160, height: int = 96) -> Image.Image:
    """A picture with one shape."""
    return Image.fromarray(Scene(seed=seed, shapes=1, width=width, height=height).render(0.0))


def pixels(path: Path) -> np.ndarray:
    """(H, W, 3) RGB, as numbers that can be subtracted."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)

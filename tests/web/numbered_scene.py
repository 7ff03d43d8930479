"""A camera that films the generated scene: one shape that moves, above a strip that spells the number of the frame."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from livecam.scene import Scene
from tests.support.chromium import write_y4m
from tests.support.clips import numbered_picture

LABEL = "cross"
FPS, FRAMES = 30, 120
WIDTH, HEIGHT = 320, 180
_STRIP = HEIGHT // 7
_SCENE = Scene(seed=6, shapes=(LABEL,), width=WIDTH, height=HEIGHT - _STRIP)


def film(path: Path) -> Path:
    """Write the frames as a camera of Chromium."""
    pictures = (av.VideoFrame.from_ndarray(picture(number), format="rgb24") for number in range(FRAMES))
    return write_y4m(path, (each.reformat(format="yuv420p") for each in pictures), FPS)


def picture(number: int) -> np.ndarray:
    """Return a frame, (HEIGHT, WIDTH, 3) uint8 RGB; its number is read by `number_in`."""
    strip = numbered_picture(number, WIDTH, HEIGHT)[-_STRIP:]
    return np.concatenate([_SCENE.render(number / FPS), strip])


def mask(number: int) -> np.ndarray:
    """Return where the shape is in a frame, (HEIGHT, WIDTH) bool."""
    (shape,) = _SCENE.masks(number / FPS)
    return np.pad(shape, ((0, _STRIP), (0, 0)))

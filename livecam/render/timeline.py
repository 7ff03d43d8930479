"""The timeline below a picture: the heat of the last seconds, over time and over the columns of the picture."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from livecam.explanation import Explanation
from livecam.picture.frame import Frame
from livecam.picture.media import Region
from livecam.render.canvas import BLACK, WHITE, Canvas, Palette
from livecam.render.letters import letter_size, render_line
from livecam.render.palettes import fading

SHARE = 0.4
"""The height of the timeline by that of the picture."""
_SECONDS = 4.0
"""How much of the past is shown."""
_ROWS, _COLUMNS = 120, 96
"""The resolution in time and in place."""
_LONGEST_BAR = 0.12
"""The length of the longest bar, by the width of the timeline."""
_LEAST_MEAN = 0.02
"""The mean heat of the longest bar, unless one of the last seconds was higher."""
_BARS = Palette(np.full((256, 3), 255, np.uint8), np.linspace(0, 0.9, 256, dtype=np.float32))
_INSIDE = 0.25
"""How bright a bar is, compared with its end."""


@dataclass(frozen=True)
class _Moment:
    """The heat at a time: the most in each column of the picture, (columns,) float32, and the mean of all."""

    seconds: float
    columns: np.ndarray
    mean: float


class Past:
    """The heat of the first class in the frames that were drawn in the last seconds."""

    def __init__(self) -> None:
        self._moments: deque[_Moment] = deque()

    def add(self, frame: Frame, explanation: Explanation) -> None:
        """Add a frame, the newest; one that is drawn again takes its own place."""
        now = 0.0 if frame.pts_seconds is None else frame.pts_seconds  # None: a picture by itself
        while self._moments and self._moments[-1].seconds >= now:
            self._moments.pop()
        while self._moments and self._moments[0].seconds < now - _SECONDS:
            self._moments.popleft()
        columns = _columns_of(explanation.heatmap, explanation.region)
        self._moments.append(_Moment(now, columns, float(explanation.heatmap.mean())))

    def sampled(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the heat of the columns, (rows, columns), and its mean, (rows,), in 0..1; the first row is now."""
        times = np.array([moment.seconds for moment in self._moments])
        ages = (np.arange(_ROWS) + 0.5) * _SECONDS / _ROWS
        found = np.searchsorted(times, times[-1] - ages, side="right") - 1
        found[0] = len(times) - 1
        known = found >= 0
        columns = np.stack([moment.columns for moment in self._moments])[found]
        means = np.array([moment.mean for moment in self._moments])[found]
        return columns * known[:, np.newaxis], means * known


def _columns_of(heat: np.ndarray, region: Region) -> np.ndarray:
    """Return the most heat in each column of the picture, (columns,) float32, of a map (h, w) of a region."""
    x = (np.arange(_COLUMNS) + 0.5) / _COLUMNS
    cells = heat.shape[1]
    inside = (x - region.left) / (region.right - region.left) * cells - 0.5
    most = np.interp(inside, np.arange(cells), heat.max(axis=0))
    return np.where((inside >= -0.5) & (inside <= cells - 0.5), most, 0).astype(np.float32)


def draw_timeline(canvas: Canvas, past: Past, colormap: str) -> None:
    """Draw the last seconds, now at the top: the heat of each column below its place, and bars for the heat in all."""
    heat, means = past.sampled()
    canvas.fill(BLACK)
    canvas.blend(_levels(heat), Region(), fading(colormap, 1.0))
    canvas.blend(_levels(_bars(means)), Region(), _BARS)
    _write_seconds(canvas)


def _write_seconds(canvas: Canvas) -> None:
    """Write how long ago is what, if there is room."""
    width, height = canvas.upright_size
    size = letter_size(width, height)
    for seconds in range(1, int(_SECONDS)):
        letters = render_line(f"{seconds} s ago", size, width)
        if len(letters) < 0.75 * height / _SECONDS:
            canvas.write(letters, 0, round(height * seconds / _SECONDS - len(letters) / 2) // 2 * 2, WHITE)


def _bars(means: np.ndarray) -> np.ndarray:
    """Return bars from the right border, (rows, 256) in 0..1, whose lengths are as these means."""
    lengths = means[:, np.newaxis] / max(float(means.max()), _LEAST_MEAN) * _LONGEST_BAR * 256
    within = np.clip(lengths - np.arange(256)[::-1], 0, 1)
    ends = within - np.clip(lengths - 1 - np.arange(256)[::-1], 0, 1)
    return _INSIDE * within + (1 - _INSIDE) * ends


def _levels(heat: np.ndarray) -> np.ndarray:
    return np.round(np.clip(heat, 0, 1) * 255).astype(np.uint8)

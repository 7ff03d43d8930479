"""The explanation of one frame: pure data."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from livecam.picture.media import Region


@dataclass(frozen=True, slots=True)
class Prediction:
    """One class of a prediction; the score is a probability in 0..1."""

    index: int
    label: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassMap:
    """The evidence for one class.

    `cam` is the signed float32 map (h, w) on the target layer's own grid, of the upright picture, not scaled. `heatmap`
    is what is shown of it: (h, w) float32 in [0, 1], 0 up to the map's value `cutoff`, 1 at full heat; all 0 where
    there is no evidence. `title` is the label, or in words what else the map shows. `cutoff` is 0 unless
    a threshold was asked for.
    """

    index: int
    label: str
    title: str
    score: float
    cam: np.ndarray
    heatmap: np.ndarray
    cutoff: float = 0.0

    @property
    def has_evidence(self) -> bool:
        """Whether there is anything to be shown."""
        return bool(self.heatmap.any())


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why the model said what it said of one frame: a map for each class that was asked for, in that order.

    `index`, `label`, `score`, `cam` and `heatmap` are those of the first. `region` is the part of the upright picture
    that the maps cover. `predictions` are the model's best classes, best first, whichever are explained.
    `runner_up` is the map of the next best class, which is not shown, if it was asked for.
    `explained_seconds` is when the maps were ready, on the clock of `time.perf_counter`.

    `age_frames` is 0 where the model saw this very frame. Else all is of the frame so many earlier, `age_seconds` by
    their times (None where they have none), and the maps are carried along by optical flow (`livecam.explain.motion`).
    """

    classes: tuple[ClassMap, ...]
    predictions: tuple[Prediction, ...]
    runner_up: ClassMap | None = None
    region: Region = Region()
    frame_index: int = 0
    age_frames: int = 0
    age_seconds: float | None = 0.0
    explained_seconds: float = field(default_factory=time.perf_counter)

    @property
    def index(self) -> int:
        """The number of the class."""
        return self.classes[0].index

    @property
    def label(self) -> str:
        """The name of the class."""
        return self.classes[0].label

    @property
    def score(self) -> float:
        """The probability of the class, 0..1."""
        return self.classes[0].score

    @property
    def cam(self) -> np.ndarray:
        """The signed map, (h, w) float32, not scaled."""
        return self.classes[0].cam

    @property
    def heatmap(self) -> np.ndarray:
        """What is shown of the map, (h, w) float32 in [0, 1]."""
        return self.classes[0].heatmap

    @property
    def peak(self) -> tuple[float, float] | None:
        """(x, y) of the strongest evidence in fractions of the upright picture; None where there is no evidence."""
        return self.peak_of(self.classes[0])

    def peak_of(self, one: ClassMap) -> tuple[float, float] | None:
        """The same of any of `classes`."""
        if not one.has_evidence:
            return None
        rows, columns = one.heatmap.shape
        row, column = np.unravel_index(int(one.heatmap.argmax()), one.heatmap.shape)
        left, top, right, bottom = self.region
        x = left + (right - left) * (float(column) + 0.5) / columns
        y = top + (bottom - top) * (float(row) + 0.5) / rows
        return min(max(x, 0.0), 1.0), min(max(y, 0.0), 1.0)

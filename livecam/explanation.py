"""The explanation of one frame: pure data."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from livecam.picture.media import Region
from livecam.text import number

_UNLIKELY = 0.01
"""The probability below which a class is unlikely. By chance each of 1,000 classes has 0.001."""
_UNLIKELY_GROUP = 0.1
"""The probability below which a group is unlikely: it is higher, since the chances of many classes add up."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """One class of a prediction; the score is a probability in 0..1, or a number as in `Explanation.unit`."""

    index: int
    label: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """An object that a model detected.

    Attributes:
        left, top, right, bottom: The edges in fractions of the upright picture.
        index: The number of the class.
        label: Its name.
        score: The probability, 0..1.
    """

    left: float
    top: float
    right: float
    bottom: float
    index: int
    label: str
    score: float

    def overlap(self, other: Box) -> float:
        """Return the intersection over union with another box, 0..1."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        common = max(width, 0.0) * max(height, 0.0)
        return common / (self.area + other.area - common) if common else 0.0

    @property
    def area(self) -> float:
        """The share of the picture that the box takes."""
        return (self.right - self.left) * (self.bottom - self.top)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassMap:
    """The evidence for one class, or for a group of classes.

    Attributes:
        index: The number of the class. A group has a number that no class has. None if any box was asked for, and the
            model found none.
        label: Its name.
        mask: The pixels of the class, (h, w) bool over the region of the explanation; None unless the model tells them.
        boxes: The boxes that are explained; none unless the model detects objects.
        members: The numbers of the classes in a group; empty for a class.
        title: A description of what the map shows: the label, what it is contrasted with, if anything, and the method
            and the layer where these are not the usual ones.
        score: The probability of the class, 0..1, or a number as in `Explanation.unit`. For a group, the sum of its
            members' probabilities if classes exclude each other (softmax); else that of its highest member.
        cam: The signed map of the upright picture on the target layer's own grid, (h, w) float32, not scaled.
        heatmap: The heat of the map, (h, w) float32 in [0, 1]: 1 is full heat. It is all 0 if there is no
            evidence, and before heat is made of the map (`livecam.explain.heat`).
        cutoff: The value of the map up to which the heat is 0; it is 0 unless a threshold was asked for.
        full: The value of the map from which on the heat is 1; it is not above the cutoff if there is no evidence.
    """

    index: int | None
    label: str
    title: str
    score: float
    cam: np.ndarray
    heatmap: np.ndarray
    cutoff: float = 0.0
    full: float = 0.0
    members: tuple[int, ...] = ()
    mask: np.ndarray | None = None
    boxes: tuple[Box, ...] = ()

    @property
    def has_evidence(self) -> bool:
        """True if any cell of the heatmap is above 0."""
        return bool(self.heatmap.any())


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The explanation of one frame: the evidence for the classes, and the prediction.

    `index`, `label`, `score`, `cam` and `heatmap` are those of the first of the classes.

    Attributes:
        classes: A map for each class that was asked for, in that order.
        predictions: The model's best classes, the best first, explained or not.
        runner_up: The map of the next best class, which is not shown; None unless it was asked for.
        boxes: All boxes that the model detected, the most probable first.
        detects: True if the model detects objects: without `boxes` it found nothing.
        unit: None if the scores are probabilities. Otherwise they are the model's own numbers in this unit, such as
            "years"; it may be empty.
        are_shares: True if the scores are not probabilities but the shares of the picture, 0..1, that the pixels of a
            class take.
        point: The (x, y) that the user chose, in fractions of the upright picture; the scores are those there. It moves
            along with the picture as the maps do.
        region: The part of the upright picture that the maps cover.
        frame_index: The index of the frame.
        clip_frames: The indices of the first and the last frame of the clip that the model saw; None if it saw a
            picture alone.
        cell_frames: Those of the first and the last frame that the maps are of, which show one time cell of the clip.
        age_frames: 0 if the model saw this frame. Otherwise everything comes from the frame this many earlier, and the
            maps were moved along with the picture by optical flow (`livecam.explain.motion`).
        age_seconds: The age in seconds, by the frames' timestamps; None if they have none.
        explained_seconds: When the maps were ready, on the clock of `time.perf_counter`.
    """

    classes: tuple[ClassMap, ...]
    predictions: tuple[Prediction, ...]
    runner_up: ClassMap | None = None
    boxes: tuple[Box, ...] = ()
    detects: bool = False
    unit: str | None = None
    are_shares: bool = False
    point: tuple[float, float] | None = None
    region: Region = Region()
    frame_index: int = 0
    clip_frames: tuple[int, int] | None = None
    cell_frames: tuple[int, int] | None = None
    age_frames: int = 0
    age_seconds: float | None = 0.0
    explained_seconds: float = field(default_factory=time.perf_counter)

    @property
    def index(self) -> int | None:
        """The number of the class, as in `ClassMap`."""
        return self.classes[0].index

    @property
    def label(self) -> str:
        """The name of the class."""
        return self.classes[0].label

    @property
    def score(self) -> float:
        """The probability of the class, 0..1, or a number as in `unit`."""
        return self.classes[0].score

    def described(self, score: float) -> str:
        """Return a score as text: "87%", "<1%", "12% of the picture", or a number with its unit, "58.2 years"."""
        if self.unit is not None:
            return f"{number(score)} {self.unit}".rstrip()
        if self.are_shares and not score:
            return "not in the picture"
        is_small = score < _UNLIKELY and not (self.detects and not score)  # 0 if there is no box
        percent = f"<{_UNLIKELY:.0%}" if is_small else f"{score:.0%}"
        return f"{percent} of the picture" if self.are_shares else percent

    @property
    def span(self) -> str:
        """Which frames the maps are of, as text: "frames 8-15 of clip 0-15"; empty if the model saw a single frame."""
        if self.clip_frames is None or self.cell_frames is None:
            return ""
        (first, last), (begin, end) = self.clip_frames, self.cell_frames
        return f"frames {begin}-{end} of clip {first}-{last}"

    def is_unlikely(self, one: ClassMap) -> bool:
        """Return True if one of `classes` has a probability below 1 %, or a group of classes one below 10 %.

        Its heat then shows where the model looks for it, not that it is there.
        """
        are_probabilities = self.unit is None and not self.are_shares and not self.detects
        return are_probabilities and one.score < (_UNLIKELY_GROUP if one.members else _UNLIKELY)

    @property
    def cam(self) -> np.ndarray:
        """The signed map, (h, w) float32, not scaled."""
        return self.classes[0].cam

    @property
    def heatmap(self) -> np.ndarray:
        """The heat of the map, (h, w) float32 in [0, 1]."""
        return self.classes[0].heatmap

    @property
    def peak(self) -> tuple[float, float] | None:
        """The (x, y) of the strongest evidence in fractions of the upright picture; None if there is no evidence."""
        return self.peak_of(self.classes[0])

    def peak_of(self, one: ClassMap) -> tuple[float, float] | None:
        """Return the peak of one of `classes`; `peak` is that of the first."""
        if not one.has_evidence:
            return None
        rows, columns = one.heatmap.shape
        row, column = np.unravel_index(int(one.heatmap.argmax()), one.heatmap.shape)
        left, top, right, bottom = self.region
        x = left + (right - left) * (float(column) + 0.5) / columns
        y = top + (bottom - top) * (float(row) + 0.5) / rows
        return min(max(x, 0.0), 1.0), min(max(y, 0.0), 1.0)

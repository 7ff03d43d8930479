"""Heat, the part of a signed map that is shown: computed for each map alone, or steadily over a video's frames."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from livecam.errors import OptionError
from livecam.explain.motion import Motion, MotionFinder
from livecam.explanation import ClassMap, Explanation
from livecam.names import LARGEST_BLUR_CELLS
from livecam.picture.frame import Frame


@dataclass(frozen=True)
class HeatOptions:
    """How a map becomes heat in [0, 1].

    Args:
        threshold: What replaces the zero of the ReLU. A number from -1 to below 1 is a fraction of full heat: 0.3 hides
            what is weaker than that, -0.3 shows weak evidence against the class as well. "auto" is Otsu's split of the
            evidence into weak and strong (Otsu, "A Threshold Selection Method from Gray-Level Histograms", 1979).
            "min" is the lowest value of the map: min-max scaling.
        smooth: Standard deviation of a Gaussian blur, in cells of the map.
        scale: Map value drawn as full heat. "auto" is the map's maximum, or in a steady video (`Steadiness`) the
            recent maximum.

    Raises:
        LivecamError: An option is out of its range.
    """

    threshold: float | str = 0.0
    smooth: float = 0.0
    scale: float | str = "auto"

    def __post_init__(self) -> None:
        if self.threshold not in ("auto", "min") and not _lies_in(self.threshold, -1, 1):
            raise OptionError(f"threshold is auto, min, or a number from -1 to below 1, not {self.threshold!r}")
        if not 0 <= self.smooth <= LARGEST_BLUR_CELLS:
            raise OptionError(f"smooth is a number of cells from 0 to {LARGEST_BLUR_CELLS}, not {self.smooth!r}")
        if self.scale != "auto" and not (_lies_in(self.scale, 0, math.inf) and self.scale):
            raise OptionError(f"scale is auto or a number above 0, not {self.scale!r}")


class Heated(NamedTuple):
    """The heat of a signed map, (h, w) float32 in [0, 1], and the values of the map that are heat 0 and full heat."""

    heatmap: np.ndarray
    cutoff: float
    full: float


class Heat:
    """Converts maps to heat, each independently of the others."""

    def __init__(self, options: HeatOptions) -> None:
        self._options = options

    def of_explanation(self, explanation: Explanation) -> Explanation:
        """Return the explanation with its heatmaps computed."""
        return dataclasses.replace(
            explanation,
            classes=tuple(map(self._of_class, explanation.classes)),
            runner_up=explanation.runner_up and self._of_class(explanation.runner_up),
        )

    def _of_class(self, one: ClassMap) -> ClassMap:
        return dataclasses.replace(one, **self(one.cam)._asdict())

    def __call__(self, cam: np.ndarray) -> Heated:
        """Return the heat of a signed map, (h, w) float32, or of the time cells of a clip, (t, h, w), on one scale."""
        cam = self.smoothed(cam)
        return self.scaled(cam, float(cam.max()))

    def smoothed(self, cam: np.ndarray) -> np.ndarray:
        """Return the map, blurred if `smooth` is set."""
        if not self._options.smooth:
            return cam
        if cam.ndim == 3:
            return np.stack([self.smoothed(cell) for cell in cam])
        return cv2.GaussianBlur(cam, (0, 0), self._options.smooth, borderType=cv2.BORDER_REPLICATE)

    def scaled(self, cam: np.ndarray, strongest: float) -> Heated:
        """Return the heat of a smoothed map; full heat is `strongest` unless `scale` is a number."""
        full = strongest if self._options.scale == "auto" else float(self._options.scale)
        cutoff = self._cutoff(cam, full)
        if full <= (cutoff if self._options.threshold == "min" else max(cutoff, 0)):
            return Heated(np.zeros_like(cam), cutoff, full)
        return Heated(np.clip((cam - cutoff) / (full - cutoff), 0, 1), cutoff, full)

    def _cutoff(self, cam: np.ndarray, full: float) -> float:
        threshold = self._options.threshold
        if threshold == "auto":
            return _otsu(np.clip(cam, 0, max(full, 0)))
        if threshold == "min":
            lowest = float(cam.min())
            # A map that is above a given scale everywhere is full heat everywhere.
            return lowest if lowest < full or self._options.scale == "auto" else 0.0
        return float(threshold) * max(full, 0.0)


def _otsu(evidence: np.ndarray) -> float:
    """Return Otsu's threshold of a map (all values >= 0): the split with the least variance within both parts."""
    peak = float(evidence.max())
    if peak <= 0:
        return 0.0
    levels = np.round(evidence / peak * 255).astype(np.uint8)
    level, _ = cv2.threshold(levels.reshape(-1, levels.shape[-1]), 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return (level + 0.5) / 255 * peak  # values that round to the level count as weak


def _lies_in(value: object, least: float, end: float) -> bool:
    """Return True if the value is a number with least <= value < end."""
    return isinstance(value, int | float) and least <= value < end


_HALF_LIFE_SECONDS = 2.0
"""The time in which full heat falls by half, after the evidence that set it has disappeared."""
_MEMORY_SECONDS = 0.3
"""The time constant of the mean of heat, which is the delay of slow changes."""
_LARGEST_ERROR = 0.3
"""How far the heat shown may be from the frame's own, as a fraction of its Euclidean length; their cosine is then at
least 0.95. A larger change is shown at once."""
_SAME_OBJECT = 0.3
"""The intersection over union above which the boxes of two frames are of one object."""
_MARGIN = 0.2
"""A class takes the place of another when its score leads by this fraction of the larger one: when it is 1.25 times as
probable."""


class Steadiness:
    """Keeps the heat of one video's maps, and the classes shown, from flickering between frames.

    Scale: full heat is the recent maximum of the evidence for any of the classes: up at once, down by half in 2 s. It
    is never below the map's mean magnitude. Where the picture as a whole speaks more against a class than its strongest
    cell speaks for it, nothing lights up. This rule has no unit, so it works for any model, layer and method; but it
    never applies to maps that are positive everywhere, such as those of `gradcam++` and `fem`.

    Heat: an exponential mean over 0.3 s, the past moved along with the picture by optical flow. The past weighs less if
    the mean would differ from the frame's own heat by more than 0.3 of it, so that heat that appears or disappears
    suddenly does so on the screen as well. Only the scale is kept across a cut.

    Class: the classes shown so far stay, in the same order, until another is 1.25 times as probable. This needs
    explanations with a `runner_up`. What the model does not rank by its score, as the background of a picture, which
    comes last however large it is, keeps the model's order. The map is always this frame's map of the class that is
    named.

    For one run, in the order of the frames; not thread-safe.

    Args:
        options: The heat options of the explainer. Threshold, blur and a numeric scale mean the same as for single
            maps.
        finder: The motion finder of the source, which others that process the same frames may share.
    """

    def __init__(self, options: HeatOptions | None = None, finder: MotionFinder | None = None) -> None:
        self._heat = Heat(options or HeatOptions())
        self._finder = finder or MotionFinder()
        self._last: Frame | None = None
        self._strongest = 0.0
        self._shown: list[ClassMap] = []

    def __call__(self, frame: Frame, explanation: Explanation) -> Explanation:
        """Return the explanation to show for the next frame, with steady heat and without `runner_up`."""
        seconds, motion = self._since_last(frame)
        classes = _chosen(explanation, [one.index for one in self._shown])
        cams = [self._heat.smoothed(one.cam) for one in classes]
        faded = self._strongest * 0.5 ** (seconds / _HALF_LIFE_SECONDS)
        # The cells of a clip share a scale: a cell without evidence stays dark beside one that has it.
        self._strongest = max(faded, *map(_strength, cams), *(one.full for one in classes if explanation.clip_frames))
        steady = []
        for one, cam in zip(classes, cams, strict=True):
            heat, cutoff, full = self._heat.scaled(cam, self._strongest)
            before = next((each for each in self._shown if _goes_on(each, one)), None)
            if motion is not None and before is not None:
                past = np.clip(motion.moved(before.heatmap, explanation.region), 0, 1)
                heat = _mean(heat, past, math.exp(-seconds / _MEMORY_SECONDS))
            steady.append(dataclasses.replace(one, heatmap=heat, cutoff=cutoff, full=full))
        self._shown = steady
        return dataclasses.replace(explanation, classes=tuple(steady), runner_up=None)

    def _since_last(self, frame: Frame) -> tuple[float, Motion | None]:
        """Return the seconds and the motion since the last frame; no motion after a cut or for the first frame."""
        last, self._last = self._last, frame
        if last is None:
            return 0.0, None
        return _seconds_between(last, frame), self._finder.motion(last, frame)


def _chosen(explanation: Explanation, before: Sequence[int | None]) -> list[ClassMap]:
    """Return the classes to show: ordered as `before` (indices), except that a clearly better class moves up."""
    if explanation.runner_up is None:
        return list(explanation.classes)
    ranks = {index: rank for rank, index in enumerate(before)}
    chosen: list[ClassMap] = []
    found = (*explanation.classes, explanation.runner_up)  # the best first
    own_ranks = {one.index: rank for rank, one in enumerate(found)}
    for one in sorted(found, key=lambda one: ranks.get(one.index, len(ranks))):
        place = len(chosen)
        while place and own_ranks[one.index] < own_ranks[chosen[place - 1].index] and _leads(one, chosen[place - 1]):
            place -= 1
        chosen.insert(place, one)
    return chosen[: len(explanation.classes)]


def _goes_on(before: ClassMap, now: ClassMap) -> bool:
    """Return True for maps of one class, unless both are of boxes and none of these is of an object that both have."""
    if before.index != now.index:
        return False
    pairs = itertools.product(before.boxes, now.boxes)
    is_of_boxes = bool(before.boxes and now.boxes)
    return not is_of_boxes or any(
        one.index == other.index and one.overlap(other) > _SAME_OBJECT for one, other in pairs
    )


def _leads(one: ClassMap, other: ClassMap) -> bool:
    """Return True if a class that the model ranks before another is clearly better; scores may be negative.

    Where its score is lower, it is not ranked by that.
    """
    lead = one.score - other.score
    return lead < 0 or lead > _MARGIN * max(abs(one.score), abs(other.score))


def _strength(cam: np.ndarray) -> float:
    """Return the maximum of a signed map, or its mean magnitude if that is larger."""
    return max(float(cam.max()), float(np.abs(cam).mean()))


def _mean(heat: np.ndarray, past: np.ndarray, weight: float) -> np.ndarray:
    """Return the weighted mean of past and heat, with less weight for the past where it differs too much."""
    most, far = _LARGEST_ERROR * float(np.linalg.norm(heat)), float(np.linalg.norm(past - heat))
    weight = weight if weight * far <= most else most / far
    return heat + weight * (past - heat)


def _seconds_between(before: Frame, now: Frame) -> float:
    """Return the seconds between frames by their timestamps in the source, else by their times of arrival."""
    then, later = before.pts_seconds, now.pts_seconds
    if then is None or later is None:
        then, later = before.captured_seconds, now.captured_seconds
    return max(later - then, 0.0)

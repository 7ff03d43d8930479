"""Heatmaps that are steady in a video: a scale that does not jump, maps that do not flicker, a class that stays."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from livecam.explain.heat import Heat, HeatOptions
from livecam.explain.motion import Motion, MotionFinder, View
from livecam.frame import ClassMap, Explanation, Frame

_HALF_LIFE_SECONDS = 2.0
"""Of full heat, after what set it has gone."""
_MEMORY_SECONDS = 0.3
"""The time constant of the mean of maps: how late a slow change is shown."""
_LARGEST_ERROR = 0.3
"""Of the heat that is shown, as a fraction of the frame's own, both as Euclidean lengths; their cosine is then at least
0.95. What changes by more is shown at once."""
_MARGIN = 1.25
"""A class takes the place of another where it is so many times as probable."""


class Steadiness:
    """Makes steady what is shown of the frames of one video: their heat, and which class it is of.

    The scale: full heat is the strongest evidence of late, in any of the classes; up at once, down by half in 2 s. It
    is never below the map's mean magnitude: where the picture as a whole speaks more against a class than its strongest
    cell speaks for it, there is no evidence to light up. That is free of units, so it holds for any model, layer and
    method; but maps that are positive all over, such as those of `gradcam++` and `fem`, never say no.

    The heat: an exponential mean over 0.3 s, the past moved along with the picture by optical flow. The past weighs
    less as soon as the mean would differ from the frame's own heat by more than 0.3 of it: what changes suddenly is
    shown at once, what goes out is dark at once. Nothing is kept across a cut but the scale.

    The class: of the best ones those stay that were shown before, and in that order, until another is 1.25 times as
    probable. The explanations need a `runner_up` for it; the map is always that of the class named, in this frame.

    `options` are those of the explainer, whose signed maps stay as they are: a threshold, a blur and a scale that is a
    number mean the same here. For one run, in the order of the frames; not for several threads at once.
    """

    def __init__(self, options: HeatOptions | None = None) -> None:
        self._heat = Heat(options or HeatOptions())
        self._finder = MotionFinder()
        self._last: View | None = None
        self._strongest = 0.0
        self._shown: dict[int, np.ndarray] = {}

    def __call__(self, frame: Frame, explanation: Explanation) -> Explanation:
        """What is to be shown of the next frame; `runner_up` is used up."""
        seconds, motion = self._since_last(frame)
        classes = _chosen(explanation, list(self._shown))
        cams = [self._heat.smoothed(one.cam) for one in classes]
        faded = self._strongest * 0.5 ** (seconds / _HALF_LIFE_SECONDS)
        self._strongest = max(faded, *map(_strength, cams))
        steady = []
        for one, cam in zip(classes, cams, strict=True):
            heat, cutoff = self._heat.scaled(cam, self._strongest)
            if motion is not None and one.index in self._shown:
                past = np.clip(motion.moved(self._shown[one.index], explanation.region), 0, 1)
                heat = _mean(heat, past, math.exp(-seconds / _MEMORY_SECONDS))
            steady.append(dataclasses.replace(one, heatmap=heat, cutoff=cutoff))
        self._shown = {one.index: one.heatmap for one in steady}
        return dataclasses.replace(explanation, classes=tuple(steady), runner_up=None)

    def _since_last(self, frame: Frame) -> tuple[float, Motion | None]:
        """The time in seconds and the motion since the last frame; no motion across a cut, or from nothing."""
        last, self._last = self._last, self._finder.view(frame)
        if last is None:
            return 0.0, None
        return _seconds_between(last.frame, frame), self._finder.motion(last, self._last)


def _chosen(explanation: Explanation, before: Sequence[int]) -> list[ClassMap]:
    """The classes to show: as they were `before`, by index, but that one goes ahead of those that it clearly beats."""
    if explanation.runner_up is None:
        return list(explanation.classes)
    ranks = {index: rank for rank, index in enumerate(before)}
    chosen: list[ClassMap] = []
    for one in sorted((*explanation.classes, explanation.runner_up), key=lambda one: ranks.get(one.index, len(ranks))):
        place = len(chosen)
        while place and one.score > _MARGIN * chosen[place - 1].score:
            place -= 1
        chosen.insert(place, one)
    return chosen[: len(explanation.classes)]


def _strength(cam: np.ndarray) -> float:
    """The strongest evidence in a signed map, and at least its mean magnitude."""
    return max(float(cam.max()), float(np.abs(cam).mean()))


def _mean(heat: np.ndarray, past: np.ndarray, weight: float) -> np.ndarray:
    """Of both, the past having this weight, or so much less that the mean is not too far from the heat."""
    most, far = _LARGEST_ERROR * float(np.linalg.norm(heat)), float(np.linalg.norm(past - heat))
    weight = weight if weight * far <= most else most / far
    return heat + weight * (past - heat)


def _seconds_between(before: Frame, now: Frame) -> float:
    """By their times in the source, or else by when they arrived."""
    then, later = before.pts_seconds, now.pts_seconds
    if then is None or later is None:
        then, later = before.captured_seconds, now.captured_seconds
    return max(later - then, 0.0)

"""For the frames that the model has not seen: the last map, moved along with the picture, as long as it is fresh."""

from __future__ import annotations

import dataclasses

import numpy as np

from livecam.explain.motion import MotionFinder, aged, carried
from livecam.explanation import Explanation
from livecam.live.feed import Shown


class Follower:
    """Carries explanations along to later frames; maps older than `max_age_seconds` are hidden, as across a cut.

    Only for one source, and not for several threads at once.
    """

    def __init__(self, max_age_seconds: float, finder: MotionFinder) -> None:
        self._max_age_seconds = max_age_seconds
        self._finder = finder

    def __call__(self, shown: Shown) -> Explanation:
        """What is known of a frame from the explanation of an earlier one, or of itself; it tells its age."""
        frame = shown.frame
        if frame.index == shown.explained.index:
            return shown.explanation
        motion = self._finder.motion(shown.explained, frame)
        if motion is None:
            return _dark(aged(shown.explanation, shown.explained, frame))
        moved = carried(shown.explanation, motion, frame)
        is_fresh = moved.age_seconds is None or moved.age_seconds <= self._max_age_seconds
        return moved if is_fresh else _dark(moved)


def _dark(explanation: Explanation) -> Explanation:
    """The same without any heat."""
    classes = [dataclasses.replace(one, heatmap=np.zeros_like(one.heatmap)) for one in explanation.classes]
    return dataclasses.replace(explanation, classes=tuple(classes))

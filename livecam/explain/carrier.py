"""Less work where little changes: not every frame is explained, and those between get the last map, carried along."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from livecam.errors import LivecamError
from livecam.explain.motion import Motion, MotionFinder, View
from livecam.frame import ClassMap, Explanation, Frame
from livecam.media import Region


class Carrier:
    """Chooses the frames of a video that are explained, and carries their maps along to those between.

    Explained is each frame whose `index` is `every` or more after that of the last one explained, and the first after
    a cut. A map is always moved from where it was computed, by the motion between that frame and this: moved again
    from frame to frame it would blur.

    For one run; not for several threads at once. Raises LivecamError where `every` is no whole number from 1 on.
    """

    def __init__(self, every: int = 1) -> None:
        if not isinstance(every, int) or every < 1:
            raise LivecamError(f"every is a number of frames from 1 on, not {every!r}")
        self.every = every
        self._finder = MotionFinder()
        self._last: View | None = None
        self._explanation: Explanation | None = None

    def explanations(
        self, frames: Sequence[Frame], explain: Callable[[Sequence[Frame]], Sequence[Explanation]]
    ) -> Sequence[Explanation]:
        """One for each of the next frames, in their order; `explain` is called once, with those that are due.

        A carried explanation has the region, the classes and the scores of the one that it comes from, its maps `cam`
        and `heatmap` moved on their own grid, and its age.
        """
        if self.every == 1:
            return explain(frames)
        motions = [self._motion(frame) for frame in frames]
        explained = iter(explain([frame for frame, motion in zip(frames, motions, strict=True) if motion is None]))
        explanations = []
        for frame, motion in zip(frames, motions, strict=True):
            if motion is None:
                self._explanation = next(explained)
                explanations.append(self._explanation)
            else:
                assert self._explanation is not None  # nothing has moved since a frame that there was not
                explanations.append(carried(self._explanation, motion, frame))
        return explanations

    def _motion(self, frame: Frame) -> Motion | None:
        """Since the last frame that was due; None where this one is."""
        view = self._finder.view(frame)
        if self._last is not None and frame.index - self._last.frame.index < self.every:
            motion = self._finder.motion(self._last, view)
            if motion is not None:
                return motion
        self._last = view
        return None


def carried(explanation: Explanation, motion: Motion, frame: Frame) -> Explanation:
    """An explanation of the frame that the motion is since for this later one, its maps moved along."""
    return dataclasses.replace(
        aged(explanation, motion.since, frame),
        classes=tuple(_moved(one, motion, explanation.region) for one in explanation.classes),
        runner_up=explanation.runner_up and _moved(explanation.runner_up, motion, explanation.region),
    )


def aged(explanation: Explanation, since: Frame, frame: Frame) -> Explanation:
    """An explanation of an earlier frame for this one, its maps where they were."""
    then, now = since.pts_seconds, frame.pts_seconds
    return dataclasses.replace(
        explanation,
        frame_index=frame.index,
        age_frames=frame.index - since.index,
        age_seconds=None if then is None or now is None else now - then,
    )


def _moved(one: ClassMap, motion: Motion, region: Region) -> ClassMap:
    cam, heatmap = (motion.moved(cells, region) for cells in (one.cam, one.heatmap))
    return dataclasses.replace(one, cam=cam, heatmap=np.clip(heatmap, 0, 1))

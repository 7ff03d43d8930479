"""Optical flow between frames: finds motion and cuts, and moves maps along with the picture."""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import cv2
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from livecam.errors import LivecamError
from livecam.explanation import Box, ClassMap, Explanation
from livecam.picture.frame import Frame
from livecam.picture.media import Region
from livecam.system import cores

_LONGER_SIDE, _SHORTEST_SIDE = 160, 32  # OpenCV crashes at 160 x 31
"""Sides in pixels of the grey picture in which motion is found: many per map cell, searched in under a millisecond."""
_CUT = 0.5
"""The largest fraction of the contrast that motion may leave unexplained; more means a cut. Measured on the demo and a
filmed clip: up to 0.2 over five frames at 30 a second, 0.6 at four times the speed, 1.0 and more across cuts."""
_HALF = 0.5
"""The share of a moved pixel that a mask covers from which on the pixel belongs to it."""
_NOISE_LEVELS = 4
"""The minimum contrast assumed, in levels of 255, so that noise in a plain picture does not count as a cut."""


@dataclass(frozen=True)
class Motion:
    """The motion of a picture `since` an earlier frame.

    `flow`, (H, W, 2) float32, is the x, y offset from each pixel of a small upright picture to where it was then.
    """

    since: Frame
    flow: np.ndarray

    def origins(self, region: Region, columns: int, rows: int) -> np.ndarray:
        """Return the former position of the content of each map cell, (rows, columns, 2) float32 x, y in cells.

        `region` is the part of the upright picture that the map covers. Cells beyond the picture move like its edge.
        """
        height, width = self.flow.shape[:2]
        left, top, right, bottom = region
        cell = np.array([(right - left) * width / columns, (bottom - top) * height / rows], np.float32)
        cells = _grid(columns, rows)
        centres = np.array([left * width, top * height], np.float32) + (cells + 0.5) * cell - 0.5
        return cells + _sampled(self.flow, centres, cv2.INTER_LINEAR) / cell

    def moved(self, cells: np.ndarray, region: Region) -> np.ndarray:
        """Move a map (h, w) float32 of the earlier frame to this frame; clip a heatmap to 0..1 afterwards."""
        rows, columns = cells.shape
        # Linear interpolation dims a peak that comes to lie between cells, by up to a fifth: the heat would flicker.
        return _sampled(cells, self.origins(region, columns, rows), cv2.INTER_CUBIC)

    def moved_box(self, box: Box) -> Box:
        """Shift a box by the median motion of what is in it now and was in it in the earlier frame."""
        height, width = self.flow.shape[:2]
        then = self._then
        is_inside = ((then >= [box.left, box.top]) & (then <= [box.right, box.bottom])).all(axis=2)
        if not is_inside.any():
            return box
        x, y = (-np.median(self.flow[is_inside], axis=0) / [width, height]).tolist()
        left, top, right, bottom = np.clip([box.left + x, box.top + y, box.right + x, box.bottom + y], 0, 1).tolist()
        return dataclasses.replace(box, left=left, top=top, right=right, bottom=bottom)

    def moved_point(self, point: tuple[float, float]) -> tuple[float, float]:
        """Return where what was at a point of the earlier frame is now; of what left the picture, at its border."""
        height, width = self.flow.shape[:2]
        nearest = np.unravel_index(((self._then - point) ** 2).sum(axis=2).argmin(), (height, width))
        x, y = np.clip(point - self.flow[nearest] / [width, height], 0, 1).tolist()
        return x, y

    @functools.cached_property
    def _then(self) -> np.ndarray:
        """The x, y of where each pixel was in the earlier frame, in fractions of the picture, (H, W, 2) float32."""
        height, width = self.flow.shape[:2]
        return (_grid(width, height) + self.flow + 0.5) / np.array([width, height], np.float32)


class MotionFinder:
    """Finds the motion between frames of one source by dense inverse search at its fastest.

    Thread-safe. All users of the same frames should share one finder, so that each frame is scaled once and each pair
    of frames is searched once. Results are cached for as long as the frames exist.

    Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016.
    """

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._greys: WeakKeyDictionary[Frame, np.ndarray] = WeakKeyDictionary()
        self._flows: WeakKeyDictionary[Frame, WeakKeyDictionary[Frame, np.ndarray | None]] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def motion(self, since: Frame, now: Frame) -> Motion | None:
        """Return the motion from one frame to a later one; None if there is a cut between them, or one is mirrored."""
        if since.orientation != now.orientation:
            return None  # mirrored in between
        with self._lock:
            flows = self._flows.setdefault(now, WeakKeyDictionary())
            if since not in flows:
                flows[since] = self._flow(self._grey(since), self._grey(now))
            flow = flows[since]
        return None if flow is None else Motion(since, flow)

    def _flow(self, since: np.ndarray, now: np.ndarray) -> np.ndarray | None:
        flow = self._search.calc(now, since, None)  # type: ignore[call-overload]
        return None if _is_cut(since, now, flow) else flow

    def _grey(self, frame: Frame) -> np.ndarray:
        """Return the small upright grey picture in which motion is searched, (H, W) uint8."""
        if frame not in self._greys:
            scale = _LONGER_SIDE / max(frame.picture.width, frame.picture.height)
            width, height = (
                max(round(side * scale), _SHORTEST_SIDE) for side in (frame.picture.width, frame.picture.height)
            )
            small = self._reformatter.reformat(
                frame.picture, width, height, "gray", interpolation=Interpolation.FAST_BILINEAR, threads=cores.SCALER
            )
            self._greys[frame] = np.ascontiguousarray(frame.orientation.upright(small.to_ndarray()))
        return self._greys[frame]


def _is_cut(before: np.ndarray, now: np.ndarray, flow: np.ndarray) -> bool:
    """Return True if motion cannot explain the difference between two consecutive pictures (H, W) uint8."""
    height, width = now.shape
    unexplained = _distance(_sampled(before, _grid(width, height) + flow, cv2.INTER_LINEAR), now)
    contrast = _distance(now, np.full_like(now, round(now.mean())))
    return unexplained > _CUT * max(contrast, _NOISE_LEVELS)


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    """Return the mean absolute difference."""
    return cv2.norm(one, other, cv2.NORM_L1) / one.size


def _sampled(picture: np.ndarray, at: np.ndarray, interpolation: int) -> np.ndarray:
    """Sample a picture (H, W, ...) at x, y, (h, w, 2) float32, repeating its border; returns (h, w, ...)."""
    return cv2.remap(picture, at[:, :, 0], at[:, :, 1], interpolation, borderMode=cv2.BORDER_REPLICATE)


@functools.cache
def _grid(width: int, height: int) -> np.ndarray:
    """The x, y of each place of a grid, (height, width, 2) float32."""
    return np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=2).astype(np.float32)


class Carrier:
    """Chooses the frames of a video that are explained, and moves their maps along to the frames between.

    A frame is explained if it comes `every` or more frames after the last explained one, or first after a cut. A map is
    always moved in one step from the frame that it was computed for, because repeated steps would blur it.

    For one run; not thread-safe. Raises LivecamError if `every` is not a whole number of at least 1.
    """

    def __init__(self, every: int = 1, finder: MotionFinder | None = None) -> None:
        if not isinstance(every, int) or every < 1:
            raise LivecamError(f"every is a number of frames from 1 on, not {every!r}")
        self.every = every
        self._finder = finder or MotionFinder()
        self._last: Frame | None = None
        self._explanation: Explanation | None = None

    def explanations(
        self, frames: Sequence[Frame], explain: Callable[[Sequence[Frame]], Sequence[Explanation]]
    ) -> Sequence[Explanation]:
        """Return an explanation of each of the next frames; `explain` is called once, with the frames to explain.

        A carried explanation has the region, the classes and the scores of the one that it comes from, its maps `cam`
        and `heatmap`, its masks, boxes and point moved, and its age.
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
                assert self._explanation is not None  # before the first frame there is no motion
                explanations.append(carried(self._explanation, motion, frame))
        return explanations

    def _motion(self, frame: Frame) -> Motion | None:
        """Return the motion since the last explained frame; None if this frame is to be explained."""
        if self._last is not None and frame.index - self._last.index < self.every:
            motion = self._finder.motion(self._last, frame)
            if motion is not None:
                return motion
        self._last = frame
        return None


def carried(explanation: Explanation, motion: Motion, frame: Frame) -> Explanation:
    """Move an explanation along with `motion` from its own frame to this later one."""
    return dataclasses.replace(
        aged(explanation, motion.since, frame),
        point=explanation.point and motion.moved_point(explanation.point),
        boxes=tuple(map(motion.moved_box, explanation.boxes)),
        classes=tuple(_moved(one, motion, explanation.region) for one in explanation.classes),
        runner_up=explanation.runner_up and _moved(explanation.runner_up, motion, explanation.region),
    )


def aged(explanation: Explanation, since: Frame, frame: Frame) -> Explanation:
    """Return an explanation of an earlier frame as one for this frame, without moving its maps."""
    then, now = since.pts_seconds, frame.pts_seconds
    return dataclasses.replace(
        explanation,
        point=None,  # which is where it was in the earlier frame
        frame_index=frame.index,
        age_frames=frame.index - since.index,
        age_seconds=None if then is None or now is None else now - then,
    )


def _moved(one: ClassMap, motion: Motion, region: Region) -> ClassMap:
    cam = motion.moved(one.cam, region)
    heatmap = np.clip(motion.moved(one.heatmap, region), 0, 1) if one.has_evidence else one.heatmap
    mask = None if one.mask is None else motion.moved(one.mask.astype(np.float32), region) >= _HALF
    boxes = tuple(map(motion.moved_box, one.boxes))
    return dataclasses.replace(one, cam=cam, heatmap=heatmap, mask=mask, boxes=boxes)

"""How the picture moves from frame to frame, where it is cut, and where a map goes with it."""

from __future__ import annotations

import functools
from typing import NamedTuple

import cv2
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from livecam import threads
from livecam.frame import Frame
from livecam.media import Region

_LONGER_SIDE, _SHORTEST_SIDE = 160, 16
"""Pixels of the grey picture that motion is found in: many to each cell of a map, and a fraction of a millisecond."""
_CUT = 0.5
"""How much of the picture's contrast the motion may leave unexplained. Measured on the demo and on a filmed clip: up to
0.2 five frames on at 30 a second, 0.6 for what moves four times as fast, and from 1.0 on across cuts between clips."""
_NOISE_LEVELS = 4
"""A contrast below this, of 255, counts as so much: the noise of a picture without any is no cut."""


class Motion(NamedTuple):
    """How the picture has moved `since` an earlier frame.

    `flow` (H, W, 2) float32 tells for each pixel of a small upright picture how far away, in x and y, it was then.
    """

    since: Frame
    flow: np.ndarray

    def origins(self, region: Region, columns: int, rows: int) -> np.ndarray:
        """Where what each cell of a map shows was then, (rows, columns, 2) float32 x, y in cells of the map.

        `region` is the part of the upright picture that the map covers. Beyond the picture all moves as its edge does.
        """
        height, width = self.flow.shape[:2]
        left, top, right, bottom = region
        cell = np.array([(right - left) * width / columns, (bottom - top) * height / rows], np.float32)
        cells = _grid(columns, rows)
        centres = np.array([left * width, top * height], np.float32) + (cells + 0.5) * cell - 0.5
        return cells + _sampled(self.flow, centres, cv2.INTER_LINEAR) / cell

    def moved(self, cells: np.ndarray, region: Region) -> np.ndarray:
        """A map of then, (h, w) float32, as it lies now; a heatmap has to be cut off at 0 and 1 again."""
        rows, columns = cells.shape
        # Linear interpolation dims a peak that comes to lie between cells, by up to a fifth: the heat would flicker.
        return _sampled(cells, self.origins(region, columns, rows), cv2.INTER_CUBIC)


class View(NamedTuple):
    """A frame and what motion is found in: the upright picture, small, `grey` (H, W) uint8."""

    frame: Frame
    grey: np.ndarray


class MotionFinder:
    """Finds the motion between frames by dense inverse search at its fastest; not for several threads at once.

    Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016.
    """

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)

    def view(self, frame: Frame) -> View:
        """What `motion` needs of a frame."""
        scale = _LONGER_SIDE / max(frame.picture.width, frame.picture.height)
        width, height = (
            max(round(side * scale), _SHORTEST_SIDE) for side in (frame.picture.width, frame.picture.height)
        )
        small = self._reformatter.reformat(
            frame.picture, width, height, "gray", interpolation=Interpolation.FAST_BILINEAR, threads=threads.SCALER
        )
        return View(frame, np.ascontiguousarray(frame.orientation.upright(small.to_ndarray())))

    def motion(self, since: View, now: View) -> Motion | None:
        """From one frame to a later one; None where there is a cut between them, or one is mirrored."""
        if since.frame.orientation != now.frame.orientation:
            return None  # mirrored in between
        flow = self._search.calc(now.grey, since.grey, None)  # type: ignore[call-overload]
        return None if _is_cut(since.grey, now.grey, flow) else Motion(since.frame, flow)


def _is_cut(before: np.ndarray, now: np.ndarray, flow: np.ndarray) -> bool:
    """Whether a picture (H, W) uint8 is not the one before, moved, but another."""
    height, width = now.shape
    unexplained = _distance(_sampled(before, _grid(width, height) + flow, cv2.INTER_LINEAR), now)
    contrast = _distance(now, np.full_like(now, round(now.mean())))
    return unexplained > _CUT * max(contrast, _NOISE_LEVELS)


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    """The mean absolute difference."""
    return cv2.norm(one, other, cv2.NORM_L1) / one.size


def _sampled(picture: np.ndarray, at: np.ndarray, interpolation: int) -> np.ndarray:
    """(H, W, ...) -> (h, w, ...): what it is at x, y, (h, w, 2) float32; beyond its border as at its border."""
    return cv2.remap(picture, at[:, :, 0], at[:, :, 1], interpolation, borderMode=cv2.BORDER_REPLICATE)


@functools.cache
def _grid(width: int, height: int) -> np.ndarray:
    """(height, width, 2) float32: x, y of each place itself."""
    return np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=2).astype(np.float32)

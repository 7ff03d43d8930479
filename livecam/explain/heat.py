"""From the signed map to what is shown of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from livecam.choices import LARGEST_BLUR_CELLS
from livecam.errors import LivecamError


@dataclass(frozen=True)
class HeatOptions:
    """How a map becomes heat in [0, 1]. Raises LivecamError.

    `threshold` is what replaces the ReLU's zero: a fraction of full heat (0.3 hides what is weaker than that, -0.3
    shows weak evidence against as well), "auto" for Otsu's split of the evidence into weak and strong (Otsu, "A
    Threshold Selection Method from Gray-Level Histograms", 1979), or "min" for the lowest value, which is min-max
    scaling. `smooth` is the standard deviation of a Gaussian blur, in cells of the map. `scale` says which value is
    full heat: a number in units of the map, or "auto" for each map's own maximum, and in a steady video
    (`livecam.explain.steady`) for the strongest evidence of late.
    """

    threshold: float | str = 0.0
    smooth: float = 0.0
    scale: float | str = "auto"

    def __post_init__(self) -> None:
        if self.threshold not in ("auto", "min") and not _lies_in(self.threshold, -1, 1):
            raise LivecamError(f"threshold is auto, min, or a number from -1 to below 1, not {self.threshold!r}")
        if not 0 <= self.smooth <= LARGEST_BLUR_CELLS:
            raise LivecamError(f"smooth is a number of cells from 0 to {LARGEST_BLUR_CELLS}, not {self.smooth!r}")
        if self.scale != "auto" and not (_lies_in(self.scale, 0, math.inf) and self.scale):
            raise LivecamError(f"scale is auto or a number above 0, not {self.scale!r}")


class Heat:
    """Makes heat of maps."""

    def __init__(self, options: HeatOptions) -> None:
        self._options = options

    def __call__(self, cam: np.ndarray) -> tuple[np.ndarray, float]:
        """A signed (h, w) float32 map by itself -> (heat, (h, w) float32 in [0, 1]; the value that became 0)."""
        cam = self.smoothed(cam)
        return self.scaled(cam, float(cam.max()))

    def smoothed(self, cam: np.ndarray) -> np.ndarray:
        """The map blurred, if that was asked for."""
        if not self._options.smooth:
            return cam
        return cv2.GaussianBlur(cam, (0, 0), self._options.smooth, borderType=cv2.BORDER_REPLICATE)

    def scaled(self, cam: np.ndarray, strongest: float) -> tuple[np.ndarray, float]:
        """The same of a smoothed map whose full heat is `strongest`, unless it was asked to be another value."""
        full = strongest if self._options.scale == "auto" else float(self._options.scale)
        cutoff = self._cutoff(cam, full)
        if full <= (cutoff if self._options.threshold == "min" else max(cutoff, 0)):
            return np.zeros_like(cam), cutoff
        return np.clip((cam - cutoff) / (full - cutoff), 0, 1), cutoff

    def _cutoff(self, cam: np.ndarray, full: float) -> float:
        threshold = self._options.threshold
        if threshold == "auto":
            return _otsu(np.maximum(cam, 0))
        if threshold == "min":
            return float(cam.min())
        return float(threshold) * max(full, 0.0)


def _otsu(evidence: np.ndarray) -> float:
    """The value that splits a map of evidence, all 0 or above, into weak and strong with the least spread inside."""
    peak = float(evidence.max())
    if peak <= 0:
        return 0.0
    levels = np.round(evidence / peak * 255).astype(np.uint8)
    level, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return (level + 0.5) / 255 * peak  # what rounds to the level is still weak


def _lies_in(value: object, least: float, end: float) -> bool:
    """Whether it is a number from `least` to below `end`."""
    return isinstance(value, int | float) and least <= value < end

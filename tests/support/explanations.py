"""Explanations made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from livecam.explain.heat import Heat, HeatOptions
from livecam.explanation import ClassMap, Explanation, Prediction
from livecam.picture.media import Region


def explanation_of(
    *cams: np.ndarray, labels: Sequence[str] = ("cat", "dog", "bird"), region: Region | None = None, **heat: Any
) -> Explanation:
    """Of maps, (h, w) float32, one for each class; `heat` as in HeatOptions."""
    make = Heat(HeatOptions(**heat))
    classes = []
    for index, (cam, label) in enumerate(zip(cams, labels, strict=False)):
        classes.append(ClassMap(index=index, label=label, title=label, score=0.87, cam=cam, **make(cam)._asdict()))
    predictions = tuple(Prediction(one.index, one.label, one.score) for one in classes)
    return Explanation(classes=tuple(classes), predictions=predictions, region=region or Region())


def spot(row: int, column: int) -> np.ndarray:
    """Return a map, (6, 8) float32, with evidence in one cell and against it everywhere else."""
    cam = np.full((6, 8), -1.0, np.float32)
    cam[row, column] = 2
    return cam

"""The preprocessing of torchvision's models of videos, which take clips of several frames."""

from __future__ import annotations

import re
from typing import Any

from livecam.models.classifier import Preprocessing

_LONGEST = 32
_SHORT = 16
"""The frames of a clip for weights that were measured on longer clips, whole videos, which would take a minute each."""


def preprocessing_of_clips(weights: Any) -> Preprocessing:
    """Return the preprocessing for weights of torchvision, with the clips on which their accuracy was measured."""
    transforms = weights.transforms()
    resize = tuple(transforms.resize_size)
    frames = int(_measured_with("clip_len", weights))
    return Preprocessing(
        size=(transforms.crop_size[0], transforms.crop_size[1]),
        resize=resize[0] if len(resize) == 1 else (resize[0], resize[1]),
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
        interpolation=transforms.interpolation.value,
        frames=frames if frames <= _LONGEST else _SHORT,
        frames_per_second=_measured_with("frame_rate", weights),
    )


def _measured_with(parameter: str, weights: Any) -> float:
    """Return a parameter of the measurement, which only the documentation of the weights tells."""
    found = re.search(rf"`{parameter}=([\d.]+)`", weights.meta["_docs"])
    assert found is not None
    return float(found[1])

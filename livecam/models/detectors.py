"""Detectors: what a model has to return for its boxes to be explained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

_MULTIPLE = 32
"""The sides of inputs are multiples of it, as those of torchvision are."""
PYRAMID = "pyramid"
"""The layer of an adapted detector that is explained by default."""


class Detections(NamedTuple):
    """All candidates for boxes, from which the best are chosen; what the forward of a detector returns.

    Attributes:
        boxes: Left, top, right and bottom of each candidate in fractions of the input, (B, N, 4), or (B, N, classes, 4)
            if it has a box for each class.
        logits: The scores that are explained, (B, N, classes).
        scores: The probabilities 0..1 that are shown, and by which the best are chosen, (B, N, classes).
        overlap: The intersection over union above which a box suppresses a less probable one of its class; None if no
            box suppresses another.
        logits_at: Returns the logits of the candidates at these places of N, (B, K, classes) for (B, K) int64, with a
            gradient that costs less than that of all `logits`; None if there is no such shortcut.
    """

    boxes: Tensor
    logits: Tensor
    scores: Tensor
    overlap: float | None = None
    logits_at: Callable[[Tensor], Tensor] | None = None


def detections_in(output: Any, size: tuple[int, int]) -> Detections:
    """Return the detections in what a model returned.

    Args:
        output: `Detections`, or a mapping with "boxes", (B, N, 4) in pixels of the input, and for each of them the
            "scores" or "logits" of all classes, (B, N, classes), or both.
        size: (height, width) of the input.
    """
    if isinstance(output, Detections):
        return output
    boxes = output["boxes"]
    edges = boxes.new_tensor([size[1], size[0], size[1], size[0]])
    logits = output["logits"] if "logits" in output else output["scores"].logit(1e-6)
    scores = output["scores"] if "scores" in output else output["logits"].sigmoid()
    return Detections(boxes / edges, logits, scores)


def are_detections(output: Any) -> bool:
    """Return True for what `detections_in` reads."""
    if isinstance(output, Detections):
        return True
    names = set(output) if isinstance(output, Mapping) else set()
    return "boxes" in names and not names.isdisjoint(("scores", "logits"))


class Pyramid(nn.Module):
    """Passes the levels of a feature pyramid on to the heads, one call for each.

    All evidence of a level for its boxes comes through its call. The levels themselves are computed from one another.
    """

    def forward(self, level: Tensor) -> Tensor:
        """Return a view of the level, so that it is a place of its own in the autograd graph."""
        return level.view_as(level)


def wide_size(shortest: int, longest: int) -> tuple[int, int]:
    """Return the (height, width) of the input for pictures of 16:9, rounded up to multiples of 32.

    Args:
        shortest: The shorter side of pictures in pixels as far as the longer one allows it.
        longest: The most pixels of the longer side.
    """
    unit = min(shortest / 9, longest / 16)
    height, width = (math.ceil(int(side * unit) / _MULTIPLE) * _MULTIPLE for side in (9, 16))
    return height, width


def single(values: Tensor) -> Tensor:
    """Return values of half precision in single precision."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values

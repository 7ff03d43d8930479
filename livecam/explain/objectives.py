"""What is explained, as a scalar: from the logits of a picture to the score whose evidence is mapped."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

Objective = Callable[[Tensor, Tensor], Tensor]
"""Logits (B, classes) and the explained class of each picture (B,) -> scores (B,), differentiable."""

SIMILAR_CLASSES = 3


def class_score(logits: Tensor, target: Tensor) -> Tensor:
    """The logit y_c of the class."""
    return logits.gather(1, target[:, None])[:, 0]


def against_similar_classes(logits: Tensor, target: Tensor) -> Tensor:
    """sum_d p_d (y_c - y_d) / sum_d p_d over the three classes d whose logits are nearest to y_c, p the softmax.

    Zhang et al., "Finer-CAM: Spotting the Difference Reveals Finer Details for Visual Explanation", CVPR 2025; alpha 1.
    """
    own = class_score(logits, target)[:, None]
    distance = (logits - own).abs().scatter(1, target[:, None], -1)  # the class itself is nearest, whatever ties it
    count = min(SIMILAR_CLASSES, logits.shape[1] - 1)
    similar = logits.gather(1, distance.topk(count + 1, dim=1, largest=False).indices[:, 1:])
    # p_d / sum_d p_d is the softmax over these classes alone, which cannot vanish.
    return (similar.softmax(dim=1) * (own - similar)).sum(dim=1)


def contrasted(objective: Objective, against: int | None, negative: bool) -> Objective:
    """The objective less the logit of another class, or turned around to show what speaks against."""

    def score(logits: Tensor, target: Tensor) -> Tensor:
        value = objective(logits, target)
        if against is not None:
            value = value - logits[:, against]
        return -value if negative else value

    return score

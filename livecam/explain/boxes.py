"""The boxes that a detector finds: the best of its candidates, as rows of one tensor. Traceable operations only."""

from __future__ import annotations

import torch
from torch import Tensor

from livecam.explain.device import at_least_single
from livecam.models.detectors import Detections

MOST_BOXES = 100
"""The most boxes of a picture."""
_CANDIDATES = 400
"""How many of the most probable candidates may suppress one another: a good detector has some dozens for an object."""
_ROUNDS = 24
"""Rounds of suppression: enough for chains of so many boxes of which each suppresses the next."""


def found_boxes(found: Detections, confidence: float) -> Tensor:
    """Return the boxes of each picture, the most probable first, (B, N, 6 + classes), at least in float32.

    A row has the four edges, the score, which is 0 where there is no box, the class, and the logits of all classes,
    which alone have a gradient.

    Args:
        found: All candidates.
        confidence: The least score of a box.
    """
    scores = found.scores.detach()
    classes = scores.shape[2]
    # The best scores are among those of the places whose own best are highest, which are quickly found.
    likely = scores.amax(dim=2).topk(min(_CANDIDATES, scores.shape[1])).indices
    best = _rows(scores, likely).flatten(1).topk(min(_CANDIDATES, likely.shape[1] * classes))
    place, label = likely.gather(1, best.indices // classes), best.indices % classes
    boxes = _boxes(at_least_single(found.boxes.detach()), place, label)
    score = torch.where(best.values >= confidence, best.values, 0)
    if found.overlap is not None:
        score = torch.where(_is_kept(boxes, score, label, found.overlap), score, 0)
    most = score.topk(min(MOST_BOXES, score.shape[1]))
    places = place.gather(1, most.indices)
    logits_at = found.logits_at if torch.is_grad_enabled() else None
    logits = at_least_single(logits_at(places) if logits_at else _rows(found.logits, places))
    facts = _rows(boxes, most.indices), most.values[..., None], label.gather(1, most.indices)[..., None]
    return torch.cat([*(fact.to(logits.dtype) for fact in facts), logits], dim=2)


def _rows(values: Tensor, places: Tensor) -> Tensor:
    """Return the rows of values (B, N, C) at places (B, K): (B, K, C)."""
    return values.gather(1, places[..., None].expand(-1, -1, values.shape[2]))


def _boxes(boxes: Tensor, place: Tensor, label: Tensor) -> Tensor:
    """Return the boxes at places, (B, K), of (B, N, 4), or of (B, N, classes, 4) those of the labels (B, K)."""
    if boxes.ndim == 4:
        place = place * boxes.shape[2] + label
        boxes = boxes.flatten(1, 2)
    return _rows(boxes, place)


def _is_kept(boxes: Tensor, score: Tensor, label: Tensor, overlap: float) -> Tensor:
    """Return which boxes (B, K, 4), the most probable first, remain after greedy non-maximum suppression, (B, K).

    A box remains unless one that remains before it overlaps it. Rounds that assume the outcome of the last one for
    those before settle the boxes one after the other, those that nothing overlaps first.
    """
    corner = torch.maximum(boxes[:, :, None, :2], boxes[:, None, :, :2])
    opposite = torch.minimum(boxes[:, :, None, 2:], boxes[:, None, :, 2:])
    common = (opposite - corner).clamp_min(0).prod(dim=3)
    area = (boxes[..., 2:] - boxes[..., :2]).prod(dim=2)
    overlaps = common > overlap * (area[:, :, None] + area[:, None] - common)
    suppresses = (overlaps & (label[:, :, None] == label[:, None])).tril(-1).to(boxes.dtype)
    present = (score > 0).to(boxes.dtype)[..., None]
    kept = present
    for _ in range(_ROUNDS):
        kept = torch.where(suppresses @ kept > 0, 0, present)
    return kept[..., 0] > 0

"""Detectors: the boxes are torchvision's own, and their maps are the gradients of their logits."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from livecam import Explainer
from livecam.explain.boxes import found_boxes
from tests.support.detectors import KINDS, LABELS, SIZE, Tiny, example, picture, tiny


@pytest.mark.parametrize("kind", KINDS)
def test_the_boxes_are_those_of_torchvision(kind: str) -> None:
    model, classifier, confidence = tiny(kind)
    with torch.no_grad():
        (own,) = model([picture()])
        (rows,) = found_boxes(classifier.module(example()), confidence)
    rows = rows[rows[:, 4] > 0]
    edges = torch.tensor([SIZE[1], SIZE[0]] * 2)
    theirs = torch.cat([own["boxes"], own["scores"][:, None], own["labels"][:, None]], dim=1)
    ours = torch.cat([rows[:, :4] * edges, rows[:, 4:6]], dim=1)
    assert 5 < len(theirs) < 99  # of 99 candidates, so that some were suppressed
    torch.testing.assert_close(_sorted(ours), _sorted(theirs), rtol=1e-4, atol=1e-3)


def _sorted(rows: Tensor) -> Tensor:
    return rows[rows[:, 4].argsort(descending=True)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("target", ["cat", "box2"])
def test_maps_equal_an_evaluation_in_double_precision(kind: str, target: str) -> None:
    """Each level's gradient times its activation, spread to the finest, of the sum of the logits of the boxes."""
    made = tiny(kind)
    (mine,) = explainer(made, target=target).cam(example())
    module = copy.deepcopy(made.classifier.module).double()
    levels: list[Tensor] = []
    module.pyramid.register_forward_hook(lambda layer, inputs, output: levels.append(output.requires_grad_()))
    (boxes,) = found_boxes(module.requires_grad_(False)(example().double()), made.confidence)
    chosen = (boxes[:, 5] == LABELS.index("cat")) & (boxes[:, 4] > 0) if target == "cat" else torch.arange(100) == 1
    assert chosen.sum() > 1 or target == "box2"
    score = sum(row[6 + int(row[5])] for row in boxes[chosen])
    gradients = torch.autograd.grad(score, levels, materialize_grads=True)
    maps = [(level * gradient).sum(dim=1, keepdim=True) for level, gradient in zip(levels, gradients, strict=True)]
    spread = [functional.interpolate(each, (12, 16), mode="bilinear") * each.numel() / (12 * 16) for each in maps]
    reference = sum(spread)[0, 0]
    assert (mine - reference).abs().max() <= 1e-5 * reference.abs().max() > 0


@pytest.mark.parametrize("kind", ["retinanet", "ssd"])
def test_the_map_of_a_class_is_the_sum_of_those_of_its_boxes(kind: str) -> None:
    made = tiny(kind)
    one = explainer(made)
    boxes = one(numpy_picture()).boxes
    ranks = [rank for rank, box in enumerate(boxes, start=1) if box.label == "cat"]
    total, *parts = (one.cam(example(), target=each)[0] for each in ["cat", *(f"box{rank}" for rank in ranks)])
    assert len(parts) > 2
    torch.testing.assert_close(sum(parts), total, rtol=1e-4, atol=1e-5 * float(total.abs().max()))


def explainer(made: Tiny, **options: Any) -> Explainer:
    """Return an explainer of a torchvision detector itself."""
    return Explainer(made.model, labels=LABELS, confidence=made.confidence, **options)


def numpy_picture() -> np.ndarray:
    return (255 * picture().permute(1, 2, 0)).byte().numpy()

"""A segmenter and a detector that read the number in a picture, and tell it by a place and a class.

Of number n, the eighth of the picture from the top on that is n % 8 holds the mask or the box, and all evidence for it.
The class is that of n // 8 % 8.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from livecam.explanation import Explanation
from livecam.models.classifier import Classifier, Preprocessing
from livecam.models.detectors import Detections
from tests.support.clips import NUMBER_BITS

ROWS = 8
SIDE = 64
CLASSES = tuple(f"eight {number}" for number in range(8))
PREPROCESSING = Preprocessing(size=(SIDE, SIDE), resize=(SIDE, SIDE), mean=(0.0,) * 3, std=(1.0,) * 3)


class _Reader(nn.Module):
    """Reads numbers, and gives the evidence in the row that they tell."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.Conv2d(3, 1, ROWS, ROWS)
        nn.init.constant_(self.cells.weight, 0.01)
        nn.init.constant_(self.cells.bias, 1.0)

    def read(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the row and the class of each picture, (B,), and the evidence, which is above 0, (B,)."""
        blocks = functional.adaptive_avg_pool2d(images[:, :, -SIDE // 8 :], (1, NUMBER_BITS)).mean(dim=(1, 2))
        number = ((blocks > 0.5) * 2 ** torch.arange(NUMBER_BITS, device=images.device)).sum(dim=1)
        row, label = number % ROWS, number // ROWS % len(CLASSES)
        evidence = self.cells(images).mean(dim=(1, 3)).gather(1, row[:, None])[:, 0]
        return row, label, evidence


class Segmenter(_Reader):
    """Scores the classes and, as the last one, the background in every pixel."""

    def forward(self, images: Tensor) -> Tensor:
        row, label, evidence = self.read(images)
        in_row = (torch.arange(SIDE) * ROWS // SIDE == row[:, None]).float()[:, None, :, None]
        is_class = functional.one_hot(label, len(CLASSES) + 1)[:, :, None, None]
        scores = in_row * is_class * evidence[:, None, None, None] - 1
        scores = scores + functional.one_hot(torch.tensor(len(CLASSES)), len(CLASSES) + 1)[:, None, None]
        return scores.expand(-1, -1, -1, SIDE) * 4


class Detector(_Reader):
    """Finds one box."""

    def forward(self, images: Tensor) -> Detections:
        row, label, evidence = self.read(images)
        top = row / ROWS
        edges = torch.stack([torch.full_like(top, 0.25), top, torch.full_like(top, 0.75), top + 1 / ROWS], dim=1)
        is_class = functional.one_hot(label, len(CLASSES)).float()[:, None]
        return Detections(edges[:, None], is_class * evidence[:, None, None], 0.9 * is_class)


def segmenter() -> Classifier:
    """Return the model that segments."""
    labels = (*CLASSES, "background")
    return Classifier("segmenter", Segmenter(), labels, PREPROCESSING, task="masks", layer="cells")


def detector() -> Classifier:
    """Return the model that detects."""
    return Classifier("detector", Detector(), CLASSES, PREPROCESSING, task="boxes", layer="cells")


MODELS = {"masks": segmenter, "boxes": detector}


def check_is_of(number: int, explanation: Explanation, kind: str) -> None:
    """Assert that class, map, and mask or box tell a number."""
    row, (one,) = number % ROWS, explanation.classes
    assert one.label == CLASSES[number // ROWS % 8], number
    assert one.cam.max(axis=1).argmax() == one.heatmap.max(axis=1).argmax() == row, number
    if kind == "boxes":
        assert explanation.boxes == one.boxes, number
        (box,) = one.boxes
        assert (box.label, round(box.top * ROWS), round(box.bottom * ROWS)) == (one.label, row, row + 1), number
    else:
        assert one.mask is not None
        rows = one.mask.all(axis=1).nonzero()[0] * ROWS // SIDE
        assert set(rows.tolist()) == {row} and one.mask.mean() == 1 / ROWS, number

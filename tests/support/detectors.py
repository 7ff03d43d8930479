"""Tiny detectors of torchvision with random weights, and the least score with which they find some dozens of boxes."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS, FasterRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD

from livecam.models.classifier import Classifier
from livecam.models.torchvision_detectors import classifier_of

KINDS = ("retinanet", "fcos", "ssd", "fasterrcnn")
SIZE = (96, 128)
LABELS = ("background", "dog", "cat", "tennis ball")
_CANDIDATES = 100


class Levels(nn.Module):
    """A backbone with two levels, of 12 x 16 and 6 x 8 cells."""

    out_channels: Any = 32

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(nn.Conv2d(3, 8, 5, 4, 2), nn.ReLU(), nn.Conv2d(8, 32, 3, 2, 1))
        self.coarse = nn.Conv2d(32, 32, 3, 2, 1)

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        """Return both levels."""
        fine = self.fine(images)
        return OrderedDict([("0", fine), ("1", self.coarse(fine.relu()))])


class Tiny(NamedTuple):
    """A detector of torchvision, the same for livecam, and the least score of a box for both."""

    model: Any
    classifier: Classifier
    confidence: float


def tiny(kind: str) -> Tiny:
    """Return a detector, one of `KINDS`, for inputs of `SIZE`."""
    torch.manual_seed(3)
    model = _made(kind, image_mean=[0.5] * 3, image_std=[0.25] * 3).eval()
    for name, weight in model.named_parameters():
        if name.endswith("bbox_reg.bias"):
            nn.init.constant_(weight, 0.8)  # of FCOS, whose boxes are small otherwise
        if weight.ndim > 1 and "backbone" not in name:
            nn.init.kaiming_normal_(weight, nonlinearity="relu")
    classifier = classifier_of(kind, model, LABELS)
    with torch.no_grad():
        scores = classifier.module(example()).scores
    confidence = float(scores.flatten().topk(_CANDIDATES).values[-2:].mean())  # torchvision takes what is above it
    (model.roi_heads if kind == "fasterrcnn" else model).score_thresh = confidence
    return Tiny(model, replace(classifier, confidence=confidence), confidence)


def picture() -> Tensor:
    """Return a picture in 0..1, (3, h, w)."""
    return torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(0)).mul(255).byte() / 255


def example() -> Tensor:
    """Return the picture as an input, (1, 3, h, w)."""
    return (picture()[None] - 0.5) / 0.25


def _made(kind: str, **colours: Any) -> Any:
    classes, backbone = len(LABELS), Levels()
    scale = {"min_size": SIZE[0], "max_size": SIZE[1], **colours}
    anchors = AnchorGenerator(((28,), (56,)), ((0.5, 2.0),) * 2)
    if kind == "retinanet":
        return RetinaNet(backbone, classes, anchor_generator=anchors, **scale)
    if kind == "fcos":
        return FCOS(backbone, classes, anchor_generator=AnchorGenerator(((28,), (56,)), ((1.0,),) * 2), **scale)
    if kind == "fasterrcnn":
        return FasterRCNN(backbone, classes, rpn_anchor_generator=anchors, **scale)
    backbone.out_channels = [32, 32]
    return SSD(backbone, DefaultBoxGenerator([[2], [2]], scales=[0.3, 0.5, 0.7]), SIZE[::-1], classes, **colours)

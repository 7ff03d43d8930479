"""A small classifier of eight solid shapes that is easy to explain: each logit is pooled from an evidence map.

It is fully convolutional. The last spatial layer gives each class a map of evidence, and log-mean-exp pooling turns
each map into one logit, so that Grad-CAM on that layer is the class's own evidence map, up to a constant factor. The
weights come from ``python -m livecam.models.shapes.train``, which learns from ``livecam.scene``.
"""

from __future__ import annotations

from math import log
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from livecam.models.classifier import Classifier, Preprocessing
from livecam.models.default import IMAGENET, has_imagenet
from livecam.models.default import SHAPES as SHAPES_MODEL
from livecam.models.weights.untrained import untrained
from livecam.scene import SHAPES

NAME = SHAPES_MODEL
ADAPTS: tuple[str, ...] = ()
LABELS: tuple[str, ...] = SHAPES
"""Class names in the order of the logits."""
INPUT_SIZE: tuple[int, int] = (160, 160)
"""Height and width that the model was trained at; any multiples of ``STRIDE`` work."""
STRIDE = 8
"""Input pixels per cell of the evidence map, on each axis."""
MEAN: tuple[float, float, float] = (0.5, 0.5, 0.5)
"""Subtracted from RGB in [0, 1]."""
STD: tuple[float, float, float] = (0.25, 0.25, 0.25)
"""Divides RGB after `MEAN` has been subtracted."""

WEIGHTS = Path(__file__).with_name("shapes.pt")


def recognises(name: str) -> bool:
    """Return True for the name of this model."""
    return name == NAME


def load(name: str = NAME) -> Classifier:
    """Return the trained classifier, in evaluation mode."""
    model = ShapesNet()
    model.load_state_dict(torch.load(WEIGHTS, map_location="cpu", weights_only=True))
    return _classifier(model.eval())


def build(name: str = NAME) -> Classifier:
    """Return the classifier with random weights, the same each time."""
    return _classifier(untrained(ShapesNet))


def _classifier(model: nn.Module) -> Classifier:
    preprocessing = Preprocessing(size=INPUT_SIZE, resize=min(INPUT_SIZE), mean=MEAN, std=STD)
    return Classifier(NAME, model, LABELS, preprocessing, scores="sigmoid", limits=_limits())


def _limits() -> str:
    install = "" if has_imagenet() else " (pip install 'livecam[imagenet]')"
    return (
        f"{NAME} knows {len(LABELS)} shapes only, those of demo: ({', '.join(LABELS)}); "
        f"for anything else take another model, such as {IMAGENET}{install}"
    )


class LogMeanExp(nn.Module):
    """A smooth maximum over the picture: Pinheiro & Collobert, "From image-level to pixel-level labeling" (2015)."""

    def forward(self, evidence: Tensor) -> Tensor:
        """``(B, K, h, w)`` evidence to ``(B, K)`` logits."""
        return evidence.flatten(2).logsumexp(2) - log(evidence.shape[2] * evidence.shape[3])


class Residual(nn.Module):
    """A residual block of two 3x3 convolutions; dilation of the first enlarges the receptive field."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *convolution(channels, channels, dilation=dilation),
            *convolution(channels, channels)[:2],
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, h, w)`` to a tensor of the same shape."""
        return torch.relu(x + self.body(x))


class ShapesNet(nn.Module):
    """``(B, 3, H, W)`` normalised float RGB to ``(B, K)`` logits, one for each of ``LABELS``, each for a sigmoid.

    ``evidence`` is the last spatial layer: ``(B, K, H / STRIDE, W / STRIDE)``, positive where a class is seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *convolution(3, 16, stride=2),
            *convolution(16, 32, stride=2),
            Residual(32, dilation=1),
            *convolution(32, 64, stride=2),
            Residual(64, dilation=2),
            Residual(64, dilation=4),
            Residual(64, dilation=2),
        )
        self.evidence = nn.Conv2d(64, len(LABELS), 1)
        nn.init.constant_(cast(Tensor, self.evidence.bias), -4.0)  # initially negative, as most cells see no shape
        self.pool = LogMeanExp()

    def forward(self, x: Tensor) -> Tensor:
        """``(B, 3, H, W)`` normalised float RGB to ``(B, K)`` logits."""
        logits: Tensor = self.pool(self.evidence(self.features(x)))
        return logits


def convolution(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> list[nn.Module]:
    """A padded 3x3 convolution, normalised and rectified."""
    convolve = nn.Conv2d(inputs, outputs, 3, stride, padding=dilation, dilation=dilation, bias=False)
    return [convolve, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]

"""A small classifier of eight solid shapes, made to be explained: its evidence is a map before it is a number.

It is fully convolutional. The last spatial layer gives each class a map of evidence, and log-mean-exp pooling turns
each map into one logit, so that Grad-CAM on that layer is, but for a constant factor, the class's own evidence map.
The weights come from ``python -m livecam.models.shapes.train``, which learns from ``livecam.scene``.
"""

from __future__ import annotations

from math import log
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from livecam.models.classifier import Classifier, Preprocessing
from livecam.models.weights import untrained
from livecam.scene import SHAPES

NAME = "shapes"
ADAPTS: tuple[str, ...] = ()
LABELS: tuple[str, ...] = SHAPES
"""Class names in the order of the logits."""
INPUT_SIZE: tuple[int, int] = (160, 160)
"""Height and width that the model was trained at; any multiples of ``STRIDE`` work."""
STRIDE = 8
"""Input pixels to one cell of the evidence map, on each axis."""
MEAN: tuple[float, float, float] = (0.5, 0.5, 0.5)
"""To be subtracted from RGB in [0, 1]."""
STD: tuple[float, float, float] = (0.25, 0.25, 0.25)
"""By which to divide after that."""

WEIGHTS = Path(__file__).with_name("shapes.pt")


def recognises(name: str) -> bool:
    """Return True for the name of this model."""
    return name == NAME


def names() -> tuple[str, ...]:
    """Return the one name of this family."""
    return (NAME,)


def load(name: str = NAME) -> Classifier:
    """Return the classifier as it was trained, in evaluation mode."""
    model = ShapesNet()
    model.load_state_dict(torch.load(WEIGHTS, map_location="cpu", weights_only=True))
    return _classifier(model.eval())


def build(name: str = NAME) -> Classifier:
    """Return the classifier with random weights, the same each time."""
    return _classifier(untrained(ShapesNet))


def _classifier(model: nn.Module) -> Classifier:
    preprocessing = Preprocessing(size=INPUT_SIZE, resize=min(INPUT_SIZE), mean=MEAN, std=STD)
    return Classifier(NAME, model, LABELS, preprocessing, multi_label=True)


class LogMeanExp(nn.Module):
    """A smooth maximum over the picture: Pinheiro & Collobert, "From image-level to pixel-level labeling" (2015)."""

    def forward(self, evidence: Tensor) -> Tensor:
        """``(B, K, h, w)`` evidence to ``(B, K)`` logits."""
        return evidence.flatten(2).logsumexp(2) - log(evidence.shape[2] * evidence.shape[3])


class Residual(nn.Module):
    """Two 3x3 convolutions around a shortcut, the first one dilated to see further if asked."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *convolution(channels, channels, dilation=dilation),
            *convolution(channels, channels)[:2],
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, h, w)`` to the same shape."""
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
        nn.init.constant_(cast(Tensor, self.evidence.bias), -4.0)  # to begin with, as most cells see no shape
        self.pool = LogMeanExp()

    def forward(self, x: Tensor) -> Tensor:
        """``(B, 3, H, W)`` normalised float RGB to ``(B, K)`` logits."""
        logits: Tensor = self.pool(self.evidence(self.features(x)))
        return logits


def convolution(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> list[nn.Module]:
    """A padded 3x3 convolution, normalised and rectified."""
    convolve = nn.Conv2d(inputs, outputs, 3, stride, padding=dilation, dilation=dilation, bias=False)
    return [convolve, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]

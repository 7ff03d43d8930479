"""A small classifier of clips that says how a shape moves, which is easy to explain: each logit is a mean of evidence.

It is fully convolutional and keeps time. The last layer with cells, `evidence`, gives each class a map with a cell for
every two frames and every 8 by 8 pixels, and behind it are a global mean and a linear layer without bias. So Grad-CAM
on that layer is the class's own evidence, cell by cell. The weights come from
``python -m livecam.models.motion.train``, which learns from ``livecam.motion_scene``.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from livecam.models.classifier import Classifier, Preprocessing
from livecam.models.default import MOTION
from livecam.models.weights.untrained import untrained
from livecam.motion_scene import MOTIONS

NAME = MOTION
ADAPTS: tuple[str, ...] = ()
LABELS: tuple[str, ...] = MOTIONS
"""Class names in the order of the logits."""
FRAMES = 16
"""Frames in a clip."""
FRAMES_PER_SECOND = 15.0
"""The rate of these frames."""
INPUT_SIZE: tuple[int, int] = (96, 96)
"""Height and width that the model was trained at; any multiples of ``STRIDE`` work."""
STRIDE = 8
"""Input pixels per cell of the last layer, on each axis."""
FRAMES_PER_CELL = 2
"""Frames per cell of the last layer."""
MEAN = 0.5
"""Subtracted from RGB in [0, 1]."""
STD = 0.25
"""Divides RGB after `MEAN` has been subtracted."""
GAIN = 100.0
"""Multiplies the mean over all cells, as a shape that moves fills few of them."""

WEIGHTS = Path(__file__).with_name("motion.pt")


def recognises(name: str) -> bool:
    """Return True for the name of this model."""
    return name == NAME


def load(name: str = NAME) -> Classifier:
    """Return the trained classifier, in evaluation mode."""
    model = MotionNet()
    model.load_state_dict(torch.load(WEIGHTS, map_location="cpu", weights_only=True))
    return _classifier(model.eval())


def build(name: str = NAME) -> Classifier:
    """Return the classifier with random weights, the same each time."""
    return _classifier(untrained(MotionNet))


def _classifier(model: nn.Module) -> Classifier:
    preprocessing = Preprocessing(
        size=INPUT_SIZE,
        resize=min(INPUT_SIZE),
        mean=(MEAN,) * 3,
        std=(STD,) * 3,
        frames=FRAMES,
        frames_per_second=FRAMES_PER_SECOND,
    )
    limits = (
        f"{NAME} knows {len(LABELS)} motions of one shape before a background that stands, those of demo:motion "
        f"({', '.join(LABELS)}); for anything else take another model, such as r3d_18"
    )
    return Classifier(NAME, model, LABELS, preprocessing, scores="softmax", limits=limits)


class MotionNet(nn.Module):
    """``(B, 3, T, H, W)`` normalised float RGB to ``(B, K)`` logits, one for each of ``LABELS``, for a softmax.

    ``evidence`` is the last layer with cells: ``(B, K, T / FRAMES_PER_CELL, H / STRIDE, W / STRIDE)``, above 0 where
    and when a class is seen. Convolutions in the picture and in time take turns: Tran et al., "A closer look at
    spatiotemporal convolutions" (2018).
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *in_the_picture(3, 24, side=7, stride=4),
            *in_time(24, 32, stride=FRAMES_PER_CELL),
            *in_time(32, 48),
            *in_the_picture(48, 48, stride=2),
            *in_the_picture(48, 48),
            *in_the_picture(48, 48),
        )
        self.cells = nn.Conv3d(48, len(LABELS), 1)
        self.evidence = nn.ReLU()
        self.classify = nn.Linear(len(LABELS), len(LABELS), bias=False)
        nn.init.eye_(self.classify.weight)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, 3, T, H, W)`` normalised float RGB to ``(B, K)`` logits."""
        logits: Tensor = self.classify(self.mean_evidence(self.cells(self.features(x))))
        return logits

    def mean_evidence(self, cells: Tensor) -> Tensor:
        """``(B, K, t, h, w)``, above 0 where a class is seen, to the mean evidence of each class, ``(B, K)``."""
        return GAIN * self.evidence(cells).mean((2, 3, 4))


def in_the_picture(inputs: int, outputs: int, side: int = 3, stride: int = 1) -> list[nn.Module]:
    """A padded square convolution of each frame, normalised and rectified."""
    size, strides, padding = (1, side, side), (1, stride, stride), (0, side // 2, side // 2)
    return _normalised(nn.Conv3d(inputs, outputs, size, strides, padding, bias=False))


def in_time(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    """A padded convolution of three frames at each place, normalised and rectified."""
    return _normalised(nn.Conv3d(inputs, outputs, (3, 1, 1), (stride, 1, 1), (1, 0, 0), bias=False))


def _normalised(convolution: nn.Conv3d) -> list[nn.Module]:
    return [convolution, nn.BatchNorm3d(convolution.out_channels), nn.ReLU(inplace=True)]

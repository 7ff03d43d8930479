"""A tiny network and pictures for it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from livecam import Explainer
from livecam.explain.answer import Program
from livecam.models import Classifier, Preprocessing, shapes
from livecam.models.weights.untrained import untrained


class Tiny(nn.Module):
    """A network as small as may be, with a normalisation and an operation in place."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, 4, 1), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, 2, 1))
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu(self.features(x)).mean(dim=(2, 3)))


def tiny_with_a_layer() -> Classifier:
    """Return the network with its first layer as the one that is explained by default."""
    return Classifier("tiny", untrained(Tiny).eval(), preprocessing=Preprocessing(size=(64, 64)), layer="features.0")


class QuickShapes(nn.Module):
    """A network of one convolution, with the outputs and the layer of `shapes`."""

    def __init__(self) -> None:
        super().__init__()
        self.evidence = nn.Conv2d(3, len(shapes.LABELS), 8, 8)
        self.pool = shapes.LogMeanExp()

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.evidence(x))


def quick_shapes(name: str = shapes.NAME) -> Classifier:
    """Return a classifier that is said to be `shapes`, and takes a hundredth of its time."""
    preprocessing = Preprocessing(size=(64, 64), resize=64, mean=shapes.MEAN, std=shapes.STD)
    return Classifier(name, untrained(QuickShapes).eval(), shapes.LABELS, preprocessing, scores="sigmoid")


class TinyClips(nn.Module):
    """A network of clips of 8 frames, (B, 3, 8, h, w), whose layer has 4 time cells."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv3d(3, 4, 3, (1, 4, 4), 1), nn.ReLU(), nn.Conv3d(4, 8, 3, (2, 2, 2), 1))
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).relu().mean(dim=(2, 3, 4)))


class Moves(nn.Module):
    """The classes "moves" and "stands" by how much each frame of a clip differs from the next, in cells of 2 frames."""

    def __init__(self) -> None:
        super().__init__()
        self.difference = nn.Conv3d(3, 2, (2, 1, 1), bias=False)
        before_after = torch.tensor([-1.0, 1.0]).view(1, 1, 2, 1, 1).expand(1, 3, 2, 1, 1)
        self.difference.weight = nn.Parameter(torch.cat([before_after, -before_after]))
        self.pool = nn.Sequential(nn.ReLU(), nn.AvgPool3d((2, 8, 8)))

    def forward(self, x: Tensor) -> Tensor:
        moves = self.pool(self.difference(torch.cat([x, x[:, :, -1:]], dim=2))).mean(dim=(1, 2, 3, 4))
        return torch.stack([moves, torch.full_like(moves, 0.01)], dim=1)


def moves() -> Classifier:
    """Return a classifier that sees 16 frames at 15 a second, of which it tells if something moves."""
    size = {"size": (96, 96), "resize": 96, "mean": (0.5,) * 3, "std": (0.5,) * 3}
    return Classifier("moves", Moves(), ("moves", "stands"), Preprocessing(**size, frames=16, frames_per_second=15.0))


def tiny_clips() -> Classifier:
    """Return a classifier of clips, with random weights."""
    preprocessing = Preprocessing(size=(32, 32), resize=32, frames=8)
    return Classifier("tiny_clips", untrained(TinyClips).eval(), tuple("abcde"), preprocessing)


def tiny(model: type[Tiny] = Tiny, **options: Any) -> Explainer:
    torch.manual_seed(0)
    return Explainer(model(), preprocessing=Preprocessing(size=(64, 64)), **options)


def pictures(count: int = 3, side: int = 64) -> Tensor:
    return torch.randint(0, 256, (count, side, side, 3), generator=torch.Generator().manual_seed(1)).byte()


def program_of(explainer: Explainer, dtype: torch.dtype = torch.float32) -> Program:
    return explainer._runtime.engine.make_program(dtype)

"""What an engine runs: from 8-bit pictures to maps and scores, one function of tensors alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from livecam.explain.probe import OnForwards
from livecam.explain.step import PlainPrediction, Step
from livecam.explain.targets import SHOWN_PREDICTIONS
from livecam.models import Classifier

Select = Callable[[Tensor], Tensor]
"""Logits (B, classes) -> the classes to explain (B, K)."""


class Answer(NamedTuple):
    """What a batch of B pictures gives; K classes are explained.

    `maps` (B, K, h', w') float32, signed; `targets` (B, K) int64, the explained classes, and their `scores` (B, K)
    float32 in 0..1; `best` (B, N) int64, the best classes, and their `best_scores` (B, N) float32.
    """

    maps: Tensor
    targets: Tensor
    scores: Tensor
    best: Tensor
    best_scores: Tensor

    def by_picture(self) -> Iterator[PictureAnswer]:
        """One after the other; the tensors have to be on the CPU."""
        rest = (each.tolist() for each in self[1:])
        yield from itertools.starmap(PictureAnswer, zip(self.maps.numpy(), *rest, strict=True))


class PictureAnswer(NamedTuple):
    """Of one picture: `maps` (K, h', w') float32, signed; the rest as in `Answer`."""

    maps: np.ndarray
    targets: list[int]
    scores: list[float]
    best: list[int]
    best_scores: list[float]


class Normalisation:
    """(B, h, w, channels) uint8 -> (B, channels, h, w) float, mean and deviation as the model was trained with."""

    def __init__(self, classifier: Classifier, device: torch.device, dtype: torch.dtype) -> None:
        preprocessing = classifier.preprocessing
        mean = torch.tensor(preprocessing.mean, device=device).view(-1, 1, 1)
        std = torch.tensor(preprocessing.std, device=device).view(-1, 1, 1)
        self._scale, self._shift = 1 / (255 * std), -mean / std
        self._dtype = dtype

    def __call__(self, images: Tensor) -> Tensor:
        return images.permute(0, 3, 1, 2).float().mul_(self._scale).add_(self._shift).to(self._dtype)


class Program:
    """From pictures (B, h, w, channels) uint8 on the device to their `Answer` there, in one precision.

    `select` picks the classes, (B, K), from the logits. `on_forwards` is told of the passes of methods that need many.
    """

    def __init__(
        self,
        step: Step | PlainPrediction,
        classifier: Classifier,
        device: torch.device,
        dtype: torch.dtype,
        select: Select,
        on_forwards: OnForwards | None = None,
    ) -> None:
        self.dtype = dtype
        self.step = step
        self._normalisation = Normalisation(classifier, device, dtype)
        self._score = scoring(classifier)
        self._select = select
        self._on_forwards = on_forwards

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """The module is tapped, frozen and in the precision inside the block, and as before afterwards."""
        with self.step.prepared(self.dtype):
            yield

    def __call__(self, images: Tensor, select: Select | None = None) -> Answer:
        """`select` replaces the program's own, for once."""
        maps, logits, targets = self.step(self._normalisation(images), select or self._select, self._on_forwards)
        scores = self._score(logits.float())
        best = logits.float().topk(min(SHOWN_PREDICTIONS, logits.shape[1]), dim=1).indices
        return Answer(maps.float(), targets, scores.gather(1, targets), best, scores.gather(1, best))


def scoring(classifier: Classifier) -> Callable[[Tensor], Tensor]:
    """From logits (B, classes) to scores in 0..1: they exclude each other unless the model says otherwise."""

    def score(logits: Tensor) -> Tensor:
        exclusive = not classifier.multi_label and logits.shape[1] > 1
        return logits.softmax(dim=1) if exclusive else logits.sigmoid()

    return score

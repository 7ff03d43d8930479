"""The answer to a batch of pictures, the program that gives it, and how far two answers agree."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

LEAST_COSINE = 0.995
"""The least cosine at which a map in half precision replaces that in single precision: one sees no difference."""
_TIE = 0.01
"""Best scores within 1 % are a tie: rounding decides between their classes."""


class Answer(NamedTuple):
    """What a batch of B pictures gives; K targets of each are explained.

    Attributes:
        maps: Signed maps of the targets, (B, K, h, w) float32.
        targets: What is explained, (B, K) int64.
        scores: The scores of the targets, (B, K) float32 in 0..1.
        best: What has the highest scores, explained or not, the best first, (B, N) int64.
        best_scores: The scores of these, (B, N) float32 in 0..1.
    """

    maps: Tensor
    targets: Tensor
    scores: Tensor
    best: Tensor
    best_scores: Tensor

    def by_picture(self) -> Iterator[PictureAnswer]:
        """Yield the answer to each picture; the tensors have to be on the CPU."""
        rest = (each.tolist() for each in self[1:])
        yield from itertools.starmap(PictureAnswer, zip(self.maps.numpy(), *rest, strict=True))


class PictureAnswer(NamedTuple):
    """What one picture gives: `maps` (K, h, w) float32, signed, and the rest as lists of `Answer`'s columns."""

    maps: np.ndarray
    targets: list[int]
    scores: list[float]
    best: list[int]
    best_scores: list[float]


Select = Callable[[Tensor], Tensor]
"""Takes a model's output, and returns the targets to explain, (B, K)."""


class Program(Protocol):
    """What engines run: a function of tensors, in one precision, for which a model has to be prepared."""

    @property
    def dtype(self) -> torch.dtype:
        """The precision."""

    def prepared(self) -> AbstractContextManager[None]:
        """Prepare the model inside the block; afterwards it is as before."""

    def __call__(self, images: Tensor, select: Select | None = None) -> Answer:
        """Answer to pictures (B, h, w, channels) uint8, all on the device; `select` chooses other targets for once."""

    def maps(self, inputs: Tensor, select: Select) -> Tensor:
        """Return the signed maps (B, K, h, w) of normalised inputs (B, channels, height, width) in the precision."""


class Agreement(NamedTuple):
    """`cosine` of the least similar map, and whether the best class of every picture is the same, or as good.

    The cosine is 1 where nothing is explained, and 0 where no map can be compared since the classes all differ.
    """

    cosine: float
    same_best: bool

    @property
    def suffices(self) -> bool:
        """True if the maps are similar enough to replace the reference."""
        return self.cosine >= LEAST_COSINE and self.same_best


def agreement(answers: Sequence[Answer], references: Sequence[Answer]) -> Agreement:
    """Compare answers, on the CPU, to the same batches of pictures."""
    pairs = [
        pair
        for batch in zip(answers, references, strict=True)
        for pair in zip(*(each.by_picture() for each in batch), strict=True)
    ]
    cosines = [
        _cosine(one_map, other_map)
        for one, other in pairs
        for one_class, other_class, one_map, other_map in zip(
            one.targets, other.targets, one.maps, other.maps, strict=True
        )
        if one_class == other_class
    ]
    nothing_explained = not any(reference.maps.numel() for reference in references)
    return Agreement(min(cosines, default=float(nothing_explained)), all(_same_best(*pair) for pair in pairs))


def _same_best(one: PictureAnswer, other: PictureAnswer) -> bool:
    scores = dict(zip(other.best, other.best_scores, strict=True))
    return scores.get(one.best[0], 0.0) >= (1 - _TIE) * other.best_scores[0]


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Of two signed maps (h, w); 1 where both are 0 all over, 0 where only one is."""
    # In double precision: the squares of small evidence are beyond the range of float32.
    one, other = (each.astype(np.float64).ravel() for each in (one, other))
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    cosine = float(one @ other) / lengths if lengths else float(not one.any() and not other.any())
    return cosine if math.isfinite(cosine) else 0.0  # what is no number agrees with nothing

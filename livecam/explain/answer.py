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
"""The minimum cosine at which a map in half precision may replace one in fp32: no difference is visible."""
_TIE = 0.01
"""The difference below which two best scores are a tie, relative to the best, since rounding may decide."""
MOST_SCORE_ERROR = 0.05
"""How far scores in half precision may be from those in fp32, relative to the best score of the picture."""


class Answer(NamedTuple):
    """The maps and scores of a batch of B pictures; K targets of each are explained.

    Attributes:
        maps: Signed maps of the targets, (B, K, h, w) float32.
        targets: The targets as numbers that the task defines, such as class indices, (B, K) int64.
        scores: The scores of the targets, (B, K) float32.
        best: The targets with the highest scores, explained or not, the best first, (B, N) int64.
        best_scores: The scores of `best`, (B, N) float32.
        where: Where the targets are in the picture, (B, ...), as the task defines it: masks, or boxes. None for classes
            of whole pictures.
    """

    maps: Tensor
    targets: Tensor
    scores: Tensor
    best: Tensor
    best_scores: Tensor
    where: Tensor | None = None

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors of the answer, from which `Answer(*tensors)` makes it again."""
        return tuple(each for each in self if each is not None)

    def by_picture(self) -> Iterator[PictureAnswer]:
        """Split the answer of the batch: yield one for each picture. The tensors must be on the CPU."""
        rest = (each.tolist() for each in (self.targets, self.scores, self.best, self.best_scores))
        where = [None] * len(self.maps) if self.where is None else self.where.numpy()
        yield from itertools.starmap(PictureAnswer, zip(self.maps.numpy(), *rest, where, strict=True))


class PictureAnswer(NamedTuple):
    """The maps and scores of one picture: arrays `maps`, (K, h, w) float32, signed, and `where`; the rest as lists."""

    maps: np.ndarray
    targets: list[int]
    scores: list[float]
    best: list[int]
    best_scores: list[float]
    where: np.ndarray | None = None


def joined(answers: Sequence[Answer]) -> Answer:
    """Return the answer to one batch, given those to its parts in their order."""
    if len(answers) == 1:
        return answers[0]
    return Answer(*map(torch.cat, zip(*(answer.tensors for answer in answers), strict=True)))


Select = Callable[[Tensor], Tensor]
"""A function from a model's output to the targets to explain, (B, K)."""


class Program(Protocol):
    """A function of tensors that an engine runs in one precision. The model must be `prepared` first."""

    @property
    def dtype(self) -> torch.dtype:
        """The precision."""

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Tensors that it reads at each call beside the pictures, as in `livecam.explain.task.Task`."""

    def prepared(self) -> AbstractContextManager[None]:
        """Prepare the model inside the block, and restore it afterwards."""

    def __call__(self, images: Tensor, select: Select | None = None) -> Answer:
        """Return the answer to pictures (B, h, w, channels) uint8 on the device; `select` overrides the targets."""

    def run(self, inputs: Tensor) -> Tensor:
        """Return the model's output, (B, ...), for normalised inputs (B, channels, height, width)."""

    def maps(self, inputs: Tensor, select: Select) -> Tensor:
        """Return the signed maps (B, K, h, w) of normalised inputs (B, channels, height, width) in the precision."""


class Agreement(NamedTuple):
    """How far two answers agree.

    Attributes:
        cosine: The cosine similarity of the least similar pair of maps; 1 if nothing is explained, 0 if no target is in
            both answers.
        same_best: For every picture both answers rank the same target first, or one with an equal score.
        score_error: The largest difference between two scores of an explained target, or of the best one, relative to
            the best score of the picture.
    """

    cosine: float
    same_best: bool
    score_error: float

    @property
    def suffices(self) -> bool:
        """True if one answer may replace the other."""
        return not self.difference

    @property
    def difference(self) -> str:
        """What differs too much, as text; empty if one answer may replace the other."""
        if self.cosine < LEAST_COSINE:
            return f"the maps differ (cosine {self.cosine:.4f})"
        if not self.same_best:
            return "the best class is another"
        return f"scores differ by {self.score_error:.0%}" if self.score_error > MOST_SCORE_ERROR else ""


def agreement(answers: Sequence[Answer], references: Sequence[Answer]) -> Agreement:
    """Compare two lists of answers to the same batches of pictures; the tensors must be on the CPU."""
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
    return Agreement(
        min(cosines, default=float(nothing_explained)),
        all(_same_best(*pair) for pair in pairs),
        max((_score_error(*pair) for pair in pairs), default=0.0),
    )


def _same_best(one: PictureAnswer, other: PictureAnswer) -> bool:
    scores = dict(zip(other.best, other.best_scores, strict=True))
    best = other.best_scores[0]
    return scores.get(one.best[0], -math.inf) >= best - _TIE * abs(best)


def _score_error(one: PictureAnswer, other: PictureAnswer) -> float:
    """The largest difference between two scores of the same target, relative to the best of the second answer."""
    scored, wanted = (
        [*zip(each.targets, each.scores, strict=True), (each.best[0], each.best_scores[0])] for each in (one, other)
    )
    pairs = zip(scored, wanted, strict=True)
    error = max((abs(mine[1] - its[1]) for mine, its in pairs if mine[0] == its[0]), default=0.0)
    best = abs(other.best_scores[0])
    if not error:
        return 0.0
    return error / best if best else math.inf


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    """The cosine similarity of two signed maps (h, w): 1 if both are all zero, 0 if only one is."""
    # In double precision: the squares of small evidence are beyond the range of float32.
    one, other = (each.astype(np.float64).ravel() for each in (one, other))
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    cosine = float(one @ other) / lengths if lengths else float(not one.any() and not other.any())
    return cosine if math.isfinite(cosine) else 0.0  # NaN agrees with nothing

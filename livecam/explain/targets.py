"""Which classes are explained: as they are asked for, and as they are picked from the logits."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from livecam.errors import ModelError

Objective = Callable[[Tensor, Tensor], Tensor]
"""Logits (B, classes) and the explained class of each picture (B,) -> scores (B,), differentiable."""

SIMILAR_CLASSES = 3


def class_score(logits: Tensor, target: Tensor) -> Tensor:
    """The logit y_c of the class."""
    return logits.gather(1, target[:, None])[:, 0]


def against_similar_classes(logits: Tensor, target: Tensor) -> Tensor:
    """sum_d p_d (y_c - y_d) / sum_d p_d over the three classes d whose logits are nearest to y_c, p the softmax.

    Zhang et al., "Finer-CAM: Spotting the Difference Reveals Finer Details for Visual Explanation", CVPR 2025; alpha 1.
    """
    own = class_score(logits, target)[:, None]
    distance = (logits - own).abs().scatter(1, target[:, None], -1)  # the class itself is nearest, whatever ties it
    count = min(SIMILAR_CLASSES, logits.shape[1] - 1)
    similar = logits.gather(1, distance.topk(count + 1, dim=1, largest=False).indices[:, 1:])
    # p_d / sum_d p_d is the softmax over these classes alone, which cannot vanish.
    return (similar.softmax(dim=1) * (own - similar)).sum(dim=1)


def contrasted(objective: Objective, against: int | None, negative: bool) -> Objective:
    """The objective less the logit of another class, or turned around to show what speaks against."""

    def score(logits: Tensor, target: Tensor) -> Tensor:
        value = objective(logits, target)
        if against is not None:
            value = value - logits[:, against]
        return -value if negative else value

    return score


SHOWN_PREDICTIONS = 5
"""How many of the best classes are told of every picture."""

Target = int | str | Sequence[int | str]
"""Classes by number, by name, or by rank ("top1" is each picture's best); several by comma, as a sequence, an array or
a tensor. A name with a comma in it can only stand in a sequence."""


def parse_target(target: Target | None, top: int | None = None) -> tuple[int | str, ...]:
    """One number or name for each class asked for; `top` stands for the best so many. Raises ModelError."""
    if target is not None and top is not None:
        raise ModelError("target and top exclude each other: name the classes, or say how many of the best")
    if top is not None:
        if top < 1:
            raise ModelError(f"top is a number of classes from 1 on, not {top}")
        return tuple(f"top{rank}" for rank in range(1, top + 1))
    if target is None:
        return ("top1",)
    names = target.split(",") if isinstance(target, str) else _as_list(target)
    wanted = tuple(_as_number_or_name(name) for name in names)
    if not wanted or "" in wanted:
        raise ModelError("the target names no class; give a number, a name, or top1")
    return wanted


def with_runner_up(wanted: tuple[int | str, ...], classes: int) -> tuple[int | str, ...]:
    """The best so many classes and the next best one, if there are that many; what is named otherwise stays alone."""
    count = len(wanted)
    if [_rank_of(name) for name in wanted] == list(range(1, count + 1)) and count < classes:
        return (*wanted, f"top{count + 1}")
    return wanted


def _as_list(target: Any) -> list[Any]:
    plain = target.tolist() if hasattr(target, "tolist") else target  # of NumPy and torch
    return list(plain) if isinstance(plain, Sequence) else [plain]


def _as_number_or_name(name: object) -> int | str:
    if isinstance(name, str):
        return name.strip()
    try:
        return operator.index(name)  # type: ignore[arg-type]
    except TypeError as exc:
        raise ModelError(f"a target is a class number or a name, not {name!r}") from exc


class Selection:
    """Picks the classes from the logits, by index or by rank.

    `index_of` turns a name or number into a class index. Raises ModelError for what is not among `classes`.
    """

    def __init__(
        self, wanted: Sequence[int | str], index_of: Callable[[int | str], int], classes: int, device: torch.device
    ) -> None:
        ranks = [_rank_of(name) for name in wanted]
        self._deepest = max((rank for rank in ranks if rank), default=0)
        # At least as many as are shown besides: of equal logits both then take the same for the best.
        self._ranked = min(max(self._deepest, SHOWN_PREDICTIONS), classes)
        if self._deepest > classes:
            raise ModelError(f"there is no top{self._deepest}: the model has {classes} classes")
        self.indices = [None if rank else index_of(name) for rank, name in zip(ranks, wanted, strict=True)]
        # A class is looked up in what is known beforehand followed by the ranking: the former by place, the latter by
        # rank.
        self._fixed = torch.tensor([index or 0 for index in self.indices], device=device)
        self._places = torch.tensor(
            [len(ranks) + rank - 1 if rank else place for place, rank in enumerate(ranks)], device=device
        )

    def __len__(self) -> int:
        return len(self.indices)

    def __call__(self, logits: Tensor) -> Tensor:
        """Logits (B, classes) -> the classes to explain (B, K)."""
        fixed = self._fixed.expand(len(logits), -1)
        best = logits.topk(self._ranked, dim=1).indices
        return torch.cat([fixed, best], dim=1)[:, self._places]

    def one_for_each(self, logits: Tensor) -> Tensor:
        """Logits (B, classes) -> the first class for the first picture, the second for the second, ... (B, 1)."""
        return self(logits).diagonal()[:, None]


def _rank_of(name: int | str) -> int:
    """3 of "top3", 0 of anything else."""
    match = re.fullmatch("top([1-9][0-9]{0,5})", name, re.IGNORECASE) if isinstance(name, str) else None
    return int(match[1]) if match else 0

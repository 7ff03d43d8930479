"""Side branches: layers that a part of the evidence goes past, such as the gate of an attention over the features."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from livecam.models.survey.grid import Size
from livecam.models.survey.layers import Layer
from livecam.models.survey.streams import Streams

_LATEST = 32  # calls before a layer from which evidence may go past it
_WHOLE = 0.05  # the relative difference of gradients that rounding explains


class Branches:
    """Finds out past which layers of a model the evidence goes.

    The gradient of the score at an earlier layer is compared with what of it comes back through the later one. If there
    is more, the earlier layer also reaches the score by another way.

    Args:
        calls: All calls of layers, in the order of execution.
        streams: Which of them are computed from which.
        outputs: The outputs of the calls in the autograd graph, which is kept.
        gradients: The gradients of the score at the outputs, None where there is none.
    """

    def __init__(
        self,
        calls: Sequence[Layer],
        streams: Streams,
        outputs: Sequence[GradientEdge],
        gradients: Sequence[Tensor | None],
    ) -> None:
        self._calls, self._streams = calls, streams
        self._outputs, self._gradients = outputs, gradients

    def aside(self, numbers: Iterable[int]) -> tuple[set[int], bool]:
        """Return those of the calls with these numbers that are side branches of a layer that no evidence goes past.

        The second value is True if there is no such layer on the grid of the branch, as where blocks add to what they
        get. Then a part of the evidence goes past every choice, and no call is a side branch.
        """
        remaining, forks = list(numbers), list[int]()
        ends = self._streams.ends(remaining)
        while (fork := self._fork(ends, remaining)) is not None:
            if self._size(fork) not in map(self._size, ends) or any(self._streams.leads(fork, each) for each in forks):
                return set(), True
            forks.append(fork)
            remaining = [number for number in remaining if not self._streams.leads(fork, number)]
            ends = self._streams.ends(remaining)
        return set(numbers) - set(remaining), False

    def is_passed(self, number: int) -> bool:
        """Return True if evidence goes past the call with this number, from a layer before on the same grid."""
        on_same_grid = (
            call.number for call in self._calls if call.is_eligible and call.cells == self._calls[number].cells
        )
        return self._fork([number], on_same_grid) is not None

    def _fork(self, ends: Sequence[int], numbers: Iterable[int]) -> int | None:
        """Return the last of the calls from which evidence goes past the ends of all streams, None if there is none."""
        if not ends or any(
            map(self._has_other_tokens, ends)
        ):  # past a layer of tokens goes the class token, as it has to
            return None
        before = [number for number in numbers if any(self._streams.leads(number, end) for end in ends)][-_LATEST:]
        if not before:
            return None
        through = torch.autograd.grad(
            [self._outputs[end] for end in ends],
            [self._outputs[number] for number in before],
            [self._gradients[end] for end in ends],
            retain_graph=True,
            allow_unused=True,
        )
        forks = [number for number, part in zip(before, through, strict=True) if self._is_more(number, part)]
        return forks[-1] if forks else None

    def _is_more(self, number: int, part: Tensor | None) -> bool:
        grid, whole = self._calls[number].grid, self._gradients[number]
        assert grid is not None and whole is not None  # only such calls are eligible
        if part is None:
            return True
        missing = grid.fold(whole) - grid.fold(part)
        return bool(missing.float().norm() > _WHOLE * grid.fold(whole).float().norm())

    def _has_other_tokens(self, number: int) -> bool:
        call = self._calls[number]
        assert call.grid is not None
        return math.prod(call.shape) // call.shape[call.grid.channel_axis] > call.grid.cells

    def _size(self, number: int) -> Size:
        grid = self._calls[number].grid
        assert grid is not None
        return grid.size

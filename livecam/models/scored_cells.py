"""The last step of a detector's head: convolutions that score the cells of feature maps.

Of thousands of candidates some dozens become boxes. The gradient of these alone is that of the few cells around them,
which is found without the convolution that the gradient of all scores would take.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from math import prod
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


def are_scored_alone(convolutions: Sequence[nn.Module]) -> bool:
    """Return True for convolutions of which each score depends on the cells around its own."""
    return all(
        type(each) is nn.Conv2d
        and (each.stride, each.dilation, each.groups, each.padding_mode) == ((1, 1), (1, 1), 1, "zeros")
        and not isinstance(each.padding, str)
        for each in convolutions
    )


class ScoredCells:
    """Candidates for boxes: one for each anchor in each cell of each feature map, in this order.

    Args:
        features: The feature maps, (B, C, h, w) each.
        convolutions: The convolution that scores each of them, for which `are_scored_alone` is True. The scores of a
            map are (B, anchors * classes, h', w').
        classes: The number of classes.

    Attributes:
        logits: The scores of all candidates, (B, N, classes).
    """

    def __init__(self, features: Sequence[Tensor], convolutions: Sequence[nn.Conv2d], classes: int) -> None:
        pairs = zip(convolutions, features, strict=True)
        self._groups = [
            _ScoredAlike(last, [feature for _, feature in group], classes)
            for last, group in groupby(pairs, key=itemgetter(0))
        ]
        self.logits = torch.cat([group.logits for group in self._groups], dim=1)

    def at(self, places: Tensor) -> Tensor:
        """Return the logits at places (B, K) of all candidates, (B, K, classes), with the gradient of these alone."""
        chosen = self.logits.new_zeros(*places.shape, self.logits.shape[2])
        first = 0
        for group in self._groups:
            count = group.logits.shape[1]
            own = places - first
            is_here = (own >= 0) & (own < count)
            chosen = torch.where(is_here[..., None], group.at(own.clamp(0, count - 1)), chosen)
            first += count
        return chosen


class _ScoredAlike:
    """The candidates of maps that are scored by the same convolution."""

    def __init__(self, last: nn.Conv2d, features: Sequence[Tensor], classes: int) -> None:
        self._last, self._features = last, features
        scores = [functional.conv2d(each, last.weight, last.bias, padding=last.padding) for each in features]
        self._cells = [(each.shape[2], each.shape[3]) for each in scores]
        self.logits = torch.cat(
            [torch.unflatten(each, 1, (-1, classes)).permute(0, 3, 4, 1, 2).flatten(1, 3) for each in scores], dim=1
        )

    def at(self, places: Tensor) -> Tensor:
        """Return the logits at places (B, K) of these candidates, (B, K, classes)."""
        rows = self.logits.gather(1, places[..., None].expand(-1, -1, self.logits.shape[2]))
        if sum(map(prod, self._cells)) <= places.shape[1]:  # the gradient of all costs less
            return rows
        chosen: Tensor = _Chosen.apply(rows.detach(), places, self._last, self._cells, *self._features)
        return chosen


class _Chosen(torch.autograd.Function):
    """Returns the given logits of candidates, and hands their gradient to the feature maps that they come from."""

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, places: Tensor, last: nn.Conv2d, cells: Sequence[tuple[int, int]], *features: Tensor
    ) -> Tensor:
        """Return a view of the logits (B, K, classes)."""
        ctx.save_for_backward(places)
        ctx.last, ctx.cells, ctx.sizes = last, cells, [tuple(feature.shape[2:]) for feature in features]
        return rows.view_as(rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient at each feature map: each row's is that of the cells that the kernel reaches."""
        (places,) = ctx.saved_tensors
        last, (down, across) = ctx.last, map(int, ctx.last.padding)
        anchors = last.out_channels // gradient.shape[2]
        padded = [(height + 2 * down, width + 2 * across) for height, width in ctx.sizes]
        index = _reached(places // anchors, ctx.cells, padded, last.kernel_size)[..., None]
        gradients = _at_kernel(gradient, places % anchors, last.weight)
        maps = gradient.new_zeros(len(gradient), sum(map(prod, padded)), last.in_channels)
        maps = maps.scatter_add(1, index.expand(-1, -1, last.in_channels), gradients)
        of_maps = torch.split(maps, list(map(prod, padded)), dim=1)
        gradients_of_maps = [
            torch.unflatten(each, 1, sides)[:, down : down + height, across : across + width].permute(0, 3, 1, 2)
            for each, sides, (height, width) in zip(of_maps, padded, ctx.sizes, strict=True)
        ]
        return None, None, None, None, *gradients_of_maps


def _reached(
    places: Tensor, cells: Sequence[tuple[int, int]], padded: Sequence[tuple[int, int]], kernel: tuple[int, int]
) -> Tensor:
    """Return which cells a kernel reaches from others, (B, K * those of the kernel).

    Args:
        places: The cells (B, K) behind the convolution, counted through all maps.
        cells: The sizes (h, w) of the maps behind the convolution.
        padded: Their sizes before it with padding; the cells returned are counted through these.
        kernel: Its size.
    """
    rows, columns = (torch.arange(side, device=places.device) for side in kernel)
    reached, begin = torch.zeros_like(places)[..., None], 0
    for (height, width), sides in zip(cells, padded, strict=True):
        corner = begin + places // width * sides[1] + places % width
        of_map = corner[..., None] + (rows[:, None] * sides[1] + columns).flatten()
        reached = torch.where(places[..., None] >= 0, of_map, reached)  # the last map that they may be in
        places, begin = places - height * width, begin + prod(sides)
    return reached.flatten(1)


def _at_kernel(gradient: Tensor, anchors: Tensor, weight: Tensor) -> Tensor:
    """Return the gradient (B, K * cells of the kernel, C), given that of logits (B, K, classes) of anchors (B, K)."""
    numbers = torch.arange(len(weight) // gradient.shape[2], device=gradient.device)
    of_outputs = ((anchors[..., None] == numbers)[..., None] * gradient[:, :, None]).flatten(2)
    matrix = weight.permute(0, 2, 3, 1).flatten(1)
    return (of_outputs.flatten(0, 1) @ matrix).view(len(gradient), -1, weight.shape[1])

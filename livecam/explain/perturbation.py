"""Methods that ask the model again and again: no gradients, but a forward pass for each channel, in batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional

from livecam.explain.device import at_least_single
from livecam.explain.tap import Tap
from livecam.explain.targets import Objective
from livecam.models.grid import Grid

OnForwards = Callable[[int, int], None]
"""Called by methods that take many forward passes, with how many of how many channels have been tried."""


class ModelProbe:
    """A tapped module after a forward pass of `inputs`, (B, channels, height, width), to be asked what else it gives.

    `logits` (B, classes) are what came of it, `targets` (B, K) the classes to explain. Scores are of the objective for
    each of these; row i of what is asked for belongs to picture `pictures[i]`. `progress` is to be told how many of all
    channels, of all pictures, have been tried.
    """

    def __init__(
        self,
        module: nn.Module,
        tap: Tap,
        grid: Grid,
        inputs: Tensor,
        logits: Tensor,
        targets: Tensor,
        objective: Objective,
        on_forwards: OnForwards | None,
    ) -> None:
        self.inputs = inputs
        self._module = module
        self._tap = tap
        self._grid = grid
        self._output = tap.point.detach().clone()  # the tap writes over its own at the next pass
        self._logits = logits
        self._targets = targets
        self._objective = objective
        self.progress = on_forwards or (lambda done, total: None)

    @property
    def activation(self) -> Tensor:
        """Of the tapped layer, (B, C, h, w)."""
        return at_least_single(self._grid.fold(self._output))

    def scores(self) -> Tensor:
        """Scores (B, K) as they are."""
        return self._scored(self._logits, self._targets)

    def scores_of_inputs(self, inputs: Tensor, pictures: Tensor) -> Tensor:
        """Inputs (N, channels, height, width) -> scores (N, K)."""
        return self._scored(self._module(inputs), self._targets[pictures])

    def scores_without_channel(self, channels: Tensor, pictures: Tensor) -> Tensor:
        """Scores (N, K) with the layer's channel of this number, (N,), set to 0."""
        rows, axis = self._output[pictures], self._grid.channel_axis
        dropped = functional.one_hot(channels, self._output.shape[axis]).bool()
        dropped = dropped.reshape([size if place in (0, axis) else 1 for place, size in enumerate(rows.shape)])
        inputs = torch.zeros_like(self.inputs[:1]) if self._layer_decides else self.inputs[pictures]
        with self._tap.substituting(rows.masked_fill(dropped, 0)):
            logits = self._module(inputs)
        return self._scored(logits, self._targets[pictures])

    @cached_property
    def _layer_decides(self) -> bool:
        """Whether nothing leads around the layer: then a single blank input will do to get to what comes after it.

        That makes the passes as cheap as the layer is late. Not so within a residual or a dense block.
        """
        try:
            with self._tap.substituting(self._output.repeat_interleave(2, dim=0)):
                logits = self._module(torch.zeros_like(self.inputs[:1]))
        except RuntimeError:  # so many rows do not fit to one
            return False
        expected = self._logits.repeat_interleave(2, dim=0)
        tolerance = max(1e-3, 4 * torch.finfo(expected.dtype).eps) * expected.abs().max()
        return logits.shape == expected.shape and bool((logits - expected).abs().max() <= tolerance)

    def _scored(self, logits: Tensor, targets: Tensor) -> Tensor:
        exact = at_least_single(logits)
        return torch.stack([self._objective(exact, target) for target in targets.unbind(dim=1)], dim=1)


ROWS_PER_FORWARD = 32
"""How many perturbed pictures go through the model at once."""


@dataclass(frozen=True)
class Perturbation:
    """A method on forward passes: `weigh` gives each channel's weight for each picture and class, (B, K, C)."""

    weigh: Callable[[ModelProbe], Tensor]
    features_only: bool = False

    def maps(self, probe: ModelProbe) -> Tensor:
        """Signed maps (B, K, h, w): sum_c w_c A_c."""
        return torch.einsum("bkc,bchw->bkhw", self.weigh(probe), probe.activation)


def scorecam(probe: ModelProbe) -> Tensor:
    """w = softmax over the channels of y(x s(up(A_c))), s the min-max scaling, up bilinear to the input's size.

    Wang et al., "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks", CVPRW 2020. (The
    score of the blank input, which the paper subtracts, falls out of the softmax.)
    """
    activation = probe.activation
    size = probe.inputs.shape[2:]

    def masked(pictures: Tensor, channels: Tensor) -> Tensor:
        mask = functional.interpolate(activation[pictures, channels][:, None], size, mode="bilinear")
        low, high = mask.amin(dim=(2, 3), keepdim=True), mask.amax(dim=(2, 3), keepdim=True)
        return (torch.where(high > low, (mask - low) / (high - low), 0) * probe.inputs[pictures]).to(probe.inputs.dtype)

    return _for_each_channel(
        probe, lambda pictures, channels: probe.scores_of_inputs(masked(pictures, channels), pictures)
    ).softmax(dim=2)


def ablationcam(probe: ModelProbe) -> Tensor:
    """w_c = (y - y without channel c) / |y|; the paper's y is positive.

    Desai and Ramaswamy, "Ablation-CAM: Visual Explanations for Deep Convolutional Network via Gradient-free
    Localization", WACV 2020.
    """
    whole = probe.scores()[:, :, None]
    without = _for_each_channel(probe, lambda pictures, channels: probe.scores_without_channel(channels, pictures))
    return torch.where(whole == 0, 0, (whole - without) / whole.abs())


def _for_each_channel(probe: ModelProbe, score: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """`score` of pictures (N,) and channels (N,) -> (N, K), asked for each channel of each picture: (B, K, C)."""
    pictures, channels = probe.activation.shape[:2]
    total = pictures * channels
    scores = []
    for begin in range(0, total, ROWS_PER_FORWARD):
        end = min(begin + ROWS_PER_FORWARD, total)
        rows = torch.arange(begin, end, device=probe.activation.device)
        scores.append(score(rows // channels, rows % channels))
        probe.progress(end, total)
    return torch.cat(scores).reshape(pictures, channels, -1).mT

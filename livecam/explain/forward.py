"""A forward pass through a tapped model, and what a method can ask of it: activations, gradients, further passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional

from livecam.explain.device import at_least_single
from livecam.explain.tap import Tap
from livecam.models.layers import TargetLayer

Objective = Callable[[Tensor, Tensor], Tensor]
"""Takes a model's output and a target for each picture, (B,); gives the scores to explain, (B,), differentiable."""

OnForwards = Callable[[int, int], None]
"""Called by methods that take many forward passes, with how many of how many channels have been tried."""

_LOSS_SCALE = 1024.0


@dataclass(frozen=True, kw_only=True)
class ForwardPass:
    """A batch of B pictures that went through a tapped model.

    Args:
        module: The model, with `taps` attached to its `layers`, one to each.
        inputs: What it was given, (B, channels, height, width).
        output: What it gave: a tensor whose first axis counts the pictures; the task knows what else it is.
        targets: What is explained of each picture, (B, K); the numbers mean something to the task.
        objective: The score of a target, which gradients and further passes are about.
        on_forwards: Told of the progress of methods that take many forward passes.
    """

    module: nn.Module
    layers: Sequence[TargetLayer]
    taps: Sequence[Tap]
    inputs: Tensor
    output: Tensor
    targets: Tensor
    objective: Objective
    on_forwards: OnForwards | None = None

    @cached_property
    def activations(self) -> list[Tensor]:
        """The output of each layer, (B, C, h, w), detached."""
        return [
            at_least_single(layer.grid.fold(tap.point.detach()))
            for tap, layer in zip(self.taps, self.layers, strict=True)
        ]

    def gradients(self) -> Iterator[list[Tensor]]:
        """Yield for each of the K targets the gradient of its score at each layer, (B, C, h, w).

        The network behind the first of the layers is run through backwards once for each target.
        """
        points = [tap.point for tap in self.taps]
        # Small gradients are 0 in float16 unless the score is made larger first, as in mixed-precision training.
        loss_scale = _LOSS_SCALE if points[0].dtype == torch.float16 else 1.0
        for number, target in enumerate(self.targets.unbind(dim=1)):
            with torch.enable_grad():
                # The pictures of a batch do not depend on each other, so the gradient of the sum is that of each.
                score = self.objective(self.output, target).sum() * loss_scale
            more = number + 1 < self.targets.shape[1]
            gradients = torch.autograd.grad(score, points, retain_graph=more)
            yield [
                at_least_single(layer.grid.fold(gradient)) / loss_scale
                for layer, gradient in zip(self.layers, gradients, strict=True)
            ]

    def probes(self) -> list[LayerProbe]:
        """Return a probe of each layer. Further passes write over what the taps hold, so take all probes first."""
        return [LayerProbe(self, tap, layer) for tap, layer in zip(self.taps, self.layers, strict=True)]


class LayerProbe:
    """Runs a model again after a forward pass, with other inputs or without a channel of one layer.

    `pictures` says, in all of its methods, to which picture of the batch each of N rows belongs: (N,) int64.
    """

    def __init__(self, passed: ForwardPass, tap: Tap, layer: TargetLayer) -> None:
        self.inputs = passed.inputs
        self._passed = passed
        self._tap = tap
        self._grid = layer.grid
        self._layer_output = tap.point.detach().clone()  # the tap writes over its own at the next pass

    @property
    def activation(self) -> Tensor:
        """The layer's output in the first pass, (B, C, h, w)."""
        return at_least_single(self._grid.fold(self._layer_output))

    def progress(self, done: int, total: int) -> None:
        """Tell that `done` of `total` channels have been tried, of all pictures together."""
        if self._passed.on_forwards is not None:
            self._passed.on_forwards(done, total)

    def scores(self) -> Tensor:
        """Return the scores of the targets in the first pass, (B, K)."""
        return self._scored(self._passed.output, self._passed.targets)

    def scores_of_inputs(self, inputs: Tensor, pictures: Tensor) -> Tensor:
        """Return the scores (N, K) for other inputs, (N, channels, height, width)."""
        return self._scored(self._passed.module(inputs), self._passed.targets[pictures])

    def scores_without_channel(self, channels: Tensor, pictures: Tensor) -> Tensor:
        """Return the scores (N, K) with one channel of the layer set to 0 in each row; `channels` (N,) numbers it."""
        rows, axis = self._layer_output[pictures], self._grid.channel_axis
        dropped = functional.one_hot(channels, self._layer_output.shape[axis]).bool()
        dropped = dropped.reshape([size if place in (0, axis) else 1 for place, size in enumerate(rows.shape)])
        inputs = torch.zeros_like(self.inputs[:1]) if self._layer_decides else self.inputs[pictures]
        with self._tap.substituting(rows.masked_fill(dropped, 0)):
            output = self._passed.module(inputs)
        return self._scored(output, self._passed.targets[pictures])

    @cached_property
    def _layer_decides(self) -> bool:
        """True if nothing leads around the layer: then one blank input will do to get to what comes after it.

        That makes the passes as cheap as the layer is late. Within a residual or a dense block it is not so.
        """
        try:
            with self._tap.substituting(self._layer_output.repeat_interleave(2, dim=0)):
                output = self._passed.module(torch.zeros_like(self.inputs[:1]))
        except RuntimeError:  # so many rows do not fit to one
            return False
        expected = self._passed.output.repeat_interleave(2, dim=0)
        tolerance = max(1e-3, 4 * torch.finfo(expected.dtype).eps) * expected.abs().max()
        return output.shape == expected.shape and bool((output - expected).abs().max() <= tolerance)

    def _scored(self, output: Tensor, targets: Tensor) -> Tensor:
        return torch.stack([self._passed.objective(output, target) for target in targets.unbind(dim=1)], dim=1)

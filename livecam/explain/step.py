"""One explanation: from a batch of inputs to the maps of the classes asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from livecam.explain.capture import Tap, frozen, held_in
from livecam.explain.methods import Activation, Gradient, Method
from livecam.explain.objectives import class_score, contrasted
from livecam.explain.precision import at_least_single
from livecam.explain.probe import ModelProbe, OnForwards
from livecam.models.layers import TargetLayer

_LOSS_SCALE = 1024.0


class Explained(NamedTuple):
    """`maps` (B, K, h', w') signed, `logits` (B, classes), `targets` (B, K) the explained classes, best first."""

    maps: Tensor
    logits: Tensor
    targets: Tensor


class Step:
    """Explains by one method at one or several layers; the maps of several are fused.

    `against` is a class to contrast with, `negative` asks for what speaks against. Not for several threads at once.
    """

    def __init__(
        self, module: nn.Module, layers: Sequence[TargetLayer], method: Method, *, against: int | None, negative: bool
    ) -> None:
        self._module = module
        self._layers = layers
        self._taps = [Tap(layer.calls) for layer in layers]
        self._method = method
        objective = method.objective if isinstance(method, Gradient) else class_score
        self._objective = contrasted(objective, against, negative)

    @contextmanager
    def prepared(self, dtype: torch.dtype) -> Iterator[None]:
        """The module is frozen, tapped and of this dtype inside the block, and as before afterwards."""
        with ExitStack() as stack:
            stack.enter_context(frozen(self._module))
            stack.enter_context(held_in(self._module, dtype))
            for tap, layer in zip(self._taps, self._layers, strict=True):
                stack.enter_context(tap.attached(layer.module, self._module))
            yield

    def __call__(
        self, batch: Tensor, select: Callable[[Tensor], Tensor], on_forwards: OnForwards | None = None
    ) -> Explained:
        """Explain inputs (B, channels, height, width); `select` picks the classes, (B, K), from the logits."""
        method = self._method
        with torch.set_grad_enabled(isinstance(method, Gradient)):
            logits = self._module(batch)
        targets = select(at_least_single(logits.detach()))
        if isinstance(method, Gradient):
            maps = self._maps_of_gradients(method, logits, targets)
        elif isinstance(method, Activation):
            maps = [method.compute(each)[:, None].expand(-1, targets.shape[1], -1, -1) for each in self._activations()]
        else:
            # All probes before the first pass: the taps go on to what is probed then.
            probes = [
                ModelProbe(self._module, tap, layer.grid, batch, logits, targets, self._objective, on_forwards)
                for tap, layer in zip(self._taps, self._layers, strict=True)
            ]
            with torch.no_grad():
                maps = [method.maps(probe) for probe in probes]
        return Explained(_fused(maps), logits.detach(), targets)

    def _activations(self) -> list[Tensor]:
        """Of each layer, (B, C, h, w)."""
        return [
            at_least_single(layer.grid.fold(tap.point.detach()))
            for tap, layer in zip(self._taps, self._layers, strict=True)
        ]

    def _maps_of_gradients(self, method: Gradient, logits: Tensor, targets: Tensor) -> list[Tensor]:
        """For each layer, (B, K, h, w). The network behind the layer is run through backwards once for each class."""
        activations, points = self._activations(), [tap.point for tap in self._taps]
        # Small gradients are 0 in float16 unless the score is made larger first, as in mixed-precision training.
        loss_scale = _LOSS_SCALE if points[0].dtype == torch.float16 else 1.0
        with torch.enable_grad():
            logits = at_least_single(logits)
        maps: list[list[Tensor]] = []
        for number, target in enumerate(targets.unbind(dim=1)):
            with torch.enable_grad():
                # The pictures of a batch do not depend on each other, so the gradient of the sum is that of each.
                score = self._objective(logits, target).sum() * loss_scale
            more = number + 1 < targets.shape[1]
            gradients = torch.autograd.grad(score, points, retain_graph=more)
            maps.append(
                [
                    method.compute(activation, at_least_single(layer.grid.fold(gradient)) / loss_scale)
                    for activation, layer, gradient in zip(activations, self._layers, gradients, strict=True)
                ]
            )
        return [torch.stack(of_layer, dim=1) for of_layer in zip(*maps, strict=True)]


class PlainPrediction:
    """In place of a `Step`: the forward pass alone. It is what explaining is measured against."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module

    @contextmanager
    def prepared(self, dtype: torch.dtype) -> Iterator[None]:
        """As in `Step`."""
        with frozen(self._module), held_in(self._module, dtype):
            yield

    def __call__(
        self, batch: Tensor, select: Callable[[Tensor], Tensor], on_forwards: OnForwards | None = None
    ) -> Explained:
        """As in `Step`, of no class at all: K is 0."""
        with torch.no_grad():
            logits = self._module(batch)
        return Explained(logits.new_empty(len(batch), 0, 1, 1), logits, select(at_least_single(logits))[:, :0])


def _fused(maps: Sequence[Tensor]) -> Tensor:
    """Maps (B, K, h, w) of several layers -> their mean on the finest of the grids.

    Each is divided by its largest absolute value first: their units differ by orders of magnitude from layer to layer.
    """
    if len(maps) == 1:
        return maps[0]
    size = max((of_layer.shape[2:] for of_layer in maps), key=lambda shape: shape[0] * shape[1])
    scaled = []
    for of_layer in maps:
        largest = of_layer.abs().amax(dim=(2, 3), keepdim=True)
        scaled.append(functional.interpolate(torch.where(largest > 0, of_layer / largest, 0), size, mode="bilinear"))
    return torch.stack(scaled).mean(dim=0)

"""What an engine runs: from 8-bit pictures to maps and scores, one function of tensors alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from livecam.explain.device import at_least_single
from livecam.explain.methods import Activation, Gradient, Method
from livecam.explain.perturbation import ModelProbe, OnForwards
from livecam.explain.tap import Tap, frozen, held_in
from livecam.explain.targets import SHOWN_PREDICTIONS, class_score, contrasted
from livecam.models import Classifier
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

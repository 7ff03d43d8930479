"""The program that engines run: a function of tensors, from 8-bit pictures to maps and scores."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from itertools import chain, islice

import torch
from torch import Tensor
from torch.nn import functional

from livecam.explain.answer import Answer, Select
from livecam.explain.blocks import BlockTaps
from livecam.explain.forward import ForwardPass, OnForwards
from livecam.explain.methods import Method
from livecam.explain.tap import Tap, frozen, held_in
from livecam.explain.task import Selection, Task
from livecam.models.classifier import Classifier, Preprocessing
from livecam.models.gradients import gradients_kept
from livecam.models.problems import later_errors
from livecam.models.survey.layers import TargetLayer


class CamProgram:
    """Explains pictures (B, h, w, channels) uint8 on the device, in one precision. Not thread-safe.

    If the model takes clips, they are (B, frames, h, w, channels), and maps are (B, K, t, h, w) with t time cells.

    Args:
        classifier: The model, on the device.
        device: The device that it runs on.
        task: What the model's output means.
        selection: Chooses the targets to explain of each picture.
        layers: The layers whose activations are explained, each as the streams whose maps add up to its own; the maps
            of several layers are fused.
        method: The method; None to predict only.
        dtype: The precision.
        on_forwards: Called as `on_forwards(done, total)` by methods that need many forward passes.
        keep_gradients: The model hides gradients, as in `livecam.models.gradients`, so it runs without that.
    """

    def __init__(
        self,
        classifier: Classifier,
        device: torch.device,
        task: Task,
        selection: Selection,
        layers: Sequence[Sequence[TargetLayer]],
        method: Method | None,
        dtype: torch.dtype,
        *,
        on_forwards: OnForwards | None = None,
        keep_gradients: bool = False,
    ) -> None:
        self.dtype = dtype
        self._name, self._module = classifier.name, classifier.module
        self._takes_clips = classifier.preprocessing.frames > 1
        self._channel_axis = 2 if self._takes_clips and classifier.preprocessing.frames_first else 1
        self._normalisation = Normalisation(classifier.preprocessing, device, dtype)
        self._task, self._selection = task, selection
        self._streams_of_layers, self._method = layers, method
        self._streams = list(chain.from_iterable(layers))
        blocks = [stream.attention for stream in self._streams if stream.attention]
        self._blocks = BlockTaps(self._streams[0].grid, blocks, method.needs_gradient) if method and blocks else None
        self._taps = [] if self._blocks else [Tap(stream.name, stream.call) for stream in self._streams]
        self._on_forwards, self._keep_gradients = on_forwards, keep_gradients

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Tensors that it reads at each call beside the pictures."""
        return *self._task.inputs, *self._selection.inputs

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Freeze and tap the module and convert it to the precision inside the block; restore it afterwards."""
        with ExitStack() as stack:
            stack.enter_context(frozen(self._module))
            stack.enter_context(held_in(self._module, self.dtype))
            for tap, stream in zip(self._taps, self._streams, strict=False):  # without taps, blocks are tapped
                stack.enter_context(tap.attached(stream.module, self._module))
            if self._blocks:
                stack.enter_context(self._blocks.attached(self._module))
            yield

    def __call__(self, images: Tensor, select: Select | None = None) -> Answer:
        """Return the answer to pictures, on the device; `select` replaces the selection for this call."""
        maps, targets, output = self._explained(self._normalisation(images), select or self._selection)
        scores = self._task.scores(output, targets)
        return Answer(maps.float(), targets, *scores, self._task.where(output, targets))

    def maps(self, inputs: Tensor, select: Select) -> Tensor:
        """Return the signed maps (B, K, h, w) of normalised inputs (B, channels, height, width) in the precision."""
        return self._explained(inputs, select)[0]

    def run(self, inputs: Tensor) -> Tensor:
        """Run the model on inputs (B, channels, height, width) and return its output as the task reads it."""
        with self._task.listening(), gradients_kept() if self._keep_gradients else nullcontext():
            with later_errors(self._name):
                output = self._module(inputs.to(self.dtype))
            read = self._task.read(output)
        return self._blocks.own(read) if self._blocks else read

    def _explained(self, inputs: Tensor, select: Select) -> tuple[Tensor, Tensor, Tensor]:
        """Return maps (B, K, h, w), targets (B, K) and the model's output."""
        method = self._method
        with torch.set_grad_enabled(method is not None and method.needs_gradient):
            output = self.run(inputs)
        targets = select(output)
        if method is None:
            sides = (1, 1, 1) if self._takes_clips else (1, 1)
            return output.new_empty(len(inputs), 0, *sides), targets[:, :0], output
        passed = ForwardPass(
            run=self.run,
            layers=self._streams,
            taps=self._taps,
            inputs=inputs,
            channel_axis=self._channel_axis,
            output=output,
            targets=targets,
            objective=self._selection.objective,
            pixels=self._task.pixels(output.detach(), targets),
            on_forwards=self._on_forwards,
            attention=self._blocks,
        )
        of_streams = map(self._unstacked, method.maps(passed), self._streams)
        maps = [_added(list(islice(of_streams, len(streams)))) for streams in self._streams_of_layers]
        return _fused(maps), targets, output.detach()

    def _unstacked(self, maps: Tensor, stream: TargetLayer) -> Tensor:
        """Return the maps of a layer with the time cells of a clip on an axis of their own."""
        return torch.unflatten(maps, 2, stream.grid.size[:2]) if self._takes_clips else maps


class Normalisation:
    """Normalises pictures (B, h, w, channels) uint8 to inputs (B, channels, h, w), as the model was trained.

    It normalises clips (B, frames, h, w, channels) to (B, channels, frames, h, w), or with the frames first.
    """

    def __init__(self, preprocessing: Preprocessing, device: torch.device, dtype: torch.dtype) -> None:
        self._axes = _axes_of_inputs(preprocessing)
        mean, std = (torch.tensor(each, device=device) for each in (preprocessing.mean, preprocessing.std))
        self._scale, self._shift = 1 / (255 * std), -mean / std
        self._dtype, self._bgr = dtype, preprocessing.bgr

    def __call__(self, images: Tensor) -> Tensor:
        images = images.flip(-1) if self._bgr else images
        # Scaled before it is turned: convolutions of OpenVINO take the channels last, so that turning costs nothing.
        # Turned in memory as well: what a model does with another layout is traced with strides, which takes longer.
        scaled = images.float().mul_(self._scale).add_(self._shift)
        return scaled.permute(self._axes).contiguous().to(self._dtype)


def _axes_of_inputs(preprocessing: Preprocessing) -> tuple[int, ...]:
    """Return which axes of pictures or clips with the channels last those of the inputs are."""
    if preprocessing.frames == 1:
        return 0, 3, 1, 2
    return (0, 1, 4, 2, 3) if preprocessing.frames_first else (0, 4, 1, 2, 3)


def _added(maps: Sequence[Tensor]) -> Tensor:
    """Return the sum of the maps (B, K, [t,] h, w) of parallel streams, on the finest of their grids.

    It is the map of what the network joins them to, by addition or concatenation. The evidence of a cell is spread over
    the finer cells in its place.
    """
    if len(maps) == 1:
        return maps[0]
    finest = max(each[0, 0].numel() for each in maps)
    return torch.stack(_on_finest_grid([each * (each[0, 0].numel() / finest) for each in maps])).sum(dim=0)


def _fused(maps: Sequence[Tensor]) -> Tensor:
    """Return the mean of the maps (B, K, [t,] h, w) of several layers, on the finest of their grids.

    Each is divided by its largest absolute value first: their units differ by orders of magnitude from layer to layer.
    """
    if len(maps) == 1:
        return maps[0]
    cells = tuple(range(2, maps[0].ndim))
    largest = [of_layer.abs().amax(dim=cells, keepdim=True) for of_layer in maps]
    scaled = [torch.where(most > 0, of_layer / most, 0) for of_layer, most in zip(maps, largest, strict=True)]
    return torch.stack(_on_finest_grid(scaled)).mean(dim=0)


def _on_finest_grid(maps: Sequence[Tensor]) -> list[Tensor]:
    size = max((each.shape[2:] for each in maps), key=math.prod)
    return [_interpolated(each, size) for each in maps]


def _interpolated(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Interpolate maps (B, K, [t,] h, w) linearly in space and then in time; OpenVINO knows no three axes at once."""
    if maps.ndim == 4:
        return functional.interpolate(maps, tuple(size), mode="bilinear")
    times, *sides = size
    in_space = functional.interpolate(maps.flatten(1, 2), tuple(sides), mode="bilinear").reshape(*maps.shape[:3], -1)
    return functional.interpolate(in_space, (times, math.prod(sides)), mode="bilinear").reshape(*maps.shape[:2], *size)

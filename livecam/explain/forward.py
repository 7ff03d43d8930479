"""A forward pass through a tapped model, from which methods get activations, gradients and further passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import torch
from torch import Tensor
from torch.nn import functional

from livecam.explain.blocks import BlockTaps
from livecam.explain.device import at_least_single
from livecam.explain.tap import Tap, no_part
from livecam.models.survey.layers import TargetLayer
from livecam.models.trial import takes_batches

Objective = Callable[..., Tensor]
"""A differentiable function of a model's output and a target for each picture, (B,), that returns the scores, (B,).

Where the output has a score for every pixel, how much each counts comes third, (B, H, W)."""

OnForwards = Callable[[int, int], None]
"""Called as `on_forwards(done, total)` by methods that need many forward passes: channels tried, and to try."""


class Relay:
    """Reports forward passes to the function `to`, if there is one."""

    def __init__(self, to: OnForwards | None) -> None:
        self.to = to

    def __call__(self, done: int, total: int) -> None:
        if self.to is not None:
            self.to(done, total)


_LOSS_SCALE = 1024.0
_ROWS_AT_ONCE = 32


@dataclass(frozen=True, kw_only=True)
class ForwardPass:
    """The forward pass of a batch of B pictures through a tapped model.

    Args:
        run: Runs the model, with `taps` attached to its `layers`, one to each, and returns its output for inputs.
        inputs: The inputs of the pass, (B, channels, height, width), or clips.
        channel_axis: The axis of the channels in `inputs`.
        output: The model's output: a tensor whose first axis counts the pictures; only the task interprets it.
        targets: The targets to explain of each picture, (B, K), as numbers that the task defines.
        objective: The score of a target, which is differentiated and measured in further passes.
        pixels: How much each pixel counts in the scores of the targets, (B, K, H, W), if the output has pixels.
        on_forwards: Called as `on_forwards(done, total)` by methods that need many forward passes.
        attention: The taps of the blocks whose attention is explained, in place of `taps`.
    """

    run: Callable[[Tensor], Tensor]
    layers: Sequence[TargetLayer]
    taps: Sequence[Tap]
    inputs: Tensor
    channel_axis: int
    output: Tensor
    targets: Tensor
    objective: Objective
    pixels: Tensor | None = None
    on_forwards: OnForwards | None = None
    attention: BlockTaps | None = None

    @property
    def blocks(self) -> BlockTaps:
        """The taps of the blocks, for methods that explain attention. Raises ModelError if a block was left out."""
        assert self.attention is not None
        if missing := self.attention.missing:
            raise no_part(missing)
        return self.attention

    @cached_property
    def activations(self) -> list[Tensor]:
        """The output of each layer, (B, C, h, w), detached."""
        return [
            at_least_single(layer.grid.fold(tap.point.detach()))
            for tap, layer in zip(self.taps, self.layers, strict=True)
        ]

    def gradients(self) -> Iterator[list[Tensor]]:
        """Yield for each of the K targets the gradient of its score at each layer, (B, C, h, w).

        Each target takes one backward pass, from the output to the first of the layers.
        """
        for gradients in self._gradients([tap.point for tap in self.taps], [self.output]):
            yield [layer.grid.fold(gradient) for layer, gradient in zip(self.layers, gradients, strict=True)]

    def attention_gradients(self) -> Iterator[list[Tensor]]:
        """Yield for each of the K targets the gradients at the attention of each block, (B, heads, queries, keys)."""
        for gradients in self._gradients(self.blocks.points, self.blocks.outputs):
            yield self.blocks.folded(gradients)

    def _gradients(self, points: Sequence[Tensor], outputs: Sequence[Tensor]) -> Iterator[list[Tensor]]:
        """Yield for each target the gradients, with respect to `points`, of its score added up over `outputs`."""
        # Small gradients are 0 in float16 unless the score is made larger first, as in mixed-precision training.
        loss_scale = _LOSS_SCALE if points[0].dtype == torch.float16 else 1.0
        for number in range(self.targets.shape[1]):
            with torch.enable_grad():
                # Pictures of a batch are independent: the gradient of the summed scores holds each picture's own.
                scores = (self.score(number, output).sum() for output in outputs)
                score = reduce(Tensor.add, scores) * loss_scale
            if not score.requires_grad:
                raise no_part(",".join(layer.name for layer in self.layers))
            more = number + 1 < self.targets.shape[1]
            gradients = torch.autograd.grad(score, points, retain_graph=more, materialize_grads=True)
            yield [at_least_single(gradient) / loss_scale for gradient in gradients]

    def score(self, number: int, output: Tensor, pictures: Tensor | slice = slice(None)) -> Tensor:
        """Return the score of the target with this number in each row of an output, which belong to these pictures."""
        pixels = () if self.pixels is None else (self.pixels[pictures, number],)
        return self.objective(output, self.targets[pictures, number], *pixels)

    def probes(self) -> list[LayerProbe]:
        """Return a probe of each layer. Further passes overwrite the taps' buffers, so create all probes first."""
        return [LayerProbe(self, tap, layer) for tap, layer in zip(self.taps, self.layers, strict=True)]


class LayerProbe:
    """Runs a model again after a forward pass, with other inputs or with one channel of a layer set to 0.

    In all methods `pictures`, (N,) int64, holds the index in the batch of the picture that each of N rows belongs to.
    """

    def __init__(self, passed: ForwardPass, tap: Tap, layer: TargetLayer) -> None:
        self.inputs = passed.inputs
        self._passed = passed
        self._tap = tap
        self._grid = layer.grid
        self._layer_output = tap.point.detach().clone()  # a copy, since the next pass overwrites the tap's buffer

    @property
    def activation(self) -> Tensor:
        """The layer's output in the first pass, (B, C, h, w)."""
        return at_least_single(self._grid.fold(self._layer_output))

    @cached_property
    def rows_at_once(self) -> int:
        """How many other inputs may go through the model at once."""
        passed = self._passed
        return _ROWS_AT_ONCE if takes_batches(passed.run, passed.inputs[:1]) else 1

    def progress(self, done: int, total: int) -> None:
        """Report that `done` of `total` channels have been tried, counted over all pictures."""
        if self._passed.on_forwards is not None:
            self._passed.on_forwards(done, total)

    def scores(self) -> Tensor:
        """Return the scores of the targets in the first pass, (B, K)."""
        return self._scored(self._passed.output)

    def on_pixels(self, cells: Tensor) -> Tensor:
        """Return values of the layer's cells, (N, h, w), interpolated to the pixels of inputs, (N, 1, ...)."""
        channel_axis = self._passed.channel_axis
        sides = [size for axis, size in enumerate(self.inputs.shape) if axis not in (0, channel_axis)]
        if len(sides) == 2:
            return functional.interpolate(cells[:, None], sides, mode="bilinear")
        in_time = torch.unflatten(cells, 1, self._grid.size[:2])
        return functional.interpolate(in_time[:, None], sides, mode="trilinear").movedim(1, channel_axis)

    def scores_of_inputs(self, inputs: Tensor, pictures: Tensor) -> Tensor:
        """Return the scores (N, K) for other inputs, (N, channels, height, width)."""
        return self._scored(self._passed.run(inputs), pictures)

    def scores_without_channel(self, channels: Tensor, pictures: Tensor) -> Tensor:
        """Return the scores (N, K) with one channel of the layer, `channels` (N,), set to 0 in each row."""
        axes = (self._grid.batch_axis, self._grid.channel_axis + self._grid.splits_clips)
        rows = self._grid.by_clip(self._layer_output).index_select(axes[0], pictures)
        dropped = functional.one_hot(channels, rows.shape[axes[1]]).bool()
        dropped = dropped.reshape([size if place in axes else 1 for place, size in enumerate(rows.shape)])
        inputs = torch.zeros_like(self.inputs[:1]) if self._layer_decides else self.inputs[pictures]
        with self._tap.substituting(self._grid.by_frame(rows.masked_fill(dropped, 0))):
            output = self._passed.run(inputs)
        return self._scored(output, pictures)

    @cached_property
    def _layer_decides(self) -> bool:
        """True if the output depends on the input only through this layer, so that a blank input can stand for any.

        Then a single blank input serves all rows, and later layers get cheaper passes. A shortcut around the layer, as
        in a residual or dense block, makes it False.
        """
        twice = self._grid.by_clip(self._layer_output).repeat_interleave(2, dim=self._grid.batch_axis)
        try:
            with self._tap.substituting(self._grid.by_frame(twice)):
                output = self._passed.run(torch.zeros_like(self.inputs[:1]))
        except Exception:  # the batch sizes do not match, or the model takes one picture at a time
            return False
        expected = self._passed.output.repeat_interleave(2, dim=0)
        tolerance = max(1e-3, 4 * torch.finfo(expected.dtype).eps) * expected.abs().max()
        return output.shape == expected.shape and bool((output - expected).abs().max() <= tolerance)

    def _scored(self, output: Tensor, pictures: Tensor | slice = slice(None)) -> Tensor:
        numbers = range(self._passed.targets.shape[1])
        return torch.stack([self._passed.score(number, output, pictures) for number in numbers], dim=1)

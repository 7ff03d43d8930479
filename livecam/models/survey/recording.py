"""A recording: what every layer of a model gives for three pictures, from which the survey of its layers is made."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from livecam.errors import ModelError
from livecam.models.gradients import gradients_kept
from livecam.models.problems import why_no_layers
from livecam.models.squashing import Squashing, Squashings
from livecam.models.survey.attention import AttentionCall, Reached, attention_of
from livecam.models.survey.attention_recorder import attention_calls
from livecam.models.survey.branches import Branches
from livecam.models.survey.displacement import displacements
from livecam.models.survey.grid import Grid, Size, possible_layouts, sample
from livecam.models.survey.grid_finder import Found, GridFinder
from livecam.models.survey.layers import MISPLACED, NO_EXTENT, UNREACHED, VIEWS, Layer, Survey
from livecam.models.survey.locality import PLACES, faintly_changed
from livecam.models.survey.streams import Streams

Samples = dict[str, list[Tensor]]
"""Parts of an output in each layout that its shape allows: one for each picture for which it has this shape."""

_CHANNELS_AT_FIRST = 8
_ROUNDING = 1e-5
"""A mean of float32 numbers that is 0 but for rounding, relative to their size."""


@dataclass(frozen=True)
class Output:
    """The output of a call of a module for the first picture.

    Attributes:
        name: The module's dotted name.
        call: The call, counted from 0.
        shape: The shape of the output.
        edge: Its node in the autograd graph, before any in-place operation.
        samples: Parts of it, and of the outputs for the other pictures.
    """

    name: str
    call: int
    shape: tuple[int, ...]
    edge: GradientEdge
    samples: Samples = field(repr=False)

    @property
    def comparable(self) -> dict[str, Tensor]:
        """The samples of three pictures; an output that is not there for all of them counts as always the same."""
        return {
            layout: torch.stack(seen if len(seen) == len(PLACES) else seen[:1] * len(PLACES))
            for layout, seen in self.samples.items()
        }


@dataclass(frozen=True)
class Recording:
    """The runs of a model on three pictures that differ in a patch.

    Attributes:
        model: The model.
        example: The first input, (1, channels, h, w) or of a clip (1, channels, frames, h, w).
        size: (frames, height, width) of the input, with one frame for pictures.
        output: The model's own output for it.
        squashings: Its calls of softmax and sigmoid for it.
        outputs: Those of the submodule calls that returned a tensor which depends on the input, in the order of
            execution.
        calls: How often the model ran each submodule for it.
        attention: Its computations of attention for it.
        hides_gradients: True if the model has to be run inside `gradients_kept`.
    """

    model: nn.Module
    example: Tensor
    size: Size
    output: Any
    squashings: Sequence[Squashing]
    outputs: Sequence[Output]
    calls: Counter[str]
    attention: Sequence[AttentionCall]
    hides_gradients: bool

    def survey(
        self, score: Callable[[Any], Tensor], holds_scores: Callable[[int], bool], *, to_bottleneck: bool = False
    ) -> Survey:
        """Find out which layers can be explained. Raises ModelError if the model has no submodules with outputs.

        Args:
            score: Maps the model's output to one number; its gradient must reach a layer for that to be explained.
            holds_scores: Returns True if a layer with this number of channels holds the scores themselves.
            to_bottleneck: Explain the layer where the network is narrowest by default, and not the last one.
        """
        if not self.outputs:
            raise ModelError(why_no_layers(self.model, self.calls))
        edges = [output.edge for output in self.outputs]
        displaced = displacements(edges, self.example)
        with torch.enable_grad():
            total = score(self.output)
        is_cut = not total.requires_grad
        gradients = (
            [None] * len(edges) if is_cut else torch.autograd.grad(total, edges, retain_graph=True, allow_unused=True)
        )
        streams = Streams(edges)
        finder = GridFinder(self.size, streams)
        views = self.outputs[0].shape[0]
        layers: list[Layer] = []
        for output, gradient, displacement in zip(self.outputs, gradients, displaced, strict=True):
            found = finder.find(len(layers), output.comparable, output.shape)
            is_split = len(output.shape) == 4 and output.shape[2] > 1 and output.shape[0] == views > 1
            holds_views = is_split and self.size[0] == 1
            is_reached, is_balanced = _reach(found.grid, gradient)
            obstacle = _obstacle(found.grid, output.shape, is_reached=is_cut or is_reached, holds_views=holds_views)
            obstacle = displacement if obstacle == MISPLACED and displacement else obstacle or displacement
            layer = self._layer(len(layers), found, obstacle, holds_scores)
            layers.append(replace(layer, is_balanced=is_balanced))
        reached = [
            Reached(output.name, output.shape, each) for output, each in zip(self.outputs, gradients, strict=True)
        ]
        attention = attention_of(self.attention, reached)
        survey = Survey(tuple(layers), streams, attention, is_cut)
        branches = Branches(layers, streams, edges, gradients)
        if to_bottleneck:
            return survey.with_bottleneck(None if is_cut else branches.is_passed)
        return survey if is_cut else survey.without_side_branches(branches.aside)

    def _layer(self, number: int, found: Found, obstacle: str, holds_scores: Callable[[int], bool]) -> Layer:
        output = self.outputs[number]
        grid = None if obstacle else found.grid
        return Layer(
            output.name,
            type(self.model.get_submodule(output.name)).__name__,
            output.shape,
            grid,
            obstacle,
            check=found.check,
            agreement=found.agreement,
            in_attention=_is_in_attention(self.model, output.name),
            holds_scores=grid is not None and holds_scores(output.shape[grid.channel_axis]),
            call=output.call,
            calls=self.calls[output.name],
            number=number,
        )


def record(model: nn.Module, inputs: Tensor, size: Size) -> Recording:
    """Run a frozen model on three preprocessed inputs, one after the other, and record the output of every layer.

    Args:
        model: The model; its output for the first input gets a gradient.
        inputs: Pictures as `livecam.models.survey.locality.occluded` makes them, (3, ...), normalised.
        size: (frames, height, width) of them, with one frame for pictures.
    """
    example, *others = (each[None] for each in faintly_changed(inputs.detach()))
    outputs: dict[tuple[str, int], Output] = {}

    def keep(name: str, call: int, output: Tensor) -> None:
        if output.requires_grad:
            edge = get_gradient_edge(output)
            layouts = [] if _is_attention(output) else possible_layouts(tuple(output.shape), size)
            samples = {layout: [sample(output, layout)] for layout in layouts}
            outputs[name, call] = Output(name, call, tuple(output.shape), edge, samples)

    def compare(name: str, call: int, output: Tensor) -> None:
        kept = outputs.get((name, call))
        if kept and kept.shape == output.shape:
            for layout, samples in kept.samples.items():
                samples.append(sample(output, layout))

    with (
        torch.enable_grad(),
        gradients_kept() as keeper,
        _each_output(model, keep) as calls,
        attention_calls(model) as attention,
        Squashings() as squashings,
    ):
        output = model(example.requires_grad_())
    with torch.no_grad(), gradients_kept():  # without gradients, the model's own checkpointing would warn
        for other in others:
            with _each_output(model, compare):
                model(other)
    seen = tuple(squashings.calls), tuple(outputs.values()), calls, tuple(attention)
    return Recording(model, example, size, output, *seen, keeper.was_needed)


def _reach(grid: Grid | None, gradient: Tensor | None) -> tuple[bool, bool]:
    """Return if a gradient is not 0 everywhere on a grid, and if it has a mean of 0 in each channel, up to rounding."""
    if grid is None or gradient is None:
        return False, False
    every, size = grid.fold(gradient), 0.0
    for channels in (every[:, :_CHANNELS_AT_FIRST], every):  # which tell almost always
        sizes, means = channels.abs().mean(dim=(2, 3)), channels.mean(dim=(2, 3)).abs()
        size, mean = torch.stack([sizes.sum(), means.sum()]).tolist()
        if mean > _ROUNDING * size:
            return True, False
    return size != 0, True


def _obstacle(grid: Grid | None, shape: tuple[int, ...], *, is_reached: bool, holds_views: bool) -> str:
    """Return the reason why an output for one picture cannot be explained; empty if it can."""
    if grid is None:
        is_map = len(shape) in (4, 5) and math.prod(shape[2:]) > 1
        return VIEWS if holds_views else MISPLACED if is_map else NO_EXTENT
    return "" if is_reached else UNREACHED


@contextmanager
def _each_output(model: nn.Module, see: Callable[[str, int, Tensor], None]) -> Iterator[Counter[str]]:
    """Call `see(name, call, output)` for each call of a submodule inside the block that returns a tensor.

    Yields the number of calls of each.
    """
    calls: Counter[str] = Counter()

    def seeing(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
            if isinstance(output, Tensor):
                with torch._C.DisableTorchFunction():  # what looks at the model's own calls costs more than these
                    see(name, calls[name], output)
            calls[name] += 1

        return hook

    handles = [
        child.register_forward_hook(seeing(name))
        for name, child in model.named_modules()
        if name and not isinstance(child, torch.jit.ScriptModule)
    ]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _is_attention(output: Tensor) -> bool:
    """Return True for matrices of attention, (B, heads, queries, keys), whose rows add up to 1."""
    if output.ndim != 4 or output.shape[-1] == 1:
        return False
    rows = output.detach()[0, 0].sum(dim=-1, dtype=torch.float32)
    return bool((rows - 1).abs().max() < 0.01)


def _is_in_attention(model: nn.Module, name: str) -> bool:
    parents = name.split(".")[:-1]
    types = (type(model.get_submodule(".".join(parents[: end + 1]))).__name__ for end in range(len(parents)))
    return any(re.search("attention|attn", kind, re.IGNORECASE) for kind in types)

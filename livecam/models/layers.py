"""The layers of a model that can be explained, and the choice among them."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from livecam.errors import ModelError
from livecam.models.grid import Grid, find_grid

LayerChoice = str | int | Sequence[str | int] | None
"""Layers by name or number, several as a sequence or by comma in one name; None for the automatic choice."""


@dataclass(frozen=True)
class Layer:
    """A module that was run: its dotted name, its type, the shape of its output for one picture.

    `grid` is where it can be explained, else None, and `obstacle` says why not. `in_attention` tells the parts of an
    attention module, `holds_scores` a layer whose channels are the model's scores. `calls` is how often it is run.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    grid: Grid | None
    obstacle: str = ""
    in_attention: bool = False
    holds_scores: bool = False
    calls: int = 1

    @property
    def size(self) -> str:
        """The shape as it is shown."""
        return "x".join(map(str, self.shape))


@dataclass(frozen=True)
class TargetLayer:
    """A layer to explain: its dotted name in the model, the module, and the grid of its output.

    `calls` is how often the model runs the module for one input; it is explained at the last.
    """

    name: str
    module: nn.Module
    grid: Grid
    calls: int = 1


@dataclass(frozen=True)
class Survey:
    """The layers of a model in the order of execution, each at its last call."""

    layers: tuple[Layer, ...]

    @property
    def usable(self) -> list[Layer]:
        """Those that can be explained; `--layer` counts them from 0, or backwards from -1."""
        return [layer for layer in self.layers if layer.grid is not None]

    @property
    def automatic(self) -> Layer:
        """The last one with a spatial extent and a gradient of the score through it, but no part of an attention.

        (The last block of a ViT does not qualify: only its class token reaches the head. The last that does is the
        normalisation before its attention, whose own queries get no gradient either.) Raises ModelError.
        """
        if not self.usable:
            raise ModelError("no layer of the model has both a spatial extent and a gradient: it cannot be explained")
        return ([layer for layer in self.usable if not layer.in_attention] or self.usable)[-1]

    @property
    def automatic_features(self) -> Layer:
        """The automatic layer of a method that is about features: one that does not hold scores. Raises ModelError."""
        features = [layer for layer in self.usable if not (layer.in_attention or layer.holds_scores)]
        return features[-1] if features else self.automatic

    def find(self, model: nn.Module, wanted: LayerChoice, *, features_only: bool) -> list[TargetLayer]:
        """The layers of these names or numbers, several as a sequence or by comma; None for the automatic choice.

        Raises ModelError for one that does not exist or cannot be explained.
        """
        if wanted is None:
            found = [self.automatic_features if features_only else self.automatic]
        else:
            names = (
                wanted.split(",") if isinstance(wanted, str) else wanted if isinstance(wanted, Sequence) else [wanted]
            )
            if not all(isinstance(name, str | int) for name in names):
                raise ModelError("a layer is a name or a number, or several of these")
            found = [self._find_one(model, str(name).strip()) for name in names]
        if not found:
            raise ModelError("no layer is named; leave it out for the automatic choice")
        return [
            TargetLayer(layer.name, model.get_submodule(layer.name), layer.grid, layer.calls)
            for layer in found
            if layer.grid
        ]

    def _find_one(self, model: nn.Module, name: str) -> Layer:
        modules = dict(model.named_modules())
        if name not in modules or not name:
            if re.fullmatch("-?[0-9]+", name):
                return self._by_number(int(name))
            raise ModelError(_unknown_layer(model, name))
        found = next((layer for layer in self.layers if layer.name == name), None)
        if found is None:
            raise ModelError(f"layer {name} gives no tensor of its own when the model runs; livecam layers lists those")
        if found.grid is None:
            raise ModelError(
                f"layer {name} cannot be explained: {found.obstacle} ({found.size}); {self._nearest_to(found)}"
            )
        return found

    def _by_number(self, number: int) -> Layer:
        count = len(self.usable)
        if not -count <= number < count:
            raise ModelError(f"the model has {count} layers that can be explained, 0 to {count - 1}, not {number}")
        return self.usable[number]

    def _nearest_to(self, layer: Layer) -> str:
        if not self.usable:
            return "nor can any other"
        place = self.layers.index(layer)
        nearest = min(self.usable, key=lambda other: abs(self.layers.index(other) - place))
        return f"the nearest that can is {nearest.name}"


class _Output(NamedTuple):
    """What a module gave: its name, the shape, and its place in the graph, whatever is done in place behind it."""

    name: str
    shape: tuple[int, ...]
    edge: GradientEdge


@dataclass(frozen=True)
class Recording:
    """One run of a model: what it gave, and what each of its submodules gave on the way.

    `output` is the model's own, `outputs` those of the calls of submodules that gave a float tensor, in the order of
    execution; `calls` counts the calls of each submodule, whatever it gave. `example` is the input.
    """

    model: nn.Module
    example: Tensor
    output: Any
    outputs: Sequence[_Output]
    calls: Counter[str]

    def survey(self, score: Callable[[Any], Tensor], holds_scores: Callable[[int], bool]) -> Survey:
        """Find out which layers can be explained. Raises ModelError where there is none inside the model.

        Args:
            score: Maps the model's output to one number, whose gradient has to reach a layer that can be explained.
            holds_scores: Tells if a layer with so many channels holds the scores themselves.
        """
        if not self.outputs:
            raise ModelError("the model has no layers inside that could be explained")
        with torch.enable_grad():
            edges = [output.edge for output in self.outputs]
            gradients = torch.autograd.grad(score(self.output), edges, allow_unused=True)
        token_counts = {output.shape[1] for output in self.outputs if len(output.shape) == 3}
        layers: dict[str, Layer] = {}
        for (name, shape, _), gradient in zip(reversed(self.outputs), reversed(gradients), strict=True):
            if name in layers:
                continue  # an earlier call of a module that is used several times
            grid, obstacle = _grid_of(shape, gradient, self.example, token_counts)
            layers[name] = Layer(
                name,
                type(self.model.get_submodule(name)).__name__,
                shape,
                grid,
                obstacle,
                in_attention=_is_in_attention(self.model, name),
                holds_scores=grid is not None and holds_scores(shape[grid.channel_axis]),
                calls=self.calls[name],
            )
        return Survey(tuple(reversed(layers.values())))


def record(model: nn.Module, example: Tensor) -> Recording:
    """Run a frozen model once on a preprocessed input, (1, channels, h, w), and record what every layer gives."""
    with _recorded_outputs(model) as (outputs, calls), torch.enable_grad():
        output = model(example.detach().requires_grad_())
    return Recording(model, example, output, outputs, calls)


def _grid_of(
    shape: tuple[int, ...], gradient: Tensor | None, example: Tensor, token_counts: set[int]
) -> tuple[Grid | None, str]:
    """The grid to explain on, or None and the reason."""
    is_attention_matrix = len(shape) == 4 and shape[2] == shape[3] and shape[3] in token_counts
    grid = find_grid(shape, (example.shape[2], example.shape[3])) if shape[0] == 1 and not is_attention_matrix else None
    if grid is None:
        return None, "no spatial extent"
    if gradient is None or not grid.fold(gradient).any():
        return None, "no gradient reaches it"
    return grid, ""


def _is_in_attention(model: nn.Module, name: str) -> bool:
    parents = name.split(".")[:-1]
    types = (type(model.get_submodule(".".join(parents[: end + 1]))).__name__ for end in range(len(parents)))
    return any(re.search("attention|attn", kind, re.IGNORECASE) for kind in types)


@contextmanager
def _recorded_outputs(model: nn.Module) -> Iterator[tuple[list[_Output], Counter[str]]]:
    """Of each call of each submodule that gives a float tensor, in the order of execution.

    And how often each submodule was called, whatever it gave.
    """
    outputs: list[_Output] = []
    calls: Counter[str] = Counter()

    def recorder(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
            calls[name] += 1
            if isinstance(output, Tensor) and output.requires_grad:
                outputs.append(_Output(name, tuple(output.shape), get_gradient_edge(output)))

        return hook

    handles = [child.register_forward_hook(recorder(name)) for name, child in model.named_modules() if name]
    try:
        yield outputs, calls
    finally:
        for handle in handles:
            handle.remove()


def _unknown_layer(model: nn.Module, name: str) -> str:
    names = [candidate for candidate, _ in model.named_modules() if candidate]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
    hint = (
        f"did you mean {', '.join(near)}?" if near else f"the outermost are {', '.join(dict(model.named_children()))}"
    )
    return f"the model has no layer {name!r}; {hint}"

"""The layers of a model that can be explained, and the choice of layers by default or by name."""

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
"""Layers by name or number, several as a sequence or a comma-separated string; None for the automatic choice."""


@dataclass(frozen=True)
class Layer:
    """A module of the model, as observed while the model ran on one picture.

    Attributes:
        name: Its dotted name in the model.
        type: The name of its class.
        shape: The shape of its output.
        grid: The grid of its output, None if it cannot be explained.
        obstacle: The reason why it cannot be explained; empty if it can.
        in_attention: True if it is part of an attention module.
        holds_scores: True if its channels are the model's scores.
        call: The call of it that is observed, counted from 0.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    grid: Grid | None
    obstacle: str = ""
    in_attention: bool = False
    holds_scores: bool = False
    call: int = 0

    @property
    def size(self) -> str:
        """The shape as text: 1x512x7x7."""
        return "x".join(map(str, self.shape))


@dataclass(frozen=True)
class TargetLayer:
    """A layer to explain.

    Attributes:
        name: Its dotted name in the model.
        module: The module itself.
        grid: The grid of its output.
        call: The call of it that is explained, counted from 0 in each run of the model.
    """

    name: str
    module: nn.Module
    grid: Grid
    call: int = 0


@dataclass(frozen=True)
class Survey:
    """The layers of a model in the order of execution, each at its last call that depends on the picture."""

    layers: tuple[Layer, ...]

    @property
    def usable(self) -> list[Layer]:
        """The layers that can be explained; `--layer` counts them from 0, or backwards from -1."""
        return [layer for layer in self.layers if layer.grid is not None]

    @property
    def automatic(self) -> Layer:
        """The layer that is explained by default. Raises ModelError if none can be.

        It is the last one with a spatial extent and a gradient of the score through it that is not part of an attention
        module. (In the last block of a ViT that is the normalisation before the attention: after it, only the class
        token reaches the head.)
        """
        if not self.usable:
            raise ModelError("no layer of the model has both a spatial extent and a gradient: it cannot be explained")
        return ([layer for layer in self.usable if not layer.in_attention] or self.usable)[-1]

    @property
    def automatic_features(self) -> Layer:
        """The default layer for methods that interpret features: not one whose channels are the model's scores."""
        features = [layer for layer in self.usable if not (layer.in_attention or layer.holds_scores)]
        return features[-1] if features else self.automatic

    def find(self, model: nn.Module, wanted: LayerChoice, *, features_only: bool) -> list[TargetLayer]:
        """Find the layers to explain.

        Args:
            model: The model of this survey.
            wanted: Names or numbers, as a sequence or separated by commas; None for the default layer.
            features_only: Choose `automatic_features` instead of `automatic` by default.

        Raises:
            ModelError: A layer does not exist or cannot be explained.
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
            raise ModelError("the layer is empty; leave it out for the automatic choice")
        return [
            TargetLayer(layer.name, model.get_submodule(layer.name), layer.grid, layer.call)
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
            raise ModelError(
                f"layer {name} returns no tensor when the model runs; `livecam layers` lists those that do"
            )
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
    """The output of a call of a module, counted from 0; its shape, and its node in the autograd graph.

    The node is the one before any in-place operation.
    """

    name: str
    call: int
    shape: tuple[int, ...]
    edge: GradientEdge


@dataclass(frozen=True)
class Recording:
    """One run of a model: its output and those of its submodules.

    `output` is the model's own. `outputs` are those of the submodule calls that returned a tensor which depends on the
    input, in the order of execution. `example` is the input.
    """

    model: nn.Module
    example: Tensor
    output: Any
    outputs: Sequence[_Output]

    def survey(self, score: Callable[[Any], Tensor], holds_scores: Callable[[int], bool]) -> Survey:
        """Find out which layers can be explained. Raises ModelError if the model has no submodules with outputs.

        Args:
            score: Maps the model's output to one number; its gradient must reach a layer for that to be explained.
            holds_scores: Returns True if a layer with this number of channels holds the scores themselves.
        """
        if not self.outputs:
            raise ModelError("the model has no layers inside that could be explained")
        with torch.enable_grad():
            edges = [output.edge for output in self.outputs]
            gradients = torch.autograd.grad(score(self.output), edges, allow_unused=True)
        token_counts = {output.shape[1] for output in self.outputs if len(output.shape) == 3}
        layers: dict[str, Layer] = {}
        for (name, call, shape, _), gradient in zip(reversed(self.outputs), reversed(gradients), strict=True):
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
                call=call,
            )
        return Survey(tuple(reversed(layers.values())))


def record(model: nn.Module, example: Tensor) -> Recording:
    """Run a frozen model once on a preprocessed input, (1, channels, h, w), and record the output of every layer."""
    with _recorded_outputs(model) as outputs, torch.enable_grad():
        output = model(example.detach().requires_grad_())
    return Recording(model, example, output, outputs)


def _grid_of(
    shape: tuple[int, ...], gradient: Tensor | None, example: Tensor, token_counts: set[int]
) -> tuple[Grid | None, str]:
    """Return the grid of an output, or None and the reason why it cannot be explained."""
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
def _recorded_outputs(model: nn.Module) -> Iterator[list[_Output]]:
    """Yield the outputs of submodule calls inside the block: tensors with a gradient, in the order of execution."""
    outputs: list[_Output] = []
    calls: Counter[str] = Counter()

    def recorder(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
            if isinstance(output, Tensor) and output.requires_grad:
                outputs.append(_Output(name, calls[name], tuple(output.shape), get_gradient_edge(output)))
            calls[name] += 1

        return hook

    handles = [child.register_forward_hook(recorder(name)) for name, child in model.named_modules() if name]
    try:
        yield outputs
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

"""The layers of a model that can be explained, and the choice among them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from livecam.errors import ModelError
from livecam.models.grid import Grid, find_grid


@dataclass(frozen=True)
class Layer:
    """A module that was run: its dotted name, its type, the shape of its output for one picture.

    `grid` is where it can be explained, else None, and `obstacle` says why not.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    grid: Grid | None
    obstacle: str = ""


@dataclass(frozen=True)
class TargetLayer:
    """A layer to explain: its dotted name in the model, the module, and the grid of its output."""

    name: str
    module: nn.Module
    grid: Grid


@dataclass(frozen=True)
class Survey:
    """The layers of a model in the order of execution (each at its last call), and how many classes it has."""

    layers: tuple[Layer, ...]
    classes: int

    @property
    def usable(self) -> list[Layer]:
        """Those that can be explained; `--layer` counts them from 0, or backwards from -1."""
        return [layer for layer in self.layers if layer.grid is not None]

    @property
    def automatic(self) -> Layer:
        """The last one that has a spatial extent and through which the score's gradient flows.

        (The last block of a ViT does not qualify: only its class token reaches the head.) Raises ModelError.
        """
        if not self.usable:
            raise ModelError("no layer of the model has both a spatial extent and a gradient: it cannot be explained")
        return self.usable[-1]

    def find(self, model: nn.Module, wanted: str | int | Sequence[str | int] | None) -> list[TargetLayer]:
        """The layers of these names or numbers, several as a sequence or by comma; None for the automatic choice.

        Raises ModelError for one that does not exist or cannot be explained.
        """
        if wanted is None:
            found = [self.automatic]
        else:
            names = wanted.split(",") if isinstance(wanted, str) else [wanted] if isinstance(wanted, int) else wanted
            found = [self._find_one(model, str(name).strip()) for name in names]
        if not found:
            raise ModelError("no layer is named; leave it out for the automatic choice")
        return [TargetLayer(layer.name, model.get_submodule(layer.name), layer.grid) for layer in found if layer.grid]

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
            raise ModelError(f"layer {name} cannot be explained: {found.obstacle}; {self._nearest_to(found)}")
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


def survey_layers(model: nn.Module, example: Tensor) -> Survey:
    """Run the model once and look at every layer. Raises ModelError for a model that gives no class scores.

    `example` is one preprocessed (1, channels, h, w) input; the model must be frozen.
    """
    with _recorded_outputs(model) as outputs, torch.enable_grad():
        scores = model(example.detach().requires_grad_())
        if not isinstance(scores, Tensor) or scores.ndim != 2:
            raise ModelError(
                f"the model gives {_described(scores)} instead of class scores (B, classes); wrap it in a "
                "module that returns them alone"
            )
        if not outputs:
            raise ModelError("the model has no layers inside that could be explained")
        gradients = torch.autograd.grad(scores.max(), [output for _, output in outputs], allow_unused=True)
    if not scores.isfinite().all():
        raise ModelError("the model's scores are not finite numbers: its weights are damaged")
    layers: dict[str, Layer] = {}
    for (name, output), gradient in zip(reversed(outputs), reversed(gradients), strict=True):
        if name not in layers:  # else it is an earlier call of a module that is used several times
            layers[name] = _described_layer(name, model.get_submodule(name), output, gradient, example)
    return Survey(tuple(reversed(layers.values())), scores.shape[1])


def _described_layer(name: str, module: nn.Module, output: Tensor, gradient: Tensor | None, example: Tensor) -> Layer:
    shape = tuple(output.shape)
    grid = find_grid(shape, (example.shape[2], example.shape[3])) if shape[0] == 1 else None
    obstacle = ""
    if grid is None:
        obstacle = f"its output {shape} has no spatial extent"
    elif gradient is None or not grid.fold(gradient).any():
        grid, obstacle = None, "no gradient of the score gets there"
    return Layer(name, type(module).__name__, shape, grid, obstacle)


def _described(scores: object) -> str:
    """What a model gave, in words."""
    if isinstance(scores, Tensor):
        return f"a tensor {tuple(scores.shape)}"
    if isinstance(scores, dict):
        return f"a {type(scores).__name__} with {', '.join(map(str, scores))}"
    if isinstance(scores, tuple | list):
        return f"a {type(scores).__name__} of {len(scores)}"
    return f"a {type(scores).__name__}"


@contextmanager
def _recorded_outputs(model: nn.Module) -> Iterator[list[tuple[str, Tensor]]]:
    """(name, output) of each call of each submodule that gives a float tensor, in the order of execution."""
    outputs: list[tuple[str, Tensor]] = []

    def recorder(name: str) -> Callable[..., Tensor | None]:
        def hook(module: nn.Module, inputs: tuple[object, ...], output: object) -> Tensor | None:
            if not isinstance(output, Tensor) or not output.requires_grad:
                return None
            outputs.append((name, output))
            return output.clone()  # an in-place operation behind it must not change what was recorded

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

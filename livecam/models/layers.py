"""Which layer to look at: the grids that layers' outputs lie on, and the choice of the one to explain."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from livecam.errors import ModelError


@dataclass(frozen=True)
class Grid:
    """How a layer's output is laid out in space.

    `layout` is "nchw", "nhwc" or "tokens": (B, leading + h * w, C), where the leading ones are class and register
    tokens.
    """

    layout: str
    height: int
    width: int
    leading_tokens: int = 0

    def fold(self, output: Tensor) -> Tensor:
        """The layer's output or its gradient -> (B, C, h, w)."""
        if self.layout == "nchw":
            return output
        if self.layout == "nhwc":
            return output.permute(0, 3, 1, 2)
        patches = output[:, self.leading_tokens :].transpose(1, 2)
        return patches.reshape(*patches.shape[:2], self.height, self.width)


@dataclass(frozen=True)
class TargetLayer:
    """The layer to explain: its dotted name in the model, the module, and the grid of its output."""

    name: str
    module: nn.Module
    grid: Grid


def find_grid(shape: tuple[int, ...], input_size: tuple[int, int]) -> Grid | None:
    """The grid of an output of this shape, given the input's (height, width); None where it has no spatial extent."""
    if len(shape) == 4:
        for layout, (height, width) in (("nchw", shape[2:]), ("nhwc", shape[1:3])):
            if _covers(height, width, input_size):
                return Grid(layout, height, width)
    if len(shape) == 3:
        return _find_token_grid(shape[1], input_size)
    return None


def _covers(height: int, width: int, input_size: tuple[int, int]) -> bool:
    """Whether this could be the input seen at a lower resolution: more than one cell, and the same aspect to a cell."""
    input_height, input_width = input_size
    smaller = height <= input_height and width <= input_width
    return smaller and height * width > 1 and abs(height - input_height * width / input_width) <= 1


def _find_token_grid(tokens: int, input_size: tuple[int, int]) -> Grid | None:
    """The smallest number of leading tokens that leaves a grid with the input's aspect."""
    input_height, input_width = input_size
    for leading in range(min(tokens - 1, 17)):
        height = round(math.sqrt((tokens - leading) * input_height / input_width))
        width = (tokens - leading) // max(height, 1)
        if height * width == tokens - leading and _covers(height, width, input_size):
            return Grid("tokens", height, width, leading)
    return None


def choose_layer(model: nn.Module, example: Tensor, name: str | None = None) -> tuple[TargetLayer, int]:
    """The layer to explain, and how many classes the model has.

    Without a name it is the last one, in the order of execution, that has a spatial extent and through which the
    score's gradient flows. (The last block of a ViT does not qualify: only its class token reaches the head.) `example`
    is one preprocessed (1, 3, h, w) input; the model must be frozen. Raises ModelError.
    """
    if name is not None and name not in dict(model.named_modules()):
        raise ModelError(_unknown_layer(model, name))
    with _recorded_outputs(model) as outputs, torch.enable_grad():
        scores = model(example.detach().requires_grad_())
        if not isinstance(scores, Tensor) or scores.ndim != 2:
            raise ModelError("the model does not give one row of class scores for a picture, (B, classes)")
        if not outputs:
            raise ModelError("the model has no layers inside that could be explained")
        gradients = torch.autograd.grad(scores.max(), [output for _, output in outputs], allow_unused=True)
    input_size = (example.shape[2], example.shape[3])
    last_calls: set[str] = set()
    for (candidate, output), gradient in zip(reversed(outputs), reversed(gradients), strict=True):
        if candidate in last_calls:
            continue  # an earlier call of a module that is used several times
        last_calls.add(candidate)
        grid = find_grid(tuple(output.shape), input_size)
        carries = grid is not None and gradient is not None and bool(grid.fold(gradient).any())
        if grid is not None and carries and name in (None, candidate):
            return TargetLayer(candidate, model.get_submodule(candidate), grid), scores.shape[1]
    if name is None:
        raise ModelError("no layer of the model has both a spatial extent and a gradient: it cannot be explained")
    raise ModelError(
        f"layer {name} cannot be explained: no spatial extent, or no gradient; leave --layer out to choose one"
    )


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

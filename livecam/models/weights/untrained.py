"""Random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode


def untrained(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a module with random weights from a fixed seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = build()
        for layer in module.modules():
            if isinstance(layer, nn.Linear) and not layer.weight.any():
                layer.reset_parameters()  # a ViT's head is initialised with zeros, which would stop the gradient
        return module


class Unfilled(TorchFunctionMode):
    """Builds modules inside the block without their random numbers, for weights that replace them all.

    Filling the tensors takes half of the time in which a model is built.
    """

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        if function in (torch.Tensor.uniform_, torch.Tensor.normal_):
            return arguments[0]
        return function(*arguments, **(options or {}))

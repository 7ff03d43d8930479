"""Random weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def seeded() -> Iterator[None]:
    """Give PyTorch the same random numbers inside the block each time, and those of before again behind it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def untrained(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a module with random weights from a fixed seed."""
    with seeded():
        module = build()
        for layer in module.modules():
            if isinstance(layer, nn.Linear) and not layer.weight.any():
                layer.reset_parameters()  # a ViT's head is initialised with zeros, which would stop the gradient
        return module

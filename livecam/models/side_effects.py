"""Side effects of running a model: it draws random numbers, or keeps a state between pictures."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from livecam.errors import some_of


@dataclass
class SideEffects:
    """What runs of a model have changed beside its outputs.

    Attributes:
        draws_random_numbers: True if it drew random numbers of PyTorch, NumPy or Python.
        state: The names of the buffers that it changed.
    """

    draws_random_numbers: bool = False
    state: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """What the model does and what comes of it, as text; empty if it has no side effects."""
        if self.state:
            return f"keeps a state between pictures ({some_of(self.state)}): its maps depend on those before"
        return "draws random numbers: its maps change from run to run" if self.draws_random_numbers else ""


@contextmanager
def side_effects(model: nn.Module, device: torch.device) -> Iterator[SideEffects]:
    """Find the side effects of running a model inside the block, and restore its buffers afterwards.

    A buffer that is made by the first run, as a cache is, is no state.
    """
    effects = SideEffects()
    numbers, buffers = _random_state(device), _buffers(model)
    try:
        yield effects
    finally:
        effects.draws_random_numbers = _random_state(device) != numbers
        effects.state = tuple(buffer.name for buffer in buffers if buffer.restore())


def _random_state(device: torch.device) -> list[Any]:
    """Return the states of the generators that a model may draw random numbers from."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    of_numpy = np.random.get_state(legacy=False)["state"]
    of_torch = (state.numpy().tobytes() for state in states)
    return [random.getstate(), of_numpy["key"].tobytes(), of_numpy["pos"], *of_torch]


@dataclass(frozen=True)
class _Buffer:
    """A buffer of a module, with a copy to restore it."""

    name: str
    owner: nn.Module
    key: str
    tensor: Tensor
    version: int
    copy: Tensor

    def restore(self) -> bool:
        """Restore the buffer; return False if it has not changed."""
        now = getattr(self.owner, self.key)
        if now is self.tensor and _version(now) == self.version:
            return False
        if now is not None and now.dtype == self.copy.dtype and torch.equal(now, self.copy):
            return False
        self.tensor.data = self.copy
        setattr(self.owner, self.key, self.tensor)
        return True


def _buffers(model: nn.Module) -> list[_Buffer]:
    return [
        _Buffer(f"{prefix}.{key}".lstrip("."), module, key, tensor, _version(tensor), tensor.detach().clone())
        for prefix, module in model.named_modules()
        for key, tensor in module.named_buffers(recurse=False)
    ]


def _version(tensor: Tensor) -> int:
    """Return how often a tensor was changed in place; PyTorch does not count it for those of inference mode."""
    return 0 if tensor.is_inference() else tensor._version

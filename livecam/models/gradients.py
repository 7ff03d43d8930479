"""Running a model so that gradients reach all of its layers, even where its own code switches them off."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import torch
from torch.overrides import TorchFunctionMode
from torch.utils import checkpoint

_patching = threading.RLock()
"""Held while functions of PyTorch are replaced, so that they are put back in order."""


class Keeper(TorchFunctionMode):
    """Keeps gradients switched on inside its block, and notes attempts to hide them.

    Attributes:
        was_needed: True if the code inside used `no_grad`, `inference_mode` or activation checkpointing.
    """

    was_needed = False

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call a function of PyTorch, unless it switches gradients."""
        if function is torch._C._set_grad_enabled:
            self.was_needed |= args == (False,)
            return None
        return function(*args, **(kwargs or {}))

    def stay(self, *_: object) -> AbstractContextManager[None]:
        """Stand in for a context manager that would hide gradients."""
        self.was_needed = True
        return nullcontext()

    def apply(self, function: Callable[..., Any], preserve_random_state: bool, *args: Any) -> Any:
        """Stand in for the reentrant form of checkpointing: call the function."""
        self.was_needed = True
        return function(*args)


@contextmanager
def gradients_kept() -> Iterator[Keeper]:
    """Run a model inside the block without `no_grad`, `inference_mode` and activation checkpointing.

    `no_grad` is meant for running a model without training it, and checkpointing saves memory by running layers again
    in the backward pass, which would call their hooks again; neither changes what the model computes.
    """
    with (
        _patching,
        Keeper() as keeper,
        patch.multiple(checkpoint, CheckpointFunction=keeper, _checkpoint_hook=keeper.stay),
        patch.object(torch._C, "_InferenceMode", keeper.stay),
    ):
        yield keeper

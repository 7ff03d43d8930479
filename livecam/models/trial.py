"""Trying a model on an input."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

_ROUNDING = 0.1  # the difference between scores, relative to the largest, that half precision explains


def random_input(module: nn.Module, shape: Sequence[int]) -> Tensor:
    """Return a random input (1, *shape) in the precision and on the device of the module."""
    like = next((each for each in module.parameters() if each.is_floating_point()), torch.empty(0))
    return torch.rand(1, *shape, generator=torch.Generator().manual_seed(0)).to(like.device, like.dtype)


def failure_on(module: nn.Module, shape: Sequence[int]) -> Exception | None:
    """Return what a module raises on an input of this shape, a batch of one, or None; its mode stays as it is."""
    modes = [(each, each.training) for each in module.modules()]
    module.eval()
    try:
        with torch.no_grad():
            module(random_input(module, shape))
    except Exception as exc:  # a model may raise anything for an input that it is not made for
        return exc
    finally:
        for each, training in modes:
            each.training = training
    return None


def runs_on(module: nn.Module, shape: Sequence[int]) -> bool:
    """Return True if a module runs on an input of this shape, a batch of one."""
    return failure_on(module, shape) is None


def takes_batches(run: Callable[[Tensor], Tensor], picture: Tensor) -> bool:
    """Return True if a model gives a picture the scores in a batch that it gives it alone.

    Args:
        run: Runs the model: from (B, channels, height, width) to (B, classes).
        picture: An input for one picture or clip, (1, channels, ...).
    """
    try:
        with torch.no_grad():
            alone, together = run(picture).clone(), run(torch.cat([picture, -2 * picture]))
    except Exception:  # a model may raise anything for a batch that it is not made for
        return False
    tolerance = _ROUNDING * float(torch.where(alone.isfinite(), alone, 0).abs().max())
    same_shape = together.shape == (2, *alone.shape[1:])
    return same_shape and torch.allclose(together[:1], alone, rtol=0, atol=tolerance, equal_nan=True)

"""What the model computes in, and what livecam does after it."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_single(tensor: Tensor) -> Tensor:
    """Half precision -> float32, in which sums over a whole map do not overflow; anything else as it is."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))

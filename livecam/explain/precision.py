"""What the model computes in, and what livecam does after it."""

from __future__ import annotations

import torch
from torch import Tensor

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "fp64": torch.float64}
"""By the names that are shown. The last cannot be asked for: a model may come so."""


def at_least_single(tensor: Tensor) -> Tensor:
    """Half precision -> float32, in which sums over a whole map do not overflow; anything else as it is."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def precision_of(dtype: torch.dtype) -> str:
    """The name of a dtype as it is shown: "bf16" for torch.bfloat16."""
    return next(name for name, known in DTYPES.items() if known == dtype)


def likely_fast(device: torch.device) -> tuple[str, ...]:
    """The precisions worth measuring on a device, the likely fastest first."""
    if device.type == "cuda":
        return ("fp16", "bf16", "fp32")
    # oneDNN computes float16 on hardly any processor, and bfloat16 only where there are the instructions for it.
    return ("bf16", "fp32") if torch.ops.mkldnn._is_mkldnn_bf16_supported() else ("fp32",)

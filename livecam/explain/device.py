"""The device and the precision that a model runs on."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from livecam.errors import ModelError, ModelOptionError


def find_device(name: str, model: object) -> torch.device:
    """Return the device of this name; "auto" is where the module is, or the fastest available. Raises ModelError."""
    if name == "auto":
        if isinstance(model, nn.Module):
            return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
        return torch.device(_available_devices()[-1])
    try:
        device = torch.device(name)
    except RuntimeError as exc:
        raise ModelOptionError(_unusable(name)) from exc
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as exc:
        raise ModelError(_unusable(name)) from exc
    return device


def _unusable(name: str) -> str:
    return f"the device {name!r} cannot be used here; there is {', '.join(_available_devices())}, or leave it to auto"


def usual_batch(device: torch.device) -> int:
    """Return how many frames of a file are best explained at once.

    On two cores a batch of four takes 0.4 (MobileNetV3) to 0.9 (ResNet-50) of the time of four single frames. A batch
    of eight saves hardly more.
    """
    return 16 if device.type == "cuda" else 4


def _available_devices() -> list[str]:
    """The available devices, from slow to fast."""
    devices = ["cpu"]
    if torch.backends.mps.is_available():
        devices.append("mps")
    if torch.cuda.is_available():
        devices.append("cuda")
    return devices


DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "fp64": torch.float64}
"""Precisions by their short names. fp64 cannot be chosen, but a model may be in double precision."""


def at_least_single(tensor: Tensor) -> Tensor:
    """Return half precision as float32, so that sums over a map do not overflow; other dtypes are kept."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def precision_of(dtype: torch.dtype) -> str:
    """Return the short name of a dtype: "bf16" for torch.bfloat16."""
    return next(name for name, known in DTYPES.items() if known == dtype)


def likely_fast(device: torch.device) -> tuple[str, ...]:
    """Return the precisions worth measuring on a device, the likely fastest first."""
    if device.type == "cuda":
        return ("fp16", "bf16", "fp32")
    # oneDNN computes float16 on hardly any processor, and bfloat16 only on those with instructions for it.
    return ("bf16", "fp32") if torch.ops.mkldnn._is_mkldnn_bf16_supported() else ("fp32",)

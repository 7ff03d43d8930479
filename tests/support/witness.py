"""An independent witness of Grad-CAM: plain hooks and autograd in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn


def gradcam_witness(
    model: nn.Module,
    layer: str,
    inputs: Tensor,
    score: Callable[[object], Tensor],
    fold: Callable[[Tensor], Tensor] = lambda output: output,
    call: int = -1,
) -> Tensor:
    """Return the signed Grad-CAM maps (B, h, w) of inputs (B, C, H, W), computed in float64 on a copy of the model.

    Args:
        model: The model.
        layer: The dotted name of the layer.
        inputs: Preprocessed inputs.
        score: Maps the model's output to the scores to explain, (B,).
        fold: Maps the layer's output to (B, C, h, w).
        call: Which of the layer's calls is explained, counted from 0, or from -1 backwards.
    """
    model = copy.deepcopy(model).double().eval()
    outputs: list[Tensor] = []

    def keep(module: nn.Module, arguments: object, output: Tensor) -> Tensor:
        outputs.append(output)
        return output.clone()  # so that an operation in place behind the layer does not change what is kept

    with torch.enable_grad():
        handle = model.get_submodule(layer).register_forward_hook(keep)
        output = model(inputs.double().requires_grad_())
        handle.remove()
        (gradient,) = torch.autograd.grad(score(output).sum(), outputs[call])
    weights, activation = fold(gradient).mean(dim=(2, 3), keepdim=True), fold(outputs[call].detach())
    return (weights * activation).sum(dim=1)


def least_cosine(maps: Tensor, witness: Tensor) -> float:
    """Return the smallest cosine similarity of maps (B, h, w) to those of the witness."""
    return float(nn.functional.cosine_similarity(maps.double().flatten(1), witness.double().flatten(1)).min())

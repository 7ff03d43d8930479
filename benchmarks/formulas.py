"""The papers' formulas written down word for word in float64, as a witness for `livecam.explain.methods`.

One picture at a time, by plain autograd through the whole model, in NumPy from there on; only the name of the layer and
its grid are shared with livecam. The two methods based on forward passes take one channel at a time, in the module's
own precision.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

Formula = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Activation and gradient (C, h, w) float64 -> map (h, w)."""


def gradcam(a: np.ndarray, g: np.ndarray) -> np.ndarray:
    weights = g.mean(axis=(1, 2))
    return np.einsum("c,chw->hw", weights, a)


def gradcam_plus_plus(a: np.ndarray, g: np.ndarray) -> np.ndarray:
    total = a.sum(axis=(1, 2), keepdims=True)
    with np.errstate(invalid="ignore"):
        alpha = np.where(g != 0, g**2 / (2 * g**2 + total * g**3), 0)
    weights = (alpha * np.maximum(g, 0)).sum(axis=(1, 2))
    return np.einsum("c,chw->hw", weights, a)


def hirescam(a: np.ndarray, g: np.ndarray) -> np.ndarray:
    return (g * a).sum(axis=0)


def elementwise(a: np.ndarray, g: np.ndarray) -> np.ndarray:
    return np.maximum(g * a, 0).sum(axis=0)


def layercam(a: np.ndarray, g: np.ndarray) -> np.ndarray:
    return (np.maximum(g, 0) * a).sum(axis=0)


def xgradcam(a: np.ndarray, g: np.ndarray) -> np.ndarray:
    total = a.sum(axis=(1, 2))
    weights = np.divide((g * a).sum(axis=(1, 2)), total, out=np.zeros_like(total), where=total != 0)
    return np.einsum("c,chw->hw", weights, a)


def _principal(features: np.ndarray) -> np.ndarray:
    """Return the first principal map by a singular value decomposition; its strongest channels give the sign."""
    matrix = features.reshape(len(features), -1).T
    centred = matrix - matrix.mean(axis=0)
    component = np.linalg.svd(centred, full_matrices=False)[2][0]
    return (np.sign((component**5).sum()) * centred @ component).reshape(features.shape[1:])


def eigencam(a: np.ndarray, g: np.ndarray) -> np.ndarray:
    return _principal(a)


def eigengradcam(a: np.ndarray, g: np.ndarray) -> np.ndarray:
    return _principal(g * a)


def fem(a: np.ndarray, g: np.ndarray) -> np.ndarray:
    threshold = a.mean(axis=(1, 2), keepdims=True) + 2 * a.std(axis=(1, 2), keepdims=True)
    weights = (a > threshold).mean(axis=(1, 2))
    return np.einsum("c,chw->hw", weights, a)


FORMULAS: dict[str, Formula] = {
    "gradcam": gradcam,
    "gradcam++": gradcam_plus_plus,
    "hirescam": hirescam,
    "layercam": layercam,
    "xgradcam": xgradcam,
    "elementwise": elementwise,
    "finercam": gradcam,
    "eigencam": eigencam,
    "eigengradcam": eigengradcam,
    "fem": fem,
}


def class_score(logits: Tensor, target: int) -> Tensor:
    return logits[target]


def score_against_similar(logits: Tensor, target: int) -> Tensor:
    """Return Finer-CAM's score: the weighted mean of the leads over the three nearest classes."""
    others = [index for index in range(len(logits)) if index != target]
    similar = sorted(others, key=lambda index: abs(logits[index] - logits[target]).item())[:3]
    probability = logits.softmax(dim=0)
    lead = torch.stack([probability[index] * (logits[target] - logits[index]) for index in similar])
    return lead.sum() / probability[similar].sum()


def capture(
    method: str, module: nn.Module, layer: str, grid: tuple[int, int], image: Tensor, target: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return activation and gradient, (C, h, w) float64, of one input (channels, height, width) of a float64 module."""
    kept: list[Tensor] = []

    def keep(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        kept.append(output)
        return output.clone()  # what comes after it may write into it

    handle = module.get_submodule(layer).register_forward_hook(keep)
    logits = module(image[None].double().requires_grad_())[0]
    handle.remove()
    score = score_against_similar if method == "finercam" else class_score
    (gradient,) = torch.autograd.grad(score(logits, target), kept[-1])
    return _channels_first(kept[-1][0].detach(), grid), _channels_first(gradient[0], grid)


def scorecam(module: nn.Module, layer: str, image: Tensor, target: int, *, align_corners: bool = False) -> np.ndarray:
    """Score-CAM (h, w), one channel at a time; `align_corners` as in `torch.nn.functional.interpolate`."""
    activation, _ = _run(module, layer, image)
    scores = []
    for channel in activation:
        mask = nn.functional.interpolate(
            channel[None, None], image.shape[1:], mode="bilinear", align_corners=align_corners
        )[0]
        mask = (mask - mask.min()) / (mask.max() - mask.min())
        scores.append(float(_run(module, layer, image * mask)[1][target]))
    weights = np.exp(np.array(scores) - max(scores))
    return np.einsum("c,chw->hw", weights / weights.sum(), activation.numpy())


def ablationcam(
    module: nn.Module,
    layer: str,
    image: Tensor,
    target: int,
    *,
    absent: Callable[[Tensor], float] = lambda output: 0,
) -> np.ndarray:
    """Ablation-CAM (h, w), one channel at a time; `absent` is the value of a dropped channel."""

    def score_without(channel: int) -> float:
        def drop(output: Tensor) -> Tensor:
            output[:, channel] = absent(output)
            return output

        return float(_run(module, layer, image, drop)[1][target])

    activation, logits = _run(module, layer, image)
    whole = float(logits[target])
    weights = [(whole - score_without(channel)) / abs(whole) for channel in range(len(activation))]
    return np.einsum("c,chw->hw", weights, activation.numpy())


def _run(
    module: nn.Module, layer: str, image: Tensor, change: Callable[[Tensor], Tensor] = lambda output: output
) -> tuple[Tensor, Tensor]:
    """Return the layer's output (C, h, w) for one input, and the logits (classes,) after changing that output."""
    kept: list[Tensor] = []

    def keep(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        kept.append(output.clone())  # what comes after it may write into it
        return change(output)

    handle = module.get_submodule(layer).register_forward_hook(keep)
    with torch.no_grad():
        logits = module(image[None])[0]
    handle.remove()
    return kept[-1][0], logits


def _channels_first(tensor: Tensor, grid: Sequence[int]) -> np.ndarray:
    height, width = grid
    if tensor.ndim == 2:  # tokens: what is more than the grid comes first
        return tensor[-height * width :].T.reshape(-1, height, width).numpy()
    if tuple(tensor.shape[:2]) == (height, width) and tuple(tensor.shape[1:]) != (height, width):
        return tensor.permute(2, 0, 1).numpy()
    return tensor.numpy()

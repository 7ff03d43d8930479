"""Methods that ask the model again and again: no gradients, but a forward pass for each channel, in batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from livecam.explain.probe import ModelProbe

ROWS_PER_FORWARD = 32
"""How many perturbed pictures go through the model at once."""


@dataclass(frozen=True)
class Perturbation:
    """A method on forward passes: `weigh` gives each channel's weight for each picture and class, (B, K, C)."""

    weigh: Callable[[ModelProbe], Tensor]
    features_only: bool = False

    def maps(self, probe: ModelProbe) -> Tensor:
        """Signed maps (B, K, h, w): sum_c w_c A_c."""
        return torch.einsum("bkc,bchw->bkhw", self.weigh(probe), probe.activation)


def scorecam(probe: ModelProbe) -> Tensor:
    """w = softmax over the channels of y(x s(up(A_c))), s the min-max scaling, up bilinear to the input's size.

    Wang et al., "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks", CVPRW 2020. (The
    score of the blank input, which the paper subtracts, falls out of the softmax.)
    """
    activation = probe.activation
    size = probe.inputs.shape[2:]

    def masked(pictures: Tensor, channels: Tensor) -> Tensor:
        mask = functional.interpolate(activation[pictures, channels][:, None], size, mode="bilinear")
        low, high = mask.amin(dim=(2, 3), keepdim=True), mask.amax(dim=(2, 3), keepdim=True)
        return (torch.where(high > low, (mask - low) / (high - low), 0) * probe.inputs[pictures]).to(probe.inputs.dtype)

    return _for_each_channel(
        probe, lambda pictures, channels: probe.scores_of_inputs(masked(pictures, channels), pictures)
    ).softmax(dim=2)


def ablationcam(probe: ModelProbe) -> Tensor:
    """w_c = (y - y without channel c) / |y|; the paper's y is positive.

    Desai and Ramaswamy, "Ablation-CAM: Visual Explanations for Deep Convolutional Network via Gradient-free
    Localization", WACV 2020.
    """
    whole = probe.scores()[:, :, None]
    without = _for_each_channel(probe, lambda pictures, channels: probe.scores_without_channel(channels, pictures))
    return torch.where(whole == 0, 0, (whole - without) / whole.abs())


def _for_each_channel(probe: ModelProbe, score: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """`score` of pictures (N,) and channels (N,) -> (N, K), asked for each channel of each picture: (B, K, C)."""
    pictures, channels = probe.activation.shape[:2]
    total = pictures * channels
    scores = []
    for begin in range(0, total, ROWS_PER_FORWARD):
        end = min(begin + ROWS_PER_FORWARD, total)
        rows = torch.arange(begin, end, device=probe.activation.device)
        scores.append(score(rows // channels, rows % channels))
        probe.progress(end, total)
    return torch.cat(scores).reshape(pictures, channels, -1).mT

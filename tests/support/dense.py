"""Tiny networks that score classes in every pixel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.segmentation.deeplabv3 import DeepLabHead
from torchvision.models.segmentation.fcn import FCNHead

from livecam import Explainer
from livecam.models import Preprocessing

LABELS = ("__background__", "cat", "dog", "bird", "bowl")
SMALL = Preprocessing(size=(64, 64))


class Dense(nn.Module):
    """An encoder, a head, and a stretch of what that gives to the size of the picture."""

    def __init__(
        self, head: nn.Module | None = None, wrap: Callable[[Tensor], Any] = lambda scores: scores, channels: int = 16
    ) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            *(nn.Conv2d(3, 8, 3, 4, 1), nn.BatchNorm2d(8), nn.ReLU(inplace=True)),
            *(nn.Conv2d(8, channels, 3, 2, 1), nn.ReLU(inplace=True)),
        )
        self.head = head or nn.Conv2d(channels, len(LABELS), 1)
        self.wrap = wrap

    def forward(self, x: Tensor) -> Any:
        scores = self.head(self.encoder(x))
        return self.wrap(functional.interpolate(scores, x.shape[2:], mode="bilinear"))


class Skipping(nn.Module):
    """A network in which the finer features go past the bottleneck, as in a U-Net."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU())
        self.narrow = nn.Sequential(nn.Conv2d(8, 24, 3, 4, 1), nn.ReLU())
        self.up = nn.ConvTranspose2d(24, 8, 4, 4)
        self.head = nn.Conv2d(16, len(LABELS), 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.fine(x)
        joined = torch.cat([fine, self.up(self.narrow(fine))], dim=1)
        return functional.interpolate(self.head(joined), x.shape[2:], mode="bilinear")


def segformer() -> nn.Module:
    """Return a SegFormer of transformers as small as may be."""
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    config = SegformerConfig(
        hidden_sizes=[8, 8, 16, 16], num_attention_heads=[1, 1, 2, 2], depths=[1, 1, 1, 1], decoder_hidden_size=16,
        num_labels=len(LABELS),
    )  # fmt: skip
    return SegformerForSemanticSegmentation(config)


def lraspp() -> nn.Module:
    """Return torchvision's smallest network that segments."""
    from torchvision.models.segmentation import lraspp_mobilenet_v3_large

    return lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=len(LABELS))


NETS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "plain": (Dense, "encoder"),
    "deeplab": (lambda: Dense(DeepLabHead(264, len(LABELS)), lambda scores: {"out": scores}, 264), "encoder"),
    "fcn": (lambda: Dense(FCNHead(16, len(LABELS)), lambda scores: {"out": scores}), "encoder"),
    "skips": (Skipping, "narrow"),
    "lraspp": (lraspp, "backbone.16"),
    "segformer": (segformer, "decode_head.linear_projections.3"),
}
"""Networks by name, each with its bottleneck."""


def made(name: str) -> nn.Module:
    """Return a network with random weights that are the same each time."""
    torch.manual_seed(0)
    return NETS[name][0]().eval()


def dense(model: nn.Module | None = None, **options: Any) -> Explainer:
    """Return an explainer of a network, by default of a plain one."""
    return Explainer(made("plain") if model is None else model, **{"preprocessing": SMALL, "labels": LABELS, **options})

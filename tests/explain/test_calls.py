"""Layers that run several times for a picture, and networks of several streams."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from livecam import Explainer
from livecam.models import Preprocessing
from tests.support.witness import gradcam_witness, least_cosine

SMALL = Preprocessing(size=(64, 64))


def backbone(channels: int = 8) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, channels, 3, 4, 1), nn.ReLU(), nn.Conv2d(channels, channels, 3, 2, 1), nn.ReLU())


def inputs(count: int = 3) -> Tensor:
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def of_class(number: int) -> Callable[[Tensor], Tensor]:
    return lambda output: output[:, number]


class Siamese(nn.Module):
    """Compares the picture with a stored reference."""

    def __init__(self, *, reference_first: bool) -> None:
        super().__init__()
        self.backbone, self.head = backbone(), nn.Linear(8, 5)
        self.register_buffer("reference", torch.randn(1, 3, 64, 64))
        self.reference_first = reference_first

    def forward(self, x: Tensor) -> Tensor:
        first, second = (self.reference, x) if self.reference_first else (x, self.reference)
        features = self.backbone(first).mean(dim=(2, 3)), self.backbone(second).mean(dim=(2, 3))
        return self.head((features[0] - features[1]).abs())


@pytest.mark.parametrize("reference_first", [True, False])
@pytest.mark.parametrize("layer", [None, "backbone.2"])
def test_a_siamese_network_is_explained_on_the_picture(reference_first: bool, layer: str | None) -> None:
    torch.manual_seed(0)
    model = Siamese(reference_first=reference_first)
    maps = Explainer(model, preprocessing=SMALL, layer=layer).cam(inputs(), target=2)
    call = 1 if reference_first else 0
    witness = gradcam_witness(model, layer or "backbone", inputs(), of_class(2), call=call)
    assert least_cosine(maps, witness) > 0.9999

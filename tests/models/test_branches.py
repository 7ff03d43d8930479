"""Side branches are not explained in place of the features that they weigh."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from livecam import Explainer
from livecam.models import Preprocessing
from tests.support.witness import gradcam_witness, least_cosine


class Features(nn.Module):
    """Features of 8x8 cells, and a head for what `pool` makes of them."""

    def __init__(self, pooled: int = 12) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 12, 8, 8), nn.ReLU(), nn.Conv2d(12, 12, 3, 1, 1))
        self.head = nn.Linear(pooled, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(self.features(x)))


class Gate(Features):
    def __init__(self) -> None:
        super().__init__()
        self.gate, self.sigmoid = nn.Conv2d(12, 12, 1), nn.Sigmoid()

    def pool(self, x: Tensor) -> Tensor:
        return (x * self.sigmoid(self.gate(x))).mean(dim=(2, 3))


class SoftAssignment(Features):
    """NetVLAD's pooling."""

    def __init__(self) -> None:
        super().__init__(pooled=4 * 12)
        self.assign = nn.Conv2d(12, 4, 1)

    def pool(self, x: Tensor) -> Tensor:
        clusters = self.assign(x).softmax(dim=1).flatten(2)
        return functional.normalize((clusters @ x.flatten(2).mT).flatten(1), dim=1)


class GatedAttention(Features):
    """The pooling of multiple-instance learning, with two parallel branches."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other, self.weight = nn.Conv2d(12, 8, 1), nn.Conv2d(12, 8, 1), nn.Conv2d(8, 1, 1)

    def pool(self, x: Tensor) -> Tensor:
        weight = self.weight(self.one(x).tanh() * self.other(x).sigmoid())
        return (weight.flatten(2).softmax(dim=2) * x.flatten(2)).sum(dim=2)


@pytest.mark.parametrize("build", [Gate, SoftAssignment, GatedAttention])
def test_the_features_are_explained(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    model, inputs = build(), torch.randn(2, 3, 64, 64)
    explainer = Explainer(model, preprocessing=Preprocessing(size=(64, 64)), target=1, engine="eager")
    assert explainer.layer == "features"
    witness = gradcam_witness(model, "features", inputs, lambda output: output[:, 1])
    assert least_cosine(explainer.cam(inputs), witness) >= 0.9999


class Residual(Features):
    """Blocks that add to what they get, whose sums no layer gives."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Conv2d(12, 12, 3, 1, 1) for _ in range(3))

    def pool(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = x + block(x).relu()
        return x.mean(dim=(2, 3))


def test_what_goes_past_every_layer_is_told(caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    assert Explainer(Residual(), preprocessing=Preprocessing(size=(64, 64))).layer == "blocks.2"
    assert [each.getMessage() for each in caplog.records] == [
        "a part of the evidence goes past blocks.2, so the map lacks it"
    ]

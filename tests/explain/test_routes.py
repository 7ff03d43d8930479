"""Networks whose way depends on the picture: experts, early exits."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from livecam import Explainer
from livecam.errors import ModelError
from livecam.models import Preprocessing
from livecam.names import LAYER_METHODS
from tests.support.witness import gradcam_witness, least_cosine

PICTURE = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(1)).repeat_interleave(8, 2)
PICTURE = PICTURE.repeat_interleave(8, 3)
DARK, BRIGHT = PICTURE - PICTURE.mean() - 1, PICTURE - PICTURE.mean() + 1


def stem() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.ReLU(), nn.Conv2d(8, 8, 3, 1, 1), nn.ReLU())


class Experts(nn.Module):
    """One expert for dark and one for bright pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.experts, self.head = nn.ModuleList([stem(), stem()]), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.experts[int(x.mean() > 0)](x).mean(dim=(2, 3)))


class EarlyExit(nn.Module):
    """Leaves after the first half for dark pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.near, self.far = stem(), nn.Conv2d(8, 8, 3, 2, 1)
        self.near_head, self.far_head = nn.Linear(8, 5), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        near = self.near(x)
        if x.mean() < 0:
            return self.near_head(near.mean(dim=(2, 3)))
        return self.far_head(self.far(near).relu().mean(dim=(2, 3)))


class UnusedExit(EarlyExit):
    """Runs its second half for dark pictures as well, and does not use it."""

    def forward(self, x: Tensor) -> Tensor:
        near = self.near(x)
        far = self.far(near).relu().mean(dim=(2, 3))
        return self.near_head(near.mean(dim=(2, 3))) if x.mean() < 0 else self.far_head(far)


def explained(make: type[nn.Module], layer: str, method: str = "gradcam") -> Explainer:
    torch.manual_seed(0)
    return Explainer(make().eval(), preprocessing=Preprocessing(size=(64, 64)), layer=layer, method=method)


@pytest.mark.parametrize("method", LAYER_METHODS)
@pytest.mark.parametrize(("make", "layer"), [(Experts, "experts.1"), (EarlyExit, "far")])
def test_a_picture_whose_way_misses_the_layer_gets_no_map_of_the_one_before(
    make: type[nn.Module], layer: str, method: str
) -> None:
    with explained(make, layer, method) as explainer:
        before = explainer.cam(BRIGHT)
        with pytest.raises(ModelError, match=f"layer {layer} has no part in the scores of this picture"):
            explainer.cam(DARK)
        torch.testing.assert_close(explainer.cam(BRIGHT), before)


def test_of_a_batch_it_is_told_as_well() -> None:
    explainer = explained(Experts, "experts.1")
    with pytest.raises(ModelError, match="no part in the scores"):
        explainer.cam(torch.cat([BRIGHT, DARK]))


def test_a_layer_that_runs_in_vain_is_told() -> None:
    with pytest.raises(ModelError, match="layer far has no part in the scores"):
        explained(UnusedExit, "far").cam(DARK)


@pytest.mark.parametrize("picture", [DARK, BRIGHT])
def test_a_layer_on_every_way_is_explained(picture: Tensor) -> None:
    torch.manual_seed(0)
    model = EarlyExit().eval()
    explainer = Explainer(model, preprocessing=Preprocessing(size=(64, 64)), layer="near", target=1)
    witness = gradcam_witness(model, "near", picture, lambda output: output[:, 1])
    assert least_cosine(explainer.cam(picture), witness) >= 0.9999

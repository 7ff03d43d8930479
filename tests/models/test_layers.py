"""`livecam layers`, and that the layers that it lists as usable can be explained."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from torch import Tensor, nn
from torchvision.models import VisionTransformer

from livecam import Explainer, LivecamError
from livecam.live.stages import stages
from livecam.models import Classifier, Preprocessing, load_model
from tests.support.tiny import Tiny, tiny_with_a_layer

Livecam = Callable[..., Result]
SMALL = Preprocessing(size=(64, 64))


@pytest.fixture(scope="module")
def resnet18() -> nn.Module:
    return load_model("resnet18", weights="none").module


def listed(livecam: Livecam, *arguments: str) -> list[dict[str, object]]:
    result = livecam("layers", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_list_says_what_can_be_explained_and_why_not(livecam: Livecam) -> None:
    rows = {row["name"]: row for row in listed(livecam, "shapes")}
    assert rows["evidence"] == {
        "name": "evidence",
        "type": "Conv2d",
        "output": "1x8x20x20",
        "grid": [20, 20],
        "number": len(rows) - 2,
        "automatic": True,
        "obstacle": None,
        "agreement": rows["evidence"]["agreement"],
        "check": "passed",
    }
    assert (rows["pool"]["number"], rows["pool"]["obstacle"]) == (None, "no spatial extent")
    table = livecam("layers", "shapes").output
    assert [line for line in table.splitlines() if line.startswith("*")][0].split()[2] == "evidence"


def test_the_star_is_at_the_layer_that_a_model_has_for_itself(livecam: Livecam) -> None:
    explainer = Explainer(tiny_with_a_layer())
    rows = listed(livecam, "tests.support.tiny:tiny_with_a_layer")
    assert [row["name"] for row in rows if row["automatic"]] == [explainer.layer] == ["features.0"]
    assert stages(explainer.survey)[0] is None
    assert "features.0" not in stages(explainer.survey)
    assert Explainer(tiny_with_a_layer(), method="eigencam").layer == "features.0"


def test_a_layer_that_a_model_claims_to_have_is_checked() -> None:
    for layer, told in {
        "nothing": "the model has no layer 'nothing'",
        "head": "layer head cannot be explained",
    }.items():
        with pytest.raises(LivecamError, match=told):
            Explainer(dataclasses.replace(tiny_with_a_layer(), layer=layer))


def test_a_model_that_takes_one_size_is_tried_on_that_size() -> None:
    """Although its layer is known."""

    class OneSize(Tiny):
        def forward(self, x: Tensor) -> Tensor:
            assert x.shape[2:] == (400, 400)
            return super().forward(x)

    preprocessing = Preprocessing(size=(400, 400))
    classifier = Classifier("one", OneSize(), preprocessing=preprocessing, layer="features.0")
    assert Explainer(classifier).layer == "features.0"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "vgg16", "convnext_tiny", "vit_b_16", "swin_t"])
def test_every_usable_layer_works(livecam: Livecam, name: str) -> None:
    model = load_model(name, weights="none").module
    batch = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    usable = [row for row in listed(livecam, name) if row["number"] is not None]
    assert len(usable) > 20
    for row in usable:
        cam = Explainer(model, layer=str(row["name"])).cam(batch, target=3)
        assert list(cam.shape[1:]) == row["grid"], row
        assert cam.isfinite().all(), row
        assert cam.std() > 0, row


@pytest.mark.parametrize("name", ["resnet18", "swin_t"])
def test_some_layers_of_a_model_work(name: str) -> None:
    model = load_model(name, weights="none").module
    batch = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    explainer = Explainer(model, preprocessing=SMALL)
    survey = explainer.survey
    assert all(layer.check == "passed" and layer.grid and not layer.grid.flips for layer in survey.automatic)
    for number, layer in list(enumerate(survey.usable))[::25]:
        explainer.change("gradcam", number)
        cam = explainer.cam(batch, target=3)
        assert explainer.layer == layer.name
        assert layer.grid is not None
        assert cam.shape[1:] == (layer.grid.height, layer.grid.width), layer
        assert cam.isfinite().all()
        assert cam.std() > 0, layer


def test_numbers_count_the_usable_layers(livecam: Livecam, resnet18: nn.Module) -> None:
    names = [row["name"] for row in listed(livecam, "resnet18") if row["number"] is not None]
    survey = Explainer(resnet18, preprocessing=SMALL).survey
    for number in (0, 7, -1, -3, len(names) - 1):
        for wanted in (number, str(number)):
            assert survey.find(resnet18, wanted, features_only=False)[0][0].name == names[number]
    for number in (len(names), -len(names) - 1):
        with pytest.raises(LivecamError, match=f"0 to {len(names) - 1}, not {number}"):
            survey.find(resnet18, number, features_only=False)


@pytest.mark.parametrize("method", ["gradcam", "scorecam", "ablationcam"])
def test_several_layers_are_fused_by_their_mean(method: str) -> None:
    torch.manual_seed(0)
    model = Tiny()
    batch = torch.randn(2, 3, 64, 64)
    fused = Explainer(model, preprocessing=SMALL, layer="features.0,features.2", target=3, method=method)
    assert fused.layer == "features.0,features.2"
    assert Explainer(model, preprocessing=SMALL, layer=["features.0", -1]).layer == "features.0,relu"
    parts = []
    for layer in ("features.0", "features.2"):
        cam = Explainer(model, preprocessing=SMALL, layer=layer, method=method).cam(batch, target=3)
        scaled = cam / cam.abs().amax(dim=(1, 2), keepdim=True)
        parts.append(nn.functional.interpolate(scaled[:, None], (16, 16), mode="bilinear")[:, 0])
    torch.testing.assert_close(fused.cam(batch), torch.stack(parts).mean(dim=0), rtol=1e-4, atol=1e-5)


def test_a_layer_that_cannot_be_explained_is_answered_with_the_nearest(resnet18: nn.Module) -> None:
    survey = Explainer(resnet18, preprocessing=SMALL).survey
    for layer, message in {
        "avgpool": r"avgpool cannot be explained: no spatial extent \(1x512x1x1\); the nearest that can is layer4",
        "fc": "the nearest that can is layer4",
        "layer5": "no layer 'layer5'; did you mean layer4",
        "": "no layer ''",
    }.items():
        with pytest.raises(LivecamError, match=message):
            survey.find(resnet18, layer, features_only=False)
    with pytest.raises(LivecamError, match="a layer is a name or a number"):
        survey.find(resnet18, [resnet18.layer4], features_only=False)  # type: ignore[list-item]
    vit = VisionTransformer(image_size=64, patch_size=16, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32)
    nn.init.normal_(vit.heads[0].weight)  # which begins with zeros, through which no gradient comes
    with pytest.raises(LivecamError, match=r"no gradient reaches it .*; the nearest that can is encoder.layers"):
        Explainer(vit, preprocessing=SMALL, layer="encoder.ln")


class Attending(nn.Module):
    """A last block with attention written out, as timm's: its matrix is square, its queries get no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.norm = nn.Conv2d(3, 8, 16, stride=16), nn.LayerNorm(8)
        self.attention = SelfAttention()
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([tokens.mean(dim=1, keepdim=True), tokens], dim=1)
        return self.head(self.attention(self.norm(tokens))[:, 0])


class SelfAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.drop = nn.Linear(8, 24), nn.Dropout(0.0)

    def forward(self, tokens: Tensor) -> Tensor:
        query, key, value = self.qkv(tokens).chunk(3, dim=2)
        matrix = self.drop((query @ key.mT)[:, None].softmax(dim=3))
        return matrix[:, 0] @ value


def test_the_automatic_layer_is_no_part_of_attention() -> None:
    torch.manual_seed(0)
    explainer = Explainer(Attending())
    assert explainer.layer == "norm"
    usable = {layer.name for layer in explainer.survey.usable}
    assert "attention.qkv" in usable
    assert "attention.drop" not in usable
    assert explainer(np.zeros((64, 64, 3), np.uint8)).cam.shape == (14, 14)


def test_layers_of_your_own_code(livecam: Livecam, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_of_layers.py").write_text(
        "from torch import nn\n"
        "make = lambda: nn.Sequential(nn.Conv2d(3, 4, 3, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    rows = listed(livecam, "mine_of_layers:make")
    assert [row["name"] for row in rows if row["automatic"]] == ["0"]

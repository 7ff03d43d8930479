"""What captions and notes say of how a map was made, and of a class that the model finds unlikely."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from livecam import Explainer, Explanation
from livecam.picture.frame import Frame
from livecam.render import Renderer, Style
from tests.support.tiny import Tiny, tiny

PHOTO = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8).repeat(8, 0).repeat(8, 1)


class SharedActivation(nn.Module):
    """Two convolutions with one activation function for both, and one that is a part of the first."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 4, 1), nn.ReLU())
        self.body, self.norm, self.act = nn.Conv2d(8, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU()
        self.pool, self.head = nn.AvgPool2d(2), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        features = self.act(self.norm(self.body(self.act(self.stem(x)))))
        return self.head(self.pool(features).mean(dim=(2, 3)))


TITLES: tuple[tuple[dict[str, Any], str], ...] = (
    ({}, "class 3"),
    ({"method": "layercam"}, "class 3 · layercam"),
    ({"layer": "body"}, "class 3 · body"),
    ({"layer": "stem.1"}, "class 3 · stem.1"),
    ({"layer": "act"}, "class 3 · body"),
    ({"layer": "pool"}, "class 3 · pool"),
    ({"layer": "stem,act", "method": "layercam"}, "class 3 · layercam at stem+body"),
    ({"method": "gradcam++", "against": 2, "negative": True}, "against class 3 rather than class 2 · gradcam++"),
)


@pytest.mark.parametrize(("asked", "title"), TITLES)
def test_a_caption_names_method_and_layer_where_they_are_not_as_usual(asked: dict[str, Any], title: str) -> None:
    torch.manual_seed(0)
    explainer = Explainer(SharedActivation(), target=3, preprocessing={"size": (64, 64)}, engine="eager", **asked)
    assert explainer(PHOTO).classes[0].title == title


def test_a_layer_has_the_title_that_captions_give_it() -> None:
    explainer = Explainer(SharedActivation(), preprocessing={"size": (64, 64)}, engine="eager")
    assert [explainer.title_of(layer) for layer in (None, "stem.1", "stem,act")] == ["pool", "stem.1", "stem+body"]
    explainer.change("gradcam", "act")
    assert (explainer.layer, explainer.layer_title) == ("act", "body")


def test_an_activation_that_no_layers_share_has_its_own_name() -> None:
    assert tiny(engine="eager", layer="relu").layer_title == "relu"


def test_a_caption_follows_a_change() -> None:
    explainer = tiny(engine="eager", target=3)
    explainer.change("layercam", "features.0", 2)
    assert explainer(PHOTO).classes[0].title == "class 2 · layercam at features.0"
    explainer.change("eigencam", "features.0", "top1")
    assert explainer(PHOTO).classes[0].title.startswith("eigencam at features.0; class ")


class Sure(Tiny):
    """A network that is never for class 3 or 4."""

    def __init__(self) -> None:
        super().__init__()
        self.head.bias.data[3:] = torch.tensor([-20.0, -2.5])


def test_a_class_that_is_unlikely_is_told_once_and_in_its_caption(caplog: pytest.LogCaptureFixture) -> None:
    explainer = tiny(Sure, engine="eager", target=[0, 3])
    explanations = explainer.explain([replace(Frame.from_rgb(PHOTO), index=index) for index in (7, 8)])
    likely, unlikely = explanations[0].classes
    assert [explanations[0].is_unlikely(one) for one in (likely, unlikely)] == [False, True]
    assert explanations[0].described(unlikely.score) == "<1%"
    assert caplog.messages == [
        "in frame 7 the model finds class 3 (<1%) unlikely (told once): the heat there shows where it looks for that, "
        "not that it is there"
    ]


def test_a_group_is_unlikely_below_a_larger_limit() -> None:
    explainer = tiny(Sure, engine="eager", target=["rest=3-4", 4])
    explanation = explainer(PHOTO)
    assert 0.01 < explanation.score < 0.1
    assert [explanation.is_unlikely(one) for one in explanation.classes] == [True, False]


SILENT: dict[str, dict[str, Any]] = {
    "chosen by rank": {"top": 5},
    "what speaks against it": {"target": 3, "negative": True},
    "numbers": {"target": 3, "scores": "raw"},
}


@pytest.mark.parametrize("why", SILENT)
def test_it_is_not_told_where_it_is_no_news(why: str, caplog: pytest.LogCaptureFixture) -> None:
    tiny(Sure, engine="eager", **SILENT[why])(PHOTO)
    assert not caplog.messages


def test_a_blank_picture_to_warm_up_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    tiny(Sure, engine="eager", target=3).warm_up(64, 48, batch=2)
    assert not caplog.messages


def test_unlikely_is_drawn() -> None:
    def drawn(explanation: Explanation) -> np.ndarray:
        style = Style(view="heatmap", colorbar=False)
        return Renderer("yuv420p", style)(Frame.from_rgb(np.zeros((180, 320, 3), np.uint8)), explanation).to_ndarray()

    unlikely, known = (tiny(model, engine="eager", target=3)(PHOTO) for model in (Sure, Tiny))
    letters = [(drawn(each)[:24] > 200).any(axis=0).nonzero()[0].max() for each in (unlikely, known)]
    assert letters[0] > letters[1] + 30

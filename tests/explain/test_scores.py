"""The scores that are shown, and what is differentiated behind them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from click.testing import Result
from torch import Tensor, nn
from torch.nn import functional

from livecam import Explainer
from livecam.errors import ModelError
from livecam.explain.engines.graph import trace
from livecam.explain.program import Normalisation
from livecam.models import Classifier, Preprocessing
from tests.support.tiny import Tiny, pictures, program_of
from tests.support.witness import gradcam_witness, least_cosine

Livecam = Callable[..., Result]
SMALL = Preprocessing(size=(64, 64))
PHOTO = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8).repeat(20, 0).repeat(20, 1)

AGE = """
import torch
from tests.support.tiny import Tiny

class Age(Tiny):
    def forward(self, x):
        return super().forward(x)[:, :1] + 58

def age():
    torch.manual_seed(0)
    return Age()
"""


def test_a_classifier_refuses_scores_that_do_not_exist() -> None:
    with pytest.raises(ModelError, match="scores is auto, softmax, sigmoid or raw, not 'probability'"):
        Classifier("net", nn.Identity(), scores="probability")


def test_a_unit_is_for_raw_scores() -> None:
    assert Classifier("net", nn.Identity(), unit="years").scores == "auto"
    with pytest.raises(ModelError, match="a unit is for raw scores, and sigmoid makes probabilities"):
        Classifier("net", nn.Identity(), scores="sigmoid", unit="years")


def test_a_regression_reads_as_a_number_with_its_unit(
    livecam: Livecam, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "faces.py").write_text(AGE)
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("in.png", PHOTO[:, :, ::-1])
    asked = ("--model", "faces:age", "--predictions", "p.jsonl", "--report", "r.json", "--caption")
    assert livecam("annotate", "in.png", "-o", "years.png", *asked, "--unit", "years").exit_code == 0
    said, report = json.loads(Path("p.jsonl").read_text()), json.loads(Path("r.json").read_text())
    assert said["unit"] == report["unit"] == "years"
    assert report["scores"] == "raw"
    assert said["classes"][0] == {"index": 0, "label": "output", "score": pytest.approx(58, abs=1)}
    assert livecam("annotate", "in.png", "-o", "raw.png", *asked, "--scores", "raw").exit_code == 0
    with_unit, without = cv2.imread("years.png"), cv2.imread("raw.png")
    assert (with_unit != without).any(axis=2).any(axis=0).nonzero()[0].min() > 40, "only the end of the caption differs"


@pytest.mark.parametrize(("scores", "total"), [("auto", 1.0), ("softmax", 1.0), ("sigmoid", None), ("raw", None)])
def test_scores_are_made_of_logits_as_asked(scores: str, total: float | None) -> None:
    torch.manual_seed(0)
    model = Tiny().eval()
    explainer = Explainer(model, preprocessing=SMALL, scores=scores)
    told = explainer(PHOTO)
    logits = Explainer(model, preprocessing=SMALL, scores="raw")(PHOTO)
    assert logits.unit == ""
    numbers = np.array([each.score for each in logits.predictions])
    makes = {"sigmoid": lambda x: 1 / (1 + np.exp(-x)), "raw": lambda x: x}
    expected = makes.get(scores, lambda x: np.exp(x) / np.exp(x).sum())(numbers)
    np.testing.assert_allclose([each.score for each in told.predictions], expected, rtol=1e-4)
    assert [each.label for each in logits.predictions][0].startswith("output ")
    np.testing.assert_array_equal(told.cam, logits.cam)


End = Callable[[Tensor], Any]


class Ending(Tiny):
    """Ends in what its argument says. With a large `scale`, its probabilities are 0 and 1 to the last digit."""

    def __init__(self, end: End, scale: float = 1.0) -> None:
        torch.manual_seed(0)
        super().__init__()
        self.gate, self.end, self.scale = nn.Linear(8, 8), end, scale

    def forward(self, x: Tensor) -> Any:
        features = self.relu(self.features(x))
        gated = features * self.gate(features.mean(dim=(2, 3))).sigmoid()[:, :, None, None]
        return self.end(self.scale * self.head(gated.mean(dim=(2, 3))))


def ending(end: End, scale: float = 1.0, **options: Any) -> Explainer:
    return Explainer(Ending(end, scale), preprocessing=SMALL, engine="eager", layer="relu", **options)


def by_hand(logits: Tensor) -> Tensor:
    return logits.exp() / logits.exp().sum(dim=1, keepdim=True)


SOFTMAX: dict[str, End] = {
    "logits": lambda logits: logits,
    "a module": nn.Softmax(dim=1),
    "a function": lambda logits: functional.softmax(logits, dim=1),
    "log_softmax": nn.LogSoftmax(dim=1),
    "four axes": lambda logits: logits[:, :, None, None].softmax(dim=1),
    "clamped, in another precision": lambda logits: logits.softmax(dim=1).clamp(0, 1).double(),
    "not the last call": lambda logits: (logits.softmax(dim=1), logits.new_ones(1, 3).sigmoid())[0],
    "in a mapping": lambda logits: {"probabilities": logits.softmax(dim=1)},
}
SIGMOID: dict[str, End] = {
    "a module": nn.Sigmoid(),
    "in place": lambda logits: logits.sigmoid_(),
    "the only one": lambda logits: logits[:, :1].sigmoid(),
    "without an axis of classes": lambda logits: logits[:, 0].sigmoid(),
}


@pytest.mark.parametrize("scale", [1.0, 500.0])
@pytest.mark.parametrize(
    ("scores", "end"),
    [(scores, end) for scores, ends in (("softmax", SOFTMAX), ("sigmoid", SIGMOID)) for end in ends.values()],
    ids=[*SOFTMAX, *SIGMOID],
)
def test_the_logits_behind_the_last_softmax_or_sigmoid_are_explained(scores: str, end: End, scale: float) -> None:
    explainer, inputs = ending(end, scale, target=0), torch.randn(3, 3, 64, 64, generator=torch.manual_seed(1))
    assert explainer.report()["scores"] == scores
    logits = Ending(lambda logits: logits, scale)
    witness = gradcam_witness(logits, "relu", inputs, lambda output: output[:, 0])  # type: ignore[index]
    assert least_cosine(explainer.cam(inputs), witness) >= 0.9999


@pytest.mark.parametrize("end", [nn.Softmax(dim=1), nn.Sigmoid()])
@pytest.mark.parametrize("method", ["gradcam", "finercam", "scorecam", "ablationcam"])
@pytest.mark.parametrize("asked", [{"top": 3}, {"target": "0,2", "against": 1}, {"target": 1, "negative": True}])
def test_saturated_probabilities_have_the_maps_of_their_logits(end: End, method: str, asked: dict[str, Any]) -> None:
    images = list(pictures().numpy())
    given, expected = (ending(each, 500.0, method=method, **asked).explain(images) for each in (end, lambda x: x))
    for one, other in zip(given, expected, strict=True):
        assert [each.index for each in one.classes] == [each.index for each in other.classes]
        for each, witness in zip(one.classes, other.classes, strict=True):
            np.testing.assert_array_equal(each.cam, witness.cam)


@pytest.mark.parametrize(
    "end",
    [
        *(SOFTMAX["a module"], SOFTMAX["four axes"], SIGMOID["a module"], SIGMOID["the only one"], by_hand),
        lambda logits: (logits.softmax(dim=1) + (2 * logits).softmax(dim=1)) / 2,
        lambda logits: (logits.sigmoid() + (2 * logits).sigmoid()) / 2,
        lambda logits: logits[:, :2].softmax(dim=1)[:, 1],
        lambda logits: logits.sigmoid()[:, :3],
    ],
)
def test_a_model_that_gives_probabilities_is_quoted(end: End) -> None:
    explainer = ending(end)
    model, image = explainer.classifier.module, pictures(1)
    with torch.no_grad():
        said = model.eval()(Normalisation(SMALL, torch.device("cpu"), torch.float32)(image)).flatten()
    for prediction in explainer(image[0].numpy()).predictions:
        assert prediction.score == pytest.approx(said[prediction.index].item(), rel=1e-5)


@pytest.mark.parametrize(
    ("end", "note"),
    [
        (by_hand, "Ending gives probabilities, and the logits behind them are unknown; their logarithms"),
        (lambda logits: logits.softmax(dim=1)[:, 1], "Ending gives probabilities, and"),
        (lambda logits: logits[:, :1], "the one output of Ending is shown as a number; if it is a logit, --scores"),
        (lambda logits: 100 + logits, "the outputs of Ending, up to 1"),
        (lambda logits: 100 * logits.softmax(dim=1), "Ending gives percentages, which are read as probabilities"),
        (lambda logits: 100 * logits.sigmoid(), "Ending gives percentages, which are read as probabilities"),
        (nn.Softmax(dim=1), None),
        (lambda logits: logits[:, :1].sigmoid(), None),
        (lambda logits: logits, None),
    ],
)
def test_what_is_not_obvious_is_told(end: End, note: str | None, caplog: pytest.LogCaptureFixture) -> None:
    ending(end)
    assert [note in message for message in caplog.messages] == ([True] if note else [])


@pytest.mark.parametrize(
    ("end", "same"),
    [
        (lambda logits: 100 * logits.softmax(dim=1), nn.Softmax(dim=1)),
        (lambda logits: 100 * logits.sigmoid(), nn.Sigmoid()),
        (lambda logits: 100 * by_hand(logits), by_hand),
    ],
)
def test_percentages_are_probabilities(end: End, same: End) -> None:
    given, expected = (ending(each)(pictures(1)[0].numpy()) for each in (end, same))
    np.testing.assert_allclose(given.cam, expected.cam, rtol=1e-4, atol=1e-7)
    for one, other in zip(given.predictions, expected.predictions, strict=True):
        assert (one.index, one.score) == (other.index, pytest.approx(other.score, rel=1e-5))


@pytest.mark.parametrize("end", [lambda logits: logits[:, :1], lambda logits: logits[:, :1].softmax(dim=1)])
def test_a_softmax_of_one_output_says_nothing(end: End) -> None:
    with pytest.raises(ModelError, match="softmax of the one output of Ending is always 100%; take --scores sigmoid"):
        ending(end, scores="softmax")


def masking(logits: Tensor) -> Tensor:
    return logits.masked_fill(torch.arange(logits.shape[1]) > 1, -torch.inf)


def test_masked_classes_have_no_share(caplog: pytest.LogCaptureFixture) -> None:
    images = pictures()
    given, expected = (ending(end, target=1).answer(images) for end in (masking, lambda logits: logits[:, :2]))
    torch.testing.assert_close(given.maps, expected.maps)
    torch.testing.assert_close(given.best_scores[:, :2], expected.best_scores)
    assert not given.best_scores[:, 2:].any()
    assert not caplog.messages


class Unclear(Tiny):
    """No layer responds where the picture changes, so that several pictures are surveyed."""

    def forward(self, x: Tensor) -> Tensor:
        return 100 + super().forward(x.mean(dim=(2, 3), keepdim=True).expand_as(x))


def test_it_is_told_once_though_several_pictures_are_surveyed(caplog: pytest.LogCaptureFixture) -> None:
    Explainer(Unclear(), preprocessing=SMALL)
    assert len([message for message in caplog.messages if "are taken for logits" in message]) == 1


def test_no_sigmoid_is_applied_to_the_probabilities_of_a_softmax(caplog: pytest.LogCaptureFixture) -> None:
    image = pictures(1)[0].numpy()
    given, expected = (ending(nn.Softmax(dim=1), scores=scores)(image) for scores in ("sigmoid", "softmax"))
    assert given.predictions == expected.predictions
    assert caplog.messages == ["Ending gives probabilities itself, so no sigmoid is applied"]


def test_the_logarithm_of_a_probability_is_explained_where_its_logit_is_unknown() -> None:
    inputs = torch.randn(3, 3, 64, 64, generator=torch.manual_seed(1))
    selected: End = lambda logits: logits[:, :2].softmax(dim=1)[:, 1:]  # noqa: E731
    for end, target, objective in (
        (by_hand, 1, lambda output: output[:, 1].log()),
        (selected, 0, lambda output: output[:, 0].logit()),
    ):
        witness = gradcam_witness(Ending(end), "relu", inputs, objective)
        assert least_cosine(ending(end, target=target).cam(inputs), witness) > 0.9999


@pytest.mark.parametrize("end", [nn.Softmax(dim=1), by_hand])
def test_a_graph_of_the_program_explains_the_same(end: End) -> None:
    explainer, images = ending(end), pictures()
    graph = trace(program_of(explainer), explainer.classifier.module, images)
    for given, expected in zip(graph.module(images), explainer.answer(images).tensors, strict=True):
        torch.testing.assert_close(given, expected)

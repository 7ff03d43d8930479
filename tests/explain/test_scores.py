"""The scores that are shown, and what is differentiated behind them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import Result
from torch import nn

from livecam import Explainer
from livecam.errors import ModelError
from livecam.models import Classifier, Preprocessing
from tests.support.tiny import Tiny

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

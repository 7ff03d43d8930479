"""The scores that are shown, and what is differentiated behind them."""

from __future__ import annotations

import pytest
from torch import nn

from livecam.errors import ModelError
from livecam.models import Classifier


def test_a_classifier_refuses_scores_that_do_not_exist() -> None:
    with pytest.raises(ModelError, match="scores is auto, softmax, sigmoid or raw, not 'probability'"):
        Classifier("net", nn.Identity(), scores="probability")


def test_a_unit_is_for_raw_scores() -> None:
    assert Classifier("net", nn.Identity(), unit="years").scores == "auto"
    with pytest.raises(ModelError, match="a unit is for raw scores, and sigmoid makes probabilities"):
        Classifier("net", nn.Identity(), scores="sigmoid", unit="years")

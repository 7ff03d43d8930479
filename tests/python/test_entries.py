"""The same picture has the same scores whichever way it comes in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result

from livecam import Explainer
from tests.support.stills import scene


@pytest.mark.parametrize("made", ["tiny:Tiny", "dense:Dense", "dense:segformer"])
def test_a_file_on_the_command_line_has_the_scores_of_its_array(
    made: str, tmp_path: Path, livecam: Callable[..., Result]
) -> None:
    """Also of a model whose weights were left random, as these are."""
    scene().save(tmp_path / "photo.png")
    name, lines = f"tests.support.{made}", tmp_path / "p.jsonl"
    torch.manual_seed(1)
    result = livecam("annotate", tmp_path / "photo.png", "-o", "null:", "--model", name, "--predictions", lines)
    assert result.exit_code == 0, result.output
    torch.manual_seed(2)
    explained = Explainer(name)(np.asarray(scene()))
    told = [(each["index"], each["score"]) for each in json.loads(lines.read_text())["classes"]]
    assert told == [(each.index, round(each.score, 6)) for each in explained.predictions]


def test_a_model_that_is_loaded_leaves_the_random_numbers_of_others_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    Explainer("tests.support.tiny:Tiny")
    assert torch.equal(torch.rand(4), expected)

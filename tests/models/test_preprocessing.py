"""The preprocessing of a model, and what of it a user changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image
from torch.nn import functional

from livecam import Explainer, LivecamError
from livecam.models import Preprocessing
from tests.support.witness import gradcam_witness, least_cosine

Livecam = Callable[..., Result]
PICTURE = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8).repeat(20, 0).repeat(20, 1)
OWN = Preprocessing(size=(224, 224), resize=256, mean=(0.4, 0.5, 0.6), std=(0.2, 0.2, 0.3))


def test_only_what_is_given_changes() -> None:
    assert OWN.changed({}) == OWN
    assert OWN.changed({"mean": (0.5,)}) == Preprocessing((224, 224), 256, (0.5, 0.5, 0.5), OWN.std)
    assert OWN.in_grey().changed({"std": (0.5,)}).std == (0.5,)
    assert OWN.changed({"size": (448, 672)}) == Preprocessing((448, 672), 512, OWN.mean, OWN.std)
    assert OWN.changed({"size": (448, 672), "resize": 448}).resize == 448


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sise": (96, 96)}, "has size, resize, mean, std and frames, not 'sise'"),
        ({"mean": (123.675, 116.28, 103.53)}, "those of colours from 0 to 1, not 123.675; divide all of them by 255"),
        ({"std": (0.5, 0.5)}, "mean and std of red, green and blue"),
        ({"mean": (0.5, 0.5), "std": (1, 1)}, "mean and std of red, green and blue, or one of each for grey"),
        ({"std": (0.0,)}, "has to be above 0"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, tuple[float, ...]], message: str) -> None:
    with pytest.raises(LivecamError, match=message):
        OWN.changed(changes)


def test_a_named_model_sees_what_it_was_told_to_see() -> None:
    """In part or as a whole; the map is that of the input which it describes."""
    whole = Preprocessing((64, 160), mean=(0.5,) * 3, std=(0.25,) * 3)
    pixels = torch.from_numpy(PICTURE.copy()).permute(2, 0, 1)[None]
    small = functional.interpolate(pixels, (64, 160), mode="bilinear", antialias=True)
    for preprocessing in ({"size": (64, 160), "mean": (0.5,), "std": (0.25,)}, whole):
        explainer = Explainer("shapes", preprocessing=preprocessing, target=3)
        module, layer = explainer.classifier.module, explainer.layer
        witness = gradcam_witness(module, layer, (small / 255 - 0.5) / 0.25, lambda output: output[:, 3])
        assert least_cosine(torch.from_numpy(explainer(PICTURE).cam)[None], witness) >= 0.9999


def test_the_command_line_changes_it(livecam: Livecam, tmp_path: Path) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "in.png")
    options = ("--input-size", "160x64", "--mean", "0.5", "--std", "0.25,0.25,0.25")
    result = livecam("annotate", tmp_path / "in.png", "-o", "null:", "--save-map", tmp_path / "map.npy", *options)
    assert result.exit_code == 0, result.output
    expected = Explainer("shapes", preprocessing={"size": (64, 160), "mean": (0.5,), "std": (0.25,)})(PICTURE).cam
    np.testing.assert_allclose(np.load(tmp_path / "map.npy"), expected, rtol=1e-4)
    layers = json.loads(livecam("layers", "shapes", "--input-size", 160, "--json").stdout)
    assert [layer["grid"] for layer in layers if layer["automatic"]] == [[20, 20]]


@pytest.mark.parametrize(
    ("options", "exit_code", "message"),
    [
        (("--input-size", "0"), 2, "'0' is not WIDTHxHEIGHT"),
        (("--input-size", "64x"), 2, "'64x' is not WIDTHxHEIGHT"),
        (("--mean", "0.5,0.5"), 2, "'0.5,0.5' is neither a number nor three of them"),
        (("--std", "nan"), 2, "'nan' is neither a number nor three of them"),
        (("--mean", "127.5"), 2, "mean and std are those of colours from 0 to 1, not 127.5; divide all of them by 255"),
    ],
)
def test_the_command_line_refuses_what_cannot_be(
    livecam: Livecam, options: tuple[str, str], exit_code: int, message: str
) -> None:
    result = livecam("annotate", "demo:?size=64x48&seconds=0.1", "-o", "null:", *options)
    assert (result.exit_code, message in result.output) == (exit_code, True)

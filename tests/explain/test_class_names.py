"""Which class a name means."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result

from livecam import LivecamError
from livecam.explain.targets import Classes, parse_target
from tests.support.tiny import tiny

PETS = (
    "cat",
    "CAT",
    "tabby, tiger cat",
    "tiger shark, Galeocerdo",
    "caf\u00e9",
    "crane",
    "crane",
    "guide_dog",
    "dogsled",
)
FOLDERS = ("0", "1", "10", "11", "2")
"""Numbers in the order in which torchvision's ImageFolder sorts them."""


def meant(target: int | str, labels: tuple[str, ...] | None = PETS) -> list[int]:
    classes = Classes("pets", len(labels or PETS), labels)
    return [classes.find(name) for name in parse_target(target, labels=labels)]


MEANT: dict[int | str, list[int]] = {
    "cat": [0],
    "CAT": [1],
    "tabby, tiger cat": [2],
    "Tabby,  Tiger Cat": [2],
    "tiger cat, cat": [2, 0],
    "galeocerdo": [3],
    "cafe\u0301": [4],
    "Guide Dog": [7],
    5: [5],
    "5,6": [5, 6],
}


@pytest.mark.parametrize("target", MEANT)
def test_a_name_or_a_number(target: int | str, caplog: pytest.LogCaptureFixture) -> None:
    assert meant(target) == MEANT[target]
    assert not caplog.records


TOLD = {"guide": "'guide': taken as guide_dog (7)", "tiger s": "'tiger s': taken as tiger shark, Galeocerdo (3)"}


@pytest.mark.parametrize("target", TOLD)
def test_a_beginning_is_told(target: str, caplog: pytest.LogCaptureFixture) -> None:
    meant(target)
    assert caplog.messages == [TOLD[target]]


REFUSED = {
    "Cat": "'Cat' could be cat (0), CAT (1); write the name in full or give its number, "
    "or take all as a group: Cat=0-1",
    "crane": "'crane' could be crane (5), crane (6); give its number",
    "dog": "'dog' could be guide_dog (7), dogsled (8); write the name in full or give its number",
    "sled": "pets has no class 'sled'; did you mean dogsled (8)?",
    "dogslet": "pets has no class 'dogslet'; did you mean dogsled (8)?",
    "tiggr": "pets has no class 'tiggr'; did you mean tabby, tiger cat (2), tiger shark, Galeocerdo (3)?",
    "zebra": "pets has no class 'zebra'; "
    "it has cat (0), CAT (1), tabby, tiger cat (2), tiger shark, Galeocerdo (3), caf\u00e9 (4), crane (5), crane (6), "
    "guide_dog (7), dogsled (8)",
    "9": "pets has the classes 0 to 8, not 9",
}


@pytest.mark.parametrize("target", REFUSED)
def test_what_means_no_class_is_refused_with_what_does(target: str) -> None:
    with pytest.raises(LivecamError) as caught:
        meant(target)
    assert str(caught.value) == REFUSED[target]


def test_a_model_without_names_says_so() -> None:
    with pytest.raises(
        LivecamError, match="pets has no names of classes, so no class 'cat'; give a number from 0 to 8"
    ):
        meant("cat", labels=None)


def test_a_name_wins_over_a_number(caplog: pytest.LogCaptureFixture) -> None:
    assert meant("2,0", FOLDERS) == [4, 0]
    assert caplog.messages == ["'2': taken as the class of this name, whose number is 4"]
    assert meant(2, FOLDERS) == [2]
    caplog.clear()
    assert meant("3", FOLDERS) == [3]
    assert caplog.messages == ["'3': no class has this name, so taken as a number: 11 (3)"]


def test_targets_of_the_command_line_can_be_repeated(livecam: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("a\nb, bee\nc\nd\ne\nf\ng\nh")
    run = ("annotate", "demo:?size=64x48&seconds=0.1", "-o", "null:", "--labels", tmp_path / "labels.txt")
    predictions = tmp_path / "predictions.jsonl"
    result = livecam(*run, "--target", "b, bee", "--target", "3,a", "--against", "c", "--predictions", predictions)
    assert result.exit_code == 0, result.output
    explained = json.loads(predictions.read_text().splitlines()[0])["explained"]
    assert [(one["index"], one["label"]) for one in explained] == [(1, "b, bee"), (3, "d"), (0, "a")]
    result = livecam(*run, "--target", "a", "--top", 2)
    assert (result.exit_code, "--target and --top exclude each other" in result.output) == (2, True)


def test_what_is_told_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    explainer = tiny(labels=FOLDERS, target="2", against="1")
    for _ in range(2):
        assert explainer(pixels, target="2").classes[0].title == "2 rather than 1"
    assert caplog.messages == ["'2': taken as the class of this name, whose number is 4"]
    batch = torch.rand(2, 3, 64, 64)
    synonyms = tiny(labels=("cat, feline", "dog", "b", "c", "d"))
    torch.testing.assert_close(synonyms.cam(batch, target="cat, feline"), synonyms.cam(batch, target=0))

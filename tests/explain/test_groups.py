"""Groups of classes that are explained as one: what they mean, and everyday ones of ImageNet's classes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from click.testing import Result

from livecam import Explainer, LivecamError
from livecam.explain.targets import Classes, Target, parse_target
from livecam.models.imagenet import GROUPS, LABELS
from tests.support.tiny import tiny

PHOTO = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8).repeat(8, 0).repeat(8, 1)
IMAGENET = Classes("net", len(LABELS), LABELS)


def explained_by(**asked: Any) -> Explainer:
    return tiny(engine="eager", **asked)


def found(target: Target, classes: Classes = IMAGENET) -> list[tuple[str, tuple[int, ...]]]:
    """The name and the members of each class or group that a target means."""
    numbers = [classes.find(each) for each in parse_target(target, labels=LABELS)]
    return [(classes.label(number), classes.members(number) or (number,)) for number in numbers]


@pytest.mark.parametrize("name", GROUPS)
def test_each_everyday_group_is_found_by_its_name(name: str, caplog: pytest.LogCaptureFixture) -> None:
    ((label, members),) = found(name)
    if name in LABELS:  # the tool of a carpenter
        assert members == (LABELS.index(name),)
        assert "not as the group" in caplog.text
    else:
        assert (label, members) == (name, GROUPS[name].members)


def test_the_names_are_torchvisions() -> None:
    assert list(LABELS) == torchvision.models.ResNet18_Weights.DEFAULT.meta["categories"]


def test_members_are_what_their_names_say() -> None:
    for group, words in {
        "dog": "terrier retriever spaniel poodle husky collie",
        "bear": "bear panda",
        "crab": "crab",
        "fox": "fox",
        "wolf": "wolf",
        "ball": "ball",
        "shark": "shark hammerhead",
        "guitar": "guitar",
        "butterfly": "butterfly monarch",
        "spider": "spider tarantula",
    }.items():
        named = [number for number, label in enumerate(LABELS) if set(label.split()) & set(words.split())]
        others = {LABELS[number] for number in named} - {LABELS[number] for number in GROUPS[group].members}
        # These are none, although the word is in their names.
        assert others <= {
            "lesser panda",
            "wolf spider",
            "spider monkey",
            "spider web",
            "fox squirrel",
            "wire-haired fox terrier",
        }
    assert [LABELS[GROUPS["dog"].members[place]] for place in (0, -1)] == ["Chihuahua", "Mexican hairless"]
    assert {"timber wolf", "dingo", "red fox", "hyena"}.isdisjoint(LABELS[each] for each in GROUPS["dog"].members)


def test_a_group_is_known_only_where_the_labels_are_imagenets() -> None:
    with_synonyms = tuple(f"{label}, another" for label in LABELS)
    assert found("dog", Classes("net", 1000, with_synonyms))[0][1] == tuple(range(151, 269))
    for others in (tuple(sorted(LABELS)), LABELS[:999], LABELS[::-1]):
        with pytest.raises(LivecamError, match="'dog' could be"):
            found("dog", Classes("net", len(others), others))


GIVEN: dict[str, Target] = {
    "a range": "pet=1-3",
    "numbers and ranges": "pet=3,1-2",
    "spaces": " pet = 1-2, 3 ",
    "a mapping": {"pet": range(1, 4)},
    "a mapping to numbers of NumPy": {"pet": np.array([3, 2, 1, 1])},
    "a mapping to text": {"pet": "1-3"},
    "a mapping among others": [{"pet": [1, 2, 3]}],
}


@pytest.mark.parametrize("way", GIVEN)
def test_ways_to_give_a_group(way: str) -> None:
    assert found(GIVEN[way]) == [("pet", (1, 2, 3))]


def test_a_group_among_other_targets() -> None:
    assert found("tench,pet=1,3-4,dog,top=7") == [
        *[("tench", (0,)), ("pet", (1, 3, 4))],
        *[("dog", tuple(range(151, 269))), ("top", (7,))],
    ]


WRONG: dict[str, tuple[Target, str]] = {
    "without members": ("pet=", "has numbers of classes, such as dog=151,153,200-210, not ''"),
    "without a name": ("=1-3", "needs a name and members"),
    "of names": ("pet=tench", "has numbers of classes, such as dog=151,153,200-210, not 'tench'"),
    "backwards": ("pet=3-1", "the range 3-1 ends before it begins; write 1-3"),
    "out of range": ("pet=990-1000", "net has the classes 0 to 999, not 1000"),
    "an empty mapping": ({"pet": []}, "needs a name and members"),
    "with a number for a name": ({3: [1]}, "the name of a group is a text, not 3"),
    "a mapping to names": ({"pet": ["tench"]}, "the group 'pet' has numbers of classes, not names such as 'tench'"),
    "of fractions": ({"pet": [1.5]}, "a class number or a name, not 1.5"),
    "a range without a name": ("1-3", "name it: name=1-3"),
}


@pytest.mark.parametrize("way", WRONG)
def test_a_wrong_group_is_refused_in_one_line(way: str) -> None:
    target, expected = WRONG[way]
    with pytest.raises(LivecamError) as caught:
        found(target)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_group_is_explained_by_the_log_of_the_sum_of_its_members() -> None:
    """Its gradient is the members' own, weighed by their share; its score is the sum of theirs."""
    group = explained_by(target="pet=1-3")(PHOTO).classes[0]
    members = explained_by(target=[1, 2, 3])(PHOTO).classes
    scores = np.array([one.score for one in members])
    share = scores / scores.sum()
    np.testing.assert_allclose(group.cam, sum(w * one.cam for w, one in zip(share, members, strict=True)), atol=1e-6)
    assert group.score == pytest.approx(scores.sum(), rel=1e-5)
    assert (group.label, group.title, group.members) == ("pet", "pet", (1, 2, 3))
    assert group.index not in range(5)


@pytest.mark.parametrize("scores", ["sigmoid", "raw"])
def test_where_classes_may_come_together_the_score_is_the_highest(scores: str) -> None:
    members = explained_by(target=[1, 2, 3], scores=scores)(PHOTO).classes
    assert explained_by(target="pet=1-3", scores=scores)(PHOTO).score == max(one.score for one in members)


def test_one_class_as_a_group_is_that_class() -> None:
    for method in ("gradcam", "layercam", "scorecam", "ablationcam"):
        one = explained_by(target=3, method=method)(PHOTO)
        group = explained_by(target={"pet": [3]}, method=method)(PHOTO)
        np.testing.assert_allclose(group.cam, one.cam, rtol=1e-4, atol=1e-7)
        assert group.score == pytest.approx(one.score)


def test_a_group_against_another_and_against_itself() -> None:
    asked = {"target": "pet=1-2", "against": "toy=3-4"}
    contrast, negative = explained_by(**asked)(PHOTO), explained_by(**asked, negative=True)(PHOTO)
    pet, toy = (explained_by(target=each)(PHOTO) for each in asked.values())
    np.testing.assert_allclose(contrast.cam, pet.cam - toy.cam, atol=1e-6)
    np.testing.assert_allclose(negative.cam, -contrast.cam, atol=1e-6)
    assert negative.classes[0].title == "against pet rather than toy"
    with pytest.raises(LivecamError, match="pet cannot be contrasted with itself"):
        explained_by(target="pet=1-2", against={"pet": [1, 2]})
    with pytest.raises(LivecamError, match="pet cannot be contrasted with animal, which is the same; name another"):
        explained_by(target="pet=1-2", against="animal=2,1")
    with pytest.raises(LivecamError, match="cannot be contrasted with three, which is the same"):
        explained_by(target=3, against={"three": [3]})
    with pytest.raises(LivecamError, match="against is one class or group, not 2"):
        explained_by(against="1,2")


def test_methods_that_take_no_group_say_why() -> None:
    with pytest.raises(LivecamError, match="finercam compares a class with the most similar ones"):
        explained_by(target="pet=1-2", method="finercam")
    with pytest.raises(LivecamError, match="eigencam does not explain a class"):
        explained_by(target="pet=1-2", method="eigencam")
    assert explained_by(against="pet=1-2", target=3, method="finercam")(PHOTO).classes[0].has_evidence is not None


def test_a_group_for_a_call_and_after_a_change() -> None:
    explainer = explained_by()
    pet = explained_by(target="pet=1-3")(PHOTO)
    np.testing.assert_array_equal(explainer(PHOTO, target={"pet": range(1, 4)}).cam, pet.cam)
    explainer.change("gradcam", target="toy=2-4")
    assert explainer(PHOTO).label == "toy"
    batch = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    both = explainer.cam(batch, ["pet=1-3", 4])
    torch.testing.assert_close(both[0], explainer.cam(batch, "pet=1-3")[0])


def test_the_predictions_name_the_members(livecam: Callable[..., Result], tmp_path: Path) -> None:
    demo, predictions = "demo:?size=64x48&seconds=0.1", tmp_path / "p.jsonl"
    asked = ("--target", "round=0,3-4,star", "--view", "tints", "--predictions", predictions)
    result = livecam("annotate", demo, "-o", "null:", "--model", "shapes", *asked)
    assert result.exit_code == 0, result.output
    group, star = json.loads(predictions.read_text().splitlines()[-1])["explained"]
    assert (group["index"], group["label"], group["members"]) == (None, "round", "0,3-4")
    assert star["label"] == "star" and "members" not in star


ODD: dict[Target, list[str]] = {
    "LABRADOR retriever": ["Labrador retriever"],
    "labrador_retriever": ["Labrador retriever"],
    "Labrador retrievers": ["Labrador retriever"],
    "'Labrador retriever'": ["Labrador retriever"],
    "Labrador retriever, Labrador": ["Labrador retriever"] * 2,
    "Labrador": ["Labrador retriever"],
    "Granny Smíth": ["Granny Smith"],
    "hot dog": ["hotdog"],
    "carpenter’s kit": ["carpenter's kit"],
    "shih tzu": ["Shih-Tzu"],
    "crane": ["crane"],
    "plane": ["plane"],
    "dogsled": ["dogsled"],
    " dogs ": ["dog"],
    "WOLVES": ["wolf"],
    "butterflies": ["butterfly"],
    "big cats": ["big cat"],
    "208": ["Labrador retriever"],
    "0208": ["Labrador retriever"],
    208: ["Labrador retriever"],
}


@pytest.mark.parametrize("target", ODD)
def test_an_odd_target_means_the_right_class(target: Target) -> None:
    assert [label for label, _ in found(target)] == ODD[target]


REFUSED: dict[str, str] = {
    "": "the target is empty or has an empty part",
    "  ": "the target is empty or has an empty part",
    "dog,": "the target is empty or has an empty part",
    "1000": "net has the classes 0 to 999, not 1000",
    "-1": "net has the classes 0 to 999, not -1",
    "retriever": "or take all as a group: retriever=205-209",
    "labradore": "net has no class 'labradore'; did you mean Labrador retriever (208)?",
    "elefant": "net has no class 'elefant'; did you mean elephant (all 2), Indian elephant (385), ",
    "!?": "net has no class '!?'; it has tench (0), goldfish (1), ",
    "犬": "net has no class '犬'; it has tench (0), goldfish (1), ",
    "208.0": "net has no class '208.0'",
    "dog:151-268": "net has no class 'dog:151-268'",
    "top0": "net has no class 'top0'",
}


@pytest.mark.parametrize("target", REFUSED)
def test_what_means_nothing_is_refused_in_one_line(target: str) -> None:
    with pytest.raises(LivecamError) as caught:
        found(target)
    assert REFUSED[target] in str(caught.value)
    assert "\n" not in str(caught.value)

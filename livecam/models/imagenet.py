"""ImageNet's 1,000 classes, and everyday groups of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import resources

from livecam.models.groups import Group, group_of, numbers_in

LABELS = tuple((resources.files(__package__) / "imagenet_classes.txt").read_text(encoding="utf-8").splitlines())
"""The names in the order of the outputs of models that were trained on ImageNet-1k, as torchvision has them.

They are kept in a file because torchvision takes more than a second to import.
"""
_LEAST_ALIKE = 0.9
"""The share of names that must have a word in common with ImageNet's: lists differ in synonyms and spelling."""

_SPANS = {
    # Animals. Wolves, foxes, the dingo and other wild dogs (269-280) are no dogs here, wild cats (286-293) no cats.
    "dog": "151-268",
    "cat": "281-285",
    "big cat": "288-293",
    "wolf": "269-271",
    "fox": "277-280",
    "bear": "294-297,388",
    "monkey": "370-382",
    "ape": "365-369",
    "elephant": "385-386",
    "horse": "339",
    "pig": "341-343",
    "sheep": "348-349",
    "antelope": "351-353",
    "rabbit": "330,332",
    "whale": "147-148",
    "bird": "7-24,80-100,127-146",
    "chicken": "7-8",
    "duck": "97-98",
    "parrot": "87-90",
    "fish": "0-6,389-397",
    "shark": "2-4",
    "frog": "30-32",
    "turtle": "33-37",
    "lizard": "38-48",
    "snake": "52-68",
    "spider": "72-77",
    "crab": "118-121,125",
    "insect": "300-326",
    "beetle": "300-307",
    "butterfly": "321-326",
    # Plants.
    "flower": "985-986",
    "fruit": "948-957",
    "apple": "948",
    "vegetable": "936-946",
    # Vehicles.
    "car": "407,436,468,511,609,627,656,661,751,817",
    "truck": "555,569,675,717,864,867",
    "bus": "654,779,874",
    "train": "466,547,565,705,820",
    "bicycle": "444,671",
    "boat": "472,484,554,576,625,814,871,914",
    "ship": "403,510,628,724,780",
    "airplane": "404,895",
    "plane": "404,895",
    # Things.
    "ball": "429-430,522,574,722,768,805,852,890",
    "bottle": "440,720,737,898,907",
    "bridge": "821,839,888",
    "chair": "423,559,765,857",
    "clock": "409,530,892",
    "computer": "527,590,620,681",
    "guitar": "402,546",
    "gun": "413,763-764",
    "hat": "439,452,515,808",
    "phone": "487,528,707",
    "piano": "579,881",
    "shoe": "502,514,630,770,774",
}

GROUPS: dict[str, Group] = {name: group_of(name, numbers_in(spans)) for name, spans in _SPANS.items()}
"""Everyday groups by their names; each of their members is one by its own name or by definition of that name."""


def groups_for(labels: Sequence[str]) -> dict[str, Group]:
    """Return the groups that hold for classes with these names: `GROUPS` if they are ImageNet's, else none."""
    return GROUPS if _are_imagenets(labels) else {}


def _are_imagenets(labels: Sequence[str]) -> bool:
    if len(labels) != len(LABELS):
        return False
    alike = sum(bool(_words(own) & _words(name)) for own, name in zip(labels, LABELS, strict=True))
    return alike >= _LEAST_ALIKE * len(LABELS)


def _words(name: str) -> set[str]:
    return set(re.findall("[a-z]+", name.lower()))

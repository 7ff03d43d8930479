"""Groups of classes that are explained as one, such as all breeds of dogs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from livecam.errors import ModelOptionError
from livecam.text import spans_of

SPAN = "[0-9]{1,5}(-[0-9]{1,5})?"
"""A number of a class, or a range of them that includes both ends, as a regular expression."""


@dataclass(frozen=True)
class Group:
    """Several classes that are explained as one: their name, and their numbers in ascending order."""

    name: str
    members: tuple[int, ...]

    def __str__(self) -> str:
        """Return the group as a target is typed, such as dog=151-268."""
        return f"{self.name}={spans_of(self.members)}"


def group_of(name: str, members: Iterable[int]) -> Group:
    """Return a group, whose members may come in any order. Raises ModelError if its name or its members are empty."""
    group = Group(name.strip(), tuple(sorted(set(members))))
    if not (group.name and group.members):
        raise ModelOptionError(f"the group {name!r} needs a name and members, such as dog=151-268")
    return group


def parse_group(text: str) -> Group:
    """Return the group that a text such as "dog=151,153,200-210" defines. Raises ModelError."""
    name, _, spans = text.rpartition("=")
    return group_of(name, numbers_in(spans))


def numbers_in(spans: str) -> list[int]:
    """Return the numbers in a text such as "151,153,200-210". Raises ModelError."""
    numbers: list[int] = []
    for span in re.split(r"\s*,\s*", spans.strip()):
        if not re.fullmatch(SPAN, span):
            raise ModelOptionError(f"a group has numbers of classes, such as dog=151,153,200-210, not {span!r}")
        first, _, last = span.partition("-")
        numbers += range(int(first), int(last or first) + 1)
        if last and int(last) < int(first):
            raise ModelOptionError(f"the range {span} ends before it begins; write {last}-{first}")
    return numbers

"""Targets: which classes are asked for, by number, name or rank, or as a group."""

from __future__ import annotations

import difflib
import logging
import operator
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, NoReturn

from torch import Tensor

from livecam.errors import ModelError, ModelOptionError, some_of
from livecam.models.groups import SPAN, Group, group_of, numbers_in, parse_group
from livecam.models.imagenet import groups_for
from livecam.text import spans_of

log = logging.getLogger("livecam")

_MOST_CLASSES = 99_999
"""More than any model has."""
_SUGGESTIONS = 5
_FEW = 20
"""So many names are listed in full."""

ScoreFunction = Callable[[Any], Tensor]
"""A differentiable function that maps a model's output for B pictures to a score for each of them, (B,)."""
Groups = Mapping[str, Iterable[int] | str]
"""Groups of classes by their names, such as {"dog": range(151, 269)} or {"dog": "151-268"}."""
Target = (
    int | str | Group | Groups | Sequence[int | str | Group | Groups]
    | ScoreFunction | Sequence[ScoreFunction] | Mapping[str, ScoreFunction]
)  # fmt: skip
"""Classes by number, by name, or by rank ("top1" is each picture's best), and groups of classes, also as "dog=151-268";
several as a sequence, an array, a tensor, or separated by commas in a string that is not itself a name. Or functions of
the model's output: one, a sequence, or a mapping of their names to them."""
Wanted = int | str | Group
"""One class by number, name or rank, or a group of classes."""


def parse_target(
    target: Target | None, top: int | None = None, labels: Sequence[str] | None = None
) -> tuple[Wanted, ...]:
    """Return a number, a name or a group for each target that is asked for.

    Args:
        target: A class or group or several, as in `Target`; None is the best class.
        top: In place of `target`: the number of best classes.
        labels: The names of the classes: a text that is one of them is not split at its commas.

    Raises:
        ModelError: Both are given, `target` is empty, or a group is not well-formed.
    """
    if target is not None and top is not None:
        raise ModelError("target and top exclude each other: name the classes, or say how many of the best")
    if top is not None:
        if not 1 <= top <= _MOST_CLASSES:
            raise ModelOptionError(f"top is a number of classes from 1 to {_MOST_CLASSES}, not {top}")
        return tuple(f"top{rank}" for rank in range(1, top + 1))
    if target is None:
        return ("top1",)
    wanted = tuple(name for each in _as_list(target) for name in _parts(each, labels or ()))
    if not wanted or "" in wanted:
        raise ModelOptionError("the target is empty or has an empty part; give a number, a name, or top1")
    return wanted


def one_for_each(wanted: tuple[Wanted, ...], pictures: int) -> tuple[Wanted, ...]:
    """Return one class for each picture; a single class is used for all pictures. Raises ModelError."""
    if len(wanted) == 1:
        wanted *= pictures
    if len(wanted) != pictures or not pictures:
        raise ModelError(f"there are {len(wanted)} targets for {pictures} pictures; give one for each")
    return wanted


def rank_of(name: Wanted) -> int:
    """Return the rank in a name, 3 for "top3"; 0 for any other name."""
    match = re.fullmatch("top([1-9][0-9]{0,5})", name, re.IGNORECASE) if isinstance(name, str) else None
    return int(match[1]) if match else 0


class Classes:
    """The classes of a model and groups of them, found by number or name.

    Args:
        model: The model's name, for messages.
        count: The number of classes.
        labels: Their names, None if unknown.
        nouns: What one and several of them are called in messages.

    Attributes:
        groups: The groups found so far. Their numbers follow those of the classes.
        nouns: What several classes are called.

    Raises:
        ModelError: The number of names differs.
    """

    def __init__(
        self, model: str, count: int, labels: Sequence[str] | None, nouns: tuple[str, str] = ("class", "classes")
    ) -> None:
        if labels is not None and len(labels) != count:
            raise ModelError(f"there are {len(labels)} labels, but {model} has {count} classes")
        self.groups: list[Group] = []
        self._model, self._count, self._labels = model, count, labels or ()
        self._noun, self.nouns = nouns
        self._folded = list(map(_folded, self._labels))
        self._found: dict[Wanted, int] = {}

    def label(self, index: int) -> str:
        """Return the name of a class or group, such as "class 7" if it has none."""
        if index >= self._count:
            return self.groups[index - self._count].name
        return self._labels[index] if self._labels else f"class {index}"

    def members(self, index: int) -> tuple[int, ...]:
        """Return the numbers of the classes in the group with this number; none for a class."""
        return self.groups[index - self._count].members if index >= self._count else ()

    def find(self, target: Wanted) -> int:
        """Return the number of the class or group that is meant; what is not obvious is told once. Raises ModelError.

        An integer is the class's number. A text is the first of these that some class has: its name; its name in
        another case; one of the synonyms in its name, which commas separate; its number; its name in another spelling,
        such as a plural. If none has it, it is an everyday group of ImageNet's classes, if these are ImageNet's; else
        the beginning of a word in a class's name. If several classes have it, it means none.
        """
        if target not in self._found:
            self._found[target] = self._find(target)
        return self._found[target]

    def _find(self, target: Wanted) -> int:
        if isinstance(target, Group):
            return self._number_of(target)
        return self._numbered(target) if isinstance(target, int) else self._meant(target)

    def _numbered(self, number: int) -> int:
        if 0 <= number < self._count:
            return number
        raise ModelOptionError(f"{self._model} has the {self.nouns} 0 to {self._count - 1}, not {number}")

    def _number_of(self, group: Group) -> int:
        for member in group.members:
            self._numbered(member)
        if group not in self.groups:
            self.groups.append(group)
        return self._count + self.groups.index(group)

    def _meant(self, text: str) -> int:
        if found := self._named(text):
            index = self._only(found, text)
            self._tell_of_other_meanings(text, index)
            return index
        if re.fullmatch("-?[0-9]{1,9}", text):
            index = self._numbered(int(text))
            if any(map(str.isdecimal, self._labels)):
                log.warning("%r: no class has this name, so taken as a number: %s", text, self._listed([index]))
            return index
        if found := self._spelt(text):
            return self._told(text, self._only(found, text))
        if group := self._group(text):
            log.warning("%r: taken as %s", text, self._described(group))
            return self._number_of(group)
        return self._told(text, self._only(self._with_word(text) or self._unknown(text), text))

    def _told(self, text: str, index: int) -> int:
        log.warning("%r: taken as %s", text, self._listed([index]))
        return index

    def _tell_of_other_meanings(self, text: str, index: int) -> None:
        """Tell what the name of a class is not taken for: a number, or a group."""
        if re.fullmatch("[0-9]{1,9}", text) and index != int(text):
            log.warning("%r: taken as the class of this name, whose number is %d", text, index)
        elif group := self._groups.get(_folded(text)):
            log.warning("%r: taken as the class %s, not as the group %s", text, self._listed([index]), group)

    def _named(self, text: str) -> list[int]:
        """Return the classes that have this name: exactly, else in another case, else as a synonym."""
        exact = [index for index, label in enumerate(self._labels) if _composed(label) == _composed(text)]
        folded = _folded(text)
        alike = [index for index, name in enumerate(self._folded) if name == folded]
        return exact or alike or [index for index, name in enumerate(self._folded) if folded in re.split(", ?", name)]

    def _spelt(self, text: str) -> list[int]:
        """Return the classes of this name without regard to accents, spaces and signs, or with this plural."""
        wanted = set(map(_letters, _singulars(_folded(text)))) - {""}
        return [index for index, name in enumerate(self._folded) if wanted & set(map(_letters, re.split(", ?", name)))]

    @cached_property
    def _groups(self) -> dict[str, Group]:
        return groups_for(self._labels)

    def _group(self, text: str) -> Group | None:
        """Return the everyday group with this name, or with this plural."""
        names = map(_letters, _singulars(_folded(text)))
        return next((group for name in names for group in self._groups.values() if _letters(group.name) == name), None)

    def _with_word(self, text: str) -> list[int]:
        """Return the classes in whose names a word begins with this text, those with the whole word first."""
        begins = re.compile(rf"(?<!\w){re.escape(_folded(text))}(\w*)")
        matches = [(index, found) for index, name in enumerate(self._folded) if (found := begins.search(name))]
        return [index for index, _ in sorted(matches, key=lambda match: bool(match[1][1]))]

    def _only(self, found: Sequence[int], text: str) -> int:
        if len(found) == 1:
            return found[0]
        is_shared = len({self._labels[index] for index in found}) == 1
        remedy = "give its number" if is_shared else "write the name in full or give its number"
        with_word = [
            index for index in found if re.search(rf"(?<!\w){re.escape(_folded(text))}(?!\w)", self._folded[index])
        ]
        if len(with_word) > 1 and not is_shared:
            remedy += f", or take all as a group: {Group(text, tuple(with_word))}"
        raise ModelOptionError(f"{text!r} could be {self._listed(found)}; {remedy}")

    def _unknown(self, text: str) -> NoReturn:
        if re.fullmatch(SPAN, text):
            raise ModelOptionError(f"{text!r} is a range without a name; to explain it as one, name it: name={text}")
        if re.fullmatch("box[0-9]+", text):
            raise ModelOptionError(f"{self._model} detects no boxes, so there is no {text}; name a class")
        if not self._labels:
            raise ModelOptionError(
                f"{self._model} has no names of classes, so no class {text!r}; "
                f"give a number from 0 to {self._count - 1}, or labels"
            )
        folded = _folded(text)
        words = [{name, *re.findall(r"\w+", name)} for name in self._folded]
        near = difflib.get_close_matches(folded, set().union(*words, self._groups), n=1, cutoff=0.7)
        alike = [index for index, name in enumerate(self._folded) if folded in name or words[index] & {*near}]
        groups = [f"{name} (all {len(self._groups[name].members)})" for name in near if name in self._groups]
        hint = f"did you mean {some_of([*groups, *self._entries(alike)], _SUGGESTIONS)}?"
        if not alike and not groups:
            hint = f"it has {self._listed(range(self._count), _FEW if self._count <= _FEW else _SUGGESTIONS)}"
        raise ModelOptionError(f"{self._model} has no {self._noun} {text!r}; {hint}")

    def _described(self, group: Group) -> str:
        first, count = some_of([self.label(member) for member in group.members], 2), len(group.members)
        of_all = f"the {count} classes " if count > 1 else ""
        return f"{of_all}{first} ({spans_of(group.members)})"

    def _entries(self, found: Iterable[int]) -> list[str]:
        return [f"{self.label(index)} ({index})" for index in found]

    def _listed(self, found: Iterable[int], most: int = _SUGGESTIONS) -> str:
        return some_of(self._entries(found), most)


def _composed(text: str) -> str:
    """Return a text in which letters with accents are written in one way."""
    return unicodedata.normalize("NFC", text)


def _folded(text: str) -> str:
    """Return a text that is equal for names in another case, or with underscores in place of spaces."""
    return " ".join(_composed(text).casefold().replace("_", " ").split())


def _letters(text: str) -> str:
    """Return the letters and digits of a text, without accents."""
    return "".join(letter for letter in unicodedata.normalize("NFKD", text) if letter.isalnum())


def _singulars(text: str) -> list[str]:
    """Return a text, and what it may be the plural of."""
    endings = {"ies": "y", "ves": "f", "es": "", "s": ""}
    return [text, *(text.removesuffix(end) + instead for end, instead in endings.items() if text.endswith(end))]


def _parts(target: object, labels: Sequence[str]) -> list[Wanted]:
    """Return the classes in one target: those that commas separate, unless it is the name of one class."""
    if isinstance(target, Group):
        return [target]
    if isinstance(target, Mapping):
        return [group_of(_name(name), _members(name, value)) for name, value in target.items()]
    if not isinstance(target, str):
        return [_integer(target)]
    names = set(map(_folded, labels))
    if "," in target and _folded(target) in names:
        return [target.strip()]
    parts: list[str] = []
    for part in map(str.strip, target.split(",")):
        if parts and "=" in parts[-1] and re.fullmatch(SPAN, part):
            parts[-1] += f",{part}"
        else:
            parts.append(part)
    return [parse_group(part) if "=" in part and _folded(part) not in names else part for part in parts]


def _name(name: object) -> str:
    if isinstance(name, str):
        return name
    raise ModelError(f"the name of a group is a text, not {name!r}")


def _members(name: str, value: object) -> list[int]:
    if isinstance(value, str):
        return numbers_in(value)
    members = list(value) if isinstance(value, Iterable) else [value]
    if named := [each for each in members if isinstance(each, str)]:
        raise ModelError(f"the group {name!r} has numbers of classes, not names such as {named[0]!r}")
    return list(map(_integer, members))


def _integer(value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError as exc:
        raise ModelError(f"a target is a class number or a name, not {value!r}") from exc


def _as_list(target: Any) -> list[Any]:
    plain = target.tolist() if hasattr(target, "tolist") else target  # integers of NumPy and torch
    return list(plain) if isinstance(plain, Sequence) and not isinstance(plain, str) else [plain]

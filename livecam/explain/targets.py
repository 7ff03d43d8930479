"""Targets: which classes are asked for, by number, name or rank."""

from __future__ import annotations

import difflib
import logging
import operator
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from torch import Tensor

from livecam.errors import ModelError, some_of

log = logging.getLogger("livecam")

_MOST_CLASSES = 99_999
"""More than any model has."""
_SUGGESTIONS = 5

ScoreFunction = Callable[[Any], Tensor]
"""A differentiable function that maps a model's output for B pictures to a score for each of them, (B,)."""
Target = int | str | Sequence[int | str] | ScoreFunction | Sequence[ScoreFunction] | Mapping[str, ScoreFunction]
"""Classes by number, by name, or by rank ("top1" is each picture's best); several as a sequence, an array, a tensor, or
separated by commas in a string that is not itself a name. Or functions of the model's output: one, a sequence, or a
mapping of their names to them."""


def parse_target(
    target: Target | None, top: int | None = None, labels: Sequence[str] | None = None
) -> tuple[int | str, ...]:
    """Return a number or a name for each class that is asked for.

    Args:
        target: A class or several, as in `Target`; None is the best class.
        top: In place of `target`: the number of best classes.
        labels: The names of the classes: a text that is one of them is not split at its commas.

    Raises:
        ModelError: Both are given, or `target` is empty.
    """
    if target is not None and top is not None:
        raise ModelError("target and top exclude each other: name the classes, or say how many of the best")
    if top is not None:
        if not 1 <= top <= _MOST_CLASSES:
            raise ModelError(f"top is a number of classes from 1 to {_MOST_CLASSES}, not {top}")
        return tuple(f"top{rank}" for rank in range(1, top + 1))
    if target is None:
        return ("top1",)
    wanted = tuple(name for each in _as_list(target) for name in _parts(each, labels or ()))
    if not wanted or "" in wanted:
        raise ModelError("the target is empty or has an empty part; give a number, a name, or top1")
    return wanted


def one_for_each(wanted: tuple[int | str, ...], pictures: int) -> tuple[int | str, ...]:
    """Return one class for each picture; a single class is used for all pictures. Raises ModelError."""
    if len(wanted) == 1:
        wanted *= pictures
    if len(wanted) != pictures or not pictures:
        raise ModelError(f"there are {len(wanted)} targets for {pictures} pictures; give one for each")
    return wanted


def rank_of(name: int | str) -> int:
    """Return the rank in a name, 3 for "top3"; 0 for any other name."""
    match = re.fullmatch("top([1-9][0-9]{0,5})", name, re.IGNORECASE) if isinstance(name, str) else None
    return int(match[1]) if match else 0


class Classes:
    """The classes of a model, found by number or name.

    Args:
        model: The model's name, for messages.
        count: The number of classes.
        labels: Their names, None if unknown.

    Raises:
        ModelError: The number of names differs.
    """

    def __init__(self, model: str, count: int, labels: Sequence[str] | None) -> None:
        if labels is not None and len(labels) != count:
            raise ModelError(f"there are {len(labels)} labels, but {model} has {count} classes")
        self._model, self._count, self._labels = model, count, labels or ()
        self._folded = list(map(_folded, self._labels))
        self._found: dict[int | str, int] = {}

    def label(self, index: int) -> str:
        """Return the name of a class, such as "class 7" if it has none."""
        return self._labels[index] if self._labels else f"class {index}"

    def find(self, target: int | str) -> int:
        """Return the number of the class that is meant; what is not obvious is told once. Raises ModelError.

        An integer is the class's number. A text is the first of these that some class has: its name; its name in
        another case; one of the synonyms in its name, which commas separate; its number; the beginning of a word in
        its name. If several classes have it, it means none.
        """
        if target not in self._found:
            self._found[target] = self._numbered(target) if isinstance(target, int) else self._meant(target)
        return self._found[target]

    def _numbered(self, number: int) -> int:
        if 0 <= number < self._count:
            return number
        raise ModelError(f"{self._model} has the classes 0 to {self._count - 1}, not {number}")

    def _meant(self, text: str) -> int:
        is_number = re.fullmatch("-?[0-9]{1,9}", text) is not None
        if found := self._named(text):
            index = self._only(found, text)
            if is_number and index != int(text):
                log.warning("%r: taken as the class of this name, whose number is %d", text, index)
            return index
        if is_number:
            index = self._numbered(int(text))
            if any(map(str.isdecimal, self._labels)):
                log.warning("%r: no class has this name, so taken as a number: %s", text, self._listed([index]))
            return index
        index = self._only(self._with_word(text) or self._unknown(text), text)
        log.warning("%r: taken as %s", text, self._listed([index]))
        return index

    def _named(self, text: str) -> list[int]:
        """Return the classes that have this name: exactly, else in another case, else as a synonym."""
        exact = [index for index, label in enumerate(self._labels) if _composed(label) == _composed(text)]
        folded = _folded(text)
        alike = [index for index, name in enumerate(self._folded) if name == folded]
        return exact or alike or [index for index, name in enumerate(self._folded) if folded in re.split(", ?", name)]

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
        raise ModelError(f"{text!r} could be {self._listed(found)}; {remedy}")

    def _unknown(self, text: str) -> NoReturn:
        if not self._labels:
            raise ModelError(
                f"{self._model} has no names of classes, so no class {text!r}; "
                f"give a number from 0 to {self._count - 1}, or labels"
            )
        folded = _folded(text)
        words = [{name, *re.findall(r"\w+", name)} for name in self._folded]
        near = difflib.get_close_matches(folded, set().union(*words), n=1, cutoff=0.7)
        alike = [index for index, name in enumerate(self._folded) if folded in name or words[index] & {*near}]
        hint = f"did you mean {self._listed(alike)}?" if alike else f"it has {self._listed(range(self._count))}"
        raise ModelError(f"{self._model} has no class {text!r}; {hint}")

    def _listed(self, found: Sequence[int]) -> str:
        return some_of([f"{self.label(index)} ({index})" for index in found], _SUGGESTIONS)


def _composed(text: str) -> str:
    """Return a text in which letters with accents are written in one way."""
    return unicodedata.normalize("NFC", text)


def _folded(text: str) -> str:
    """Return a text that is equal for names in another case, or with underscores in place of spaces."""
    return " ".join(_composed(text).casefold().replace("_", " ").split())


def _parts(target: object, labels: Sequence[str]) -> list[int | str]:
    """Return the classes in one target: those that commas separate, unless it is the name of one class."""
    if not isinstance(target, str):
        try:
            return [operator.index(target)]  # type: ignore[arg-type]
        except TypeError as exc:
            raise ModelError(f"a target is a class number or a name, not {target!r}") from exc
    is_name = "," in target and _folded(target) in map(_folded, labels)
    return [part.strip() for part in ([target] if is_name else target.split(","))]


def _as_list(target: Any) -> list[Any]:
    plain = target.tolist() if hasattr(target, "tolist") else target  # integers of NumPy and torch
    return list(plain) if isinstance(plain, Sequence) and not isinstance(plain, str) else [plain]

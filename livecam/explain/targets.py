"""Targets: which classes are asked for, by number, name or rank."""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Sequence
from typing import Any

from livecam.errors import ModelError
from livecam.explain.methods import Method

_MOST_CLASSES = 99_999
"""More than any model has."""
_SUGGESTIONS = 3

Target = int | str | Sequence[int | str]
"""Classes by number, by name, or by rank ("top1" is each picture's best); several as a comma-separated string, a
sequence, an array or a tensor. A name that contains a comma must be in a sequence."""


def parse_target(target: Target | None, top: int | None = None) -> tuple[int | str, ...]:
    """Return a number or a name for each class that is asked for.

    Args:
        target: A class or several, as in `Target`; None is the best class.
        top: In place of `target`: the number of best classes.

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
    names = target.split(",") if isinstance(target, str) else _as_list(target)
    wanted = tuple(_as_number_or_name(name) for name in names)
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


def check_askable(method: Method, wanted: Sequence[int | str], *, contrast: bool) -> None:
    """Raise ModelError if a class (or with `contrast`, a contrast) is asked of a method that ignores the class."""
    if method.needs_target:
        return
    if contrast:
        raise ModelError(f"{method.name} does not explain a class; leave out against and negative")
    if any(name != "top1" for name in wanted):
        raise ModelError(f"{method.name} does not explain a class; leave out target and top")


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
        self._model, self._count, self._labels = model, count, labels

    def label(self, index: int) -> str:
        """Return the name of a class, such as "class 7" if it has none."""
        return self._labels[index] if self._labels else f"class {index}"

    def find(self, target: int | str) -> int:
        """Return the index of a class given its number, label or unique prefix; case is ignored. Raises ModelError."""
        name, text = self._model, str(target).strip()
        if re.fullmatch("-?[0-9]+", text):
            if 0 <= int(text) < self._count:
                return int(text)
            raise ModelError(f"{name} has the classes 0 to {self._count - 1}, not {text}")
        labels = [label.lower() for label in self._labels or ()]
        matching = [index for index, label in enumerate(labels) if label == text.lower()]
        matching = matching or [index for index, label in enumerate(labels) if text and label.startswith(text.lower())]
        if len(matching) == 1:
            return matching[0]
        if matching:
            named = ", ".join(f"{self.label(index)} ({index})" for index in matching[:_SUGGESTIONS])
            more = f" and {len(matching) - _SUGGESTIONS} more" if len(matching) > _SUGGESTIONS else ""
            raise ModelError(f"{text!r} could be {named}{more}; write the name in full or give its number")
        near = difflib.get_close_matches(text.lower(), labels, n=_SUGGESTIONS, cutoff=0.4)
        hint = f"did you mean {', '.join(near)}?" if near else f"name one by its number, 0 to {self._count - 1}"
        raise ModelError(f"{name} has no class {text!r}; {hint}")


def _as_list(target: Any) -> list[Any]:
    plain = target.tolist() if hasattr(target, "tolist") else target  # integers of NumPy and torch
    return list(plain) if isinstance(plain, Sequence) else [plain]


def _as_number_or_name(name: object) -> int | str:
    if isinstance(name, str):
        return name.strip()
    try:
        return operator.index(name)  # type: ignore[arg-type]
    except TypeError as exc:
        raise ModelError(f"a target is a class number or a name, not {name!r}") from exc

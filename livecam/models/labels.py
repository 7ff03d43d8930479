"""The names of classes: read from a file of any usual form, or given as a sequence or a mapping."""

from __future__ import annotations

import ast
import codecs
import csv
import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from livecam.errors import ModelError

log = logging.getLogger("livecam")

Labels = str | Path | Sequence[str] | Mapping[int, str] | Mapping[str, int]
"""The names of classes: a file; names in the order of the model's outputs; or a mapping of numbers to names, or of
names to numbers."""

HOLDERS = (
    "id2label",
    "label2id",
    "class_to_idx",
    "idx_to_class",
    "class_names",
    "classes",
    "label_names",
    "labels",
    "names",
)
"""The keys under which configurations of models and datasets hold the names."""
Rows = Sequence[Sequence[str]]

_NUMBER, _SYNSET = "[0-9]{1,9}", "n[0-9]{8}"


def labels_of(labels: Labels) -> tuple[str, ...]:
    """Return the names of classes in the order of the model's outputs.

    The content of a file decides what it is: JSON (a list, a mapping, or a configuration that holds one), the same as
    Python prints it, a table with a column of numbers or of ImageNet's synsets, lines that begin with a number or a
    synset, lines that end with a number, or one name a line. Tabs, commas or semicolons separate the columns of a
    table. Empty lines are skipped.

    Raises:
        ModelError: The file cannot be read, there are no names, or there is not exactly one for each number.
    """
    try:
        names = _names_in_text(_text_of(Path(labels))) if isinstance(labels, str | Path) else _names_in(labels)
        if not names:
            raise ValueError("are empty: one name for each class is needed")
    except ValueError as exc:
        file = f" {labels}" if isinstance(labels, str | Path) else ""
        raise ModelError(f"the labels{file} {exc}") from exc
    return tuple(names)


def _text_of(path: Path) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 with a byte order mark."""
    try:
        content = path.read_bytes()
        is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return content.decode("utf-16" if is_utf16 else "utf-8-sig").strip()
    except OSError as exc:
        raise ModelError(f"cannot read the labels {path}: {exc.strerror}; name a file with one name a line") from exc
    except UnicodeDecodeError as exc:
        raise ValueError("are not UTF-8 text") from exc


def _names_in_text(text: str) -> list[str]:
    if text.startswith(("{", "[")):
        return _names_in(_parsed(text))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((names for rows in _as_tables(lines) if (names := _names_in_table(rows))), list(map(_unquoted, lines)))


def _parsed(text: str) -> Any:
    """Return what JSON describes, or a list or a dictionary as Python prints it."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as exc:
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError):
            raise ValueError(f"are not complete JSON ({exc})") from exc


def _names_in(data: Any) -> list[str]:
    """Return the names in a list, in a mapping of numbers to names or back, or in a configuration that holds one."""
    if isinstance(data, set | frozenset):
        raise ValueError("are a set, which has no order; give them as a list")
    if not isinstance(data, Mapping):
        return [_name(value) for value in data]
    for key in HOLDERS:
        if isinstance(data.get(key), Mapping | list | tuple):
            return _names_in(data[key])
    if all(isinstance(value, int) for value in data.values()):
        return _by_number([(number, _name(name)) for name, number in data.items()])
    if all(re.fullmatch(_NUMBER, str(key)) for key in data):
        return _by_number([(int(key), _name(value)) for key, value in data.items()])
    raise ValueError("have neither a list of names nor numbers with names")


def _name(value: Any) -> str:
    """Return a name, or several names of one class (without its synset) joined."""
    words = list(value) if isinstance(value, list | tuple) else [value]
    if not words or not all(isinstance(word, str) and word.strip() for word in words):
        raise ValueError(f"have {value!r} in place of a name")
    return ", ".join([word.strip() for word in words if not re.fullmatch(_SYNSET, word)] or words)


def _by_number(numbered: Sequence[tuple[int, str]]) -> list[str]:
    """Return the names in the order of their numbers, which count from 0 or 1 and leave none out."""
    names: dict[int, str] = {}
    for number, name in numbered:
        if number in names:
            raise ValueError(
                f"give the number {number} twice, to {names[number]!r} and {name!r}; join them to one name"
            )
        names[number] = name
    first = 1 if 1 in names and 0 not in names else 0
    if missing := set(range(first, first + len(names))) - names.keys():
        raise ValueError(f"have no name for the number {min(missing)}; each class needs one")
    if first == 1:
        log.warning("the labels count from 1: their number 1, %s, is class 0 of the model", names[1])
    return [names[number] for number in sorted(names)]


def _as_tables(lines: Sequence[str]) -> Iterator[Rows]:
    """Yield the lines split at each kind of separator, then behind a number or synset, then before their last word."""
    for separator in "\t,;":
        with suppress(csv.Error):  # a quotation mark without its pair, in a large file
            yield list(csv.reader(lines, delimiter=separator, skipinitialspace=True))
    begin = re.compile(rf"({_NUMBER}|{_SYNSET})[\s:,;]+(.+)")
    yield [match.groups() if (match := begin.fullmatch(line)) else [line] for line in lines]
    ends = [line.rsplit(maxsplit=1) for line in lines]
    if all(len(set(column)) == len(lines) for column in zip(*ends, strict=False)):  # not "stage 1", "stage 2"
        yield ends


def _names_in_table(rows: Rows) -> list[str]:
    """Return the names in a table that numbers the classes or lists their synsets; of another table none."""
    width = max(map(len, rows), default=0)
    if width < 2 or any(len(row) < width for row in rows):
        return []
    return _names_beneath([""] * width, rows) or (_names_beneath(rows[0], rows[1:]) if rows[1:] else [])


def _names_beneath(headings: Sequence[str], rows: Rows) -> list[str]:
    columns = {place: [row[place].strip() for row in rows] for place in range(len(headings))}
    are_names = {place: "name" in heading.lower() for place, heading in enumerate(headings)}
    numbered = _numbered({place: column for place, column in columns.items() if not are_names[place]})
    synsets = [place for place, column in columns.items() if _are_synsets(column)][:1]
    if not numbered + synsets:
        return []
    others = [place for place in columns if place not in numbered + synsets] or synsets
    names = [_name(name) for name in columns[max(others, key=are_names.__getitem__)]]
    if numbered:
        return _by_number(list(zip(map(int, columns[numbered[0]]), names, strict=True)))
    if columns[synsets[0]] != sorted(columns[synsets[0]]):
        log.warning("the labels are not in the order of their synsets, as the classes of most ImageNet models are")
    return names


def _numbered(columns: Mapping[int, Sequence[str]]) -> list[int]:
    """Return the place of the column that numbers the classes, in a list that is empty if there is none."""
    numbered = {place: list(map(int, column)) for place, column in columns.items() if _are_numbers(column)}
    unique = {place: numbers for place, numbers in numbered.items() if len(set(numbers)) == len(numbers)}
    orders = {tuple(sorted(range(len(numbers)), key=numbers.__getitem__)) for numbers in unique.values()}
    if len(orders) > 1:
        raise ValueError("have two columns of numbers; write headings above them, such as index,name")
    return list(unique or numbered)[:1]


def _unquoted(line: str) -> str:
    return re.sub('^"(.+)"$', r"\1", line)


def _are_synsets(column: Sequence[str]) -> bool:
    return all(re.fullmatch(_SYNSET, cell) for cell in column)


def _are_numbers(column: Sequence[str]) -> bool:
    """Return True for the numbers of classes, with gaps or not, rather than names such as "90 degrees"."""
    if not all(re.fullmatch(_NUMBER, cell) for cell in column):
        return False
    numbers = [int(cell) for cell in column]
    return min(numbers) <= 1 and max(numbers) < 2 * len(numbers)

"""The reference of docs/python.md has all public names, arguments and attributes, and help() explains each."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path
from types import FunctionType

import pytest

import livecam

PAGE = (Path(__file__).parents[2] / "docs" / "python.md").read_text(encoding="utf-8")
REFERENCE = PAGE[PAGE.index("## Reference") :]
NAMES = [name for name in livecam.__all__ if name != "__version__"]


def section(name: str) -> str:
    found = re.search(rf"^### {name}\n(.*?)(?=^### |\Z)", REFERENCE, re.DOTALL | re.MULTILINE)
    return found[1] if found else ""


def arguments_of(name: str) -> set[str]:
    """Return what has to be described: the arguments of functions, the fields of options, public methods."""
    public = getattr(livecam, name)
    if inspect.isfunction(public):
        return set(inspect.signature(public).parameters)
    if name == "Explainer":
        return {"stream", "cam", "change", "expect", "report", *inspect.signature(public).parameters}
    if name == "Explanation":
        return {"save", "show", "draw", "described", "label", "score", "cam", "heatmap", "peak", "classes", "frame"}
    return {field.name for field in dataclasses.fields(public)} if dataclasses.is_dataclass(public) else set()


@pytest.mark.parametrize("name", NAMES)
def test_each_public_name_is_described(name: str) -> None:
    text = section(name) if not name.endswith("Error") else section("LivecamError")
    assert text
    assert [each for each in arguments_of(name) if not re.search(rf"`[^`\n]*\b{each}\b[^`\n]*`", text)] == []


def test_help_explains_each_public_method() -> None:
    members = [
        (name, member, value)
        for name in NAMES
        for member, value in inspect.getmembers(getattr(livecam, name))
        if not member.startswith("_") and isinstance(value, FunctionType | property)
    ]
    assert len(members) > 50
    assert [(name, member) for name, member, value in members if not inspect.getdoc(value)] == []

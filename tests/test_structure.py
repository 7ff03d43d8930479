"""The module structure: no circular or upward imports, short import chains, and the public names exist."""

from __future__ import annotations

import ast
import functools
import re
import rlcompleter
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import livecam

PACKAGE = Path(livecam.__file__).parent
FLOORS = (
    {"_version", "errors", "names", "scene", "text"},
    {"system", "motion_scene"},
    {"picture"},
    {"explanation", "ledger"},
    {"sources", "models", "render", "sinks"},
    {"explain"},
    {"run"},
    {"fleet", "web"},
    {"live"},
    {"bench", "doctor", "python"},
    {"cli"},
    {"__init__", "__main__"},
)
"""The rooms from the ground up: each may import from those below it, and no two of one floor from each other."""
LONGEST_CHAIN = 15
"""So many files at most import one another in a row."""


def name_of(path: Path) -> str:
    name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    return name.removesuffix(".__init__")


FILES = {name_of(path): path for path in PACKAGE.rglob("*.py")}


@functools.cache
def imports_of(name: str) -> frozenset[str]:
    """The files of livecam that a file imports, also within functions and for types alone."""
    found = set()
    for node in ast.walk(ast.parse(FILES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{each.name}" for each in node.names}
            found |= {each if each in FILES else node.module for each in inner}
        elif isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
    return frozenset(found & FILES.keys() - {name})


def room_of(name: str) -> str:
    return name.split(".")[1] if "." in name else "__init__"


def floor_of(name: str) -> int:
    (floor,) = [number for number, rooms in enumerate(FLOORS) if room_of(name) in rooms]
    return floor


def test_imports_run_down() -> None:
    upward = [
        f"{name} -> {below}"
        for name in FILES
        for below in imports_of(name)
        if room_of(name) != room_of(below) and floor_of(name) <= floor_of(below)
    ]
    assert upward == []


def test_imports_form_no_circle_and_no_long_chain() -> None:
    chains: dict[str, tuple[str, ...]] = {}
    for name in TopologicalSorter({name: imports_of(name) for name in FILES}).static_order():  # refuses circles
        chains[name] = (name, *max((chains[below] for below in imports_of(name)), key=len, default=()))
    longest = max(chains.values(), key=len)
    assert len(longest) <= LONGEST_CHAIN, " -> ".join(longest)


def test_only_few_files_start_threads() -> None:
    starting = {path for path in FILES.values() if re.search(r"threading\.Thread\(|ThreadPool", path.read_text())}
    places = ("system/background.py", "run/workers.py", "explain/engines/compilation.py")
    assert starting == {PACKAGE / place for place in places}


def test_the_public_names_are_there() -> None:
    for name in livecam.__all__:
        assert getattr(livecam, name).__doc__


def test_a_newcomer_sees_the_public_names_and_only_them() -> None:
    starred: dict[str, object] = {}
    exec("from livecam import *", starred)
    assert sorted(starred.keys() - {"__builtins__"}) == dir(livecam) == sorted(livecam.__all__)
    completions = rlcompleter.Completer({"livecam": livecam})
    assert completions.attr_matches("livecam.expl") == []
    assert sorted(completions.attr_matches("livecam.Expl")) == ["livecam.Explainer(", "livecam.Explanation("]
    with pytest.raises(AttributeError, match="has no attribute 'explainer'"):
        livecam.explainer  # noqa: B018

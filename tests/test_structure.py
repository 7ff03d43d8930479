"""The house: who may import whom, what is public, and that files stay short."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import livecam

PACKAGE = Path(livecam.__file__).parent
GROUND = {
    "errors",
    "choices",
    "media",
    "color",
    "planes",
    "paths",
    "scene",
    "threads",
    "machine",
    "processes",
    "transfer",
}
"""What everyone may use."""
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "color": set(),
    "planes": {"color"},
    "scene": set(),
    "threads": set(),
    "machine": set(),
    "processes": set(),
    "transfer": {"planes"},
    "paths": {"errors"},
    "stages": set(),
    "channel": {"stages"},
    "stats": set(),
    "media": GROUND,
    "frame": GROUND | {"render"},  # only within Explanation.overlay, a convenience for callers
    "sources": GROUND | {"frame"},
    "models": GROUND | {"frame"},
    "explain": GROUND | {"frame", "models"},
    "render": GROUND | {"frame"},
    "sinks": GROUND | {"frame"},
    "pipeline": GROUND | {"frame", "channel", "stages", "stats", "sources", "explain", "render", "sinks"},
    "choices": set(),
    "records": GROUND | {"frame"},
    "annotation": GROUND | {"frame", "pipeline", "records", "stats", "sources", "explain", "render", "sinks"},
    "bench": GROUND | {"annotation", "channel", "frame", "pipeline", "sources", "explain", "render", "sinks", "stats"},
    "live": GROUND | {"channel", "frame", "records", "stages", "stats", "sources", "explain", "render", "sinks"},
    "doctor": GROUND | {"live", "models", "sources", "explain", "sinks"},
    "cli": GROUND
    | {"annotation", "bench", "doctor", "live", "models", "pipeline", "stats", "sources", "explain", "render", "sinks"},
    "__init__": GROUND | {"annotation", "explain", "frame", "live", "sources"},
    "__main__": {"cli"},
}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("livecam."):
            modules.add(node.module.split(".")[1])
        if isinstance(node, ast.ImportFrom) and node.module == "livecam":
            modules |= {name.name for name in node.names}
        if isinstance(node, ast.Import):
            modules |= {name.name.split(".")[1] for name in node.names if name.name.startswith("livecam.")}
    return modules


def test_imports_go_one_way() -> None:
    for path in PACKAGE.rglob("*.py"):
        room = room_of(path)
        forbidden = imports_of(path) - ALLOWED[room] - {room}
        assert not forbidden, f"{path.relative_to(PACKAGE)} imports {forbidden}"


def test_only_the_stages_of_a_run_and_the_compilation_start_threads() -> None:
    starting = {p for p in PACKAGE.rglob("*.py") if re.search(r"threading\.Thread\(|ThreadPool", p.read_text())}
    assert starting == {PACKAGE / "stages.py", PACKAGE / "explain" / "engines" / "compilation.py"}


def test_the_public_names_are_there() -> None:
    assert livecam.__all__ == ["Explainer", "Explanation", "LivecamError", "annotate", "open_source", "watch"]
    for name in livecam.__all__:
        assert getattr(livecam, name).__doc__


def test_files_stay_short() -> None:
    long = {path.name: lines for path in PACKAGE.rglob("*.py") if (lines := path.read_text().count("\n")) > 400}
    assert long == {}

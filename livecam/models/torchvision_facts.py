"""Facts about the classifiers of torchvision, read in its source: importing it takes seconds."""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple


class Facts(NamedTuple):
    """Facts about a classifier with its best published weights; None for those that the source does not tell.

    Attributes:
        input_side: The height and width of its input in pixels.
        parameters: The number of parameters.
        top1: The accuracy on ImageNet-1k in percent.
        url: Where the weights are.
        mebibytes: The size of their download.
    """

    input_side: int
    parameters: int | None
    top1: float | None
    url: str
    mebibytes: float | None


@functools.cache
def facts() -> dict[str, Facts]:
    """Return the facts about each classifier, by its name, sorted."""
    spec = importlib.util.find_spec("torchvision")
    assert spec is not None and spec.origin is not None  # it is a dependency
    found = dict(pair for file in Path(spec.origin).parent.glob("models/*.py") for pair in _in_module(file))
    return dict(sorted(found.items()))


def _in_module(file: Path) -> Iterator[tuple[str, Facts]]:
    """Yield the classifiers that a module registers: functions whose argument `weights` has the type of an enum."""
    names = _Names(Weights=dict, partial=lambda function, **options: options)
    enums: dict[str, Any] = {}
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and _target(node).startswith("_COMMON"):
            names.assign(node)
        elif isinstance(node, ast.ClassDef) and node.name.endswith("_Weights"):
            members = _Names(names)
            for member in node.body:
                if isinstance(member, ast.Assign):
                    members.assign(member)
            enums[node.name] = members["DEFAULT"]
        elif isinstance(node, ast.FunctionDef) and "register_model" in map(_called, node.decorator_list):
            (enum,) = {each.id for each in ast.walk(node.args) if isinstance(each, ast.Name)} & enums.keys()
            yield node.name, _facts_of(enums[enum])


def _facts_of(weights: dict[str, Any]) -> Facts:
    meta = weights["meta"]
    top1 = meta.get("_metrics", {}).get("ImageNet-1K", {}).get("acc@1")
    side = weights["transforms"]["crop_size"]
    return Facts(side, meta.get("num_params"), top1, weights["url"], meta.get("_file_size"))


def _target(node: ast.Assign | ast.AnnAssign) -> str:
    return ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)


def _called(decorator: ast.expr) -> str:
    return ast.unparse(decorator.func if isinstance(decorator, ast.Call) else decorator)


class _Names(dict[str, Any]):
    """The names of a module; those that are not evaluated stand for nothing."""

    def assign(self, node: ast.Assign | ast.AnnAssign) -> None:
        """Evaluate an assignment, as the module does when it is imported."""
        assert node.value is not None
        self[_target(node)] = eval(compile(ast.Expression(node.value), "torchvision", "eval"), {}, self)

    def __missing__(self, name: str) -> _Nothing:
        return _Nothing()


class _Nothing:
    def __getattr__(self, name: str) -> _Nothing:
        return self

    def __call__(self, *arguments: Any, **options: Any) -> _Nothing:
        return self

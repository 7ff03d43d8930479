"""Facts about the models of torchvision, read in its source: importing it takes seconds."""

from __future__ import annotations

import ast
import functools
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

_FOLDERS = {
    "models": ("classes", "ImageNet-1K", "acc@1"),
    "models/video": ("clips", "Kinetics-400", "acc@1"),
    "models/segmentation": ("masks", "COCO-val2017-VOC-labels", "miou"),
    "models/detection": ("boxes", "COCO-val2017", "box_map"),
}
"""For each folder with models what these say of a picture, and the benchmark and the metric of their accuracy."""


class Facts(NamedTuple):
    """Facts about a model with its best published weights; None for those that the source does not tell.

    Attributes:
        kind: What it says: "classes" of a picture, "clips" for classes of a clip, "masks" or "boxes".
        input_side: The height and width of its input in pixels.
        parameters: The number of parameters.
        accuracy: Its accuracy in percent, as in `livecam.models.catalog.ACCURACIES`.
        url: Where the weights are.
        mebibytes: The size of their download.
    """

    kind: str
    input_side: int | None
    parameters: int | None
    accuracy: float | None
    url: str
    mebibytes: float | None


@functools.cache
def facts() -> dict[str, Facts]:
    """Return the facts about each model, by its name, sorted by kind and name."""
    spec = importlib.util.find_spec("torchvision")
    assert spec is not None and spec.origin is not None  # it is a dependency
    package = Path(spec.origin).parent
    return {
        name: each
        for folder in _FOLDERS
        for name, each in sorted(pair for file in (package / folder).glob("*.py") for pair in _in_module(file, folder))
    }


def _in_module(file: Path, folder: str) -> Iterator[tuple[str, Facts]]:
    """Yield the models that a module registers: functions whose argument `weights` has the type of an enum."""
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
            yield node.name, _facts_of(enums[enum], *_FOLDERS[folder])


def _facts_of(weights: dict[str, Any], kind: str, benchmark: str, metric: str) -> Facts:
    meta, transforms = weights["meta"], weights["transforms"]
    accuracy = meta.get("_metrics", {}).get(benchmark, {}).get(metric)
    side = transforms.get("crop_size") if isinstance(transforms, dict) else None
    side = side[0] if isinstance(side, tuple) else side
    return Facts(kind, side, meta.get("num_params"), accuracy, weights["url"], meta.get("_file_size"))


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

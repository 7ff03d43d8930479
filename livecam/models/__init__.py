"""Models by name, with their weights, labels and preprocessing."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from torch import nn

from livecam.errors import ModelError
from livecam.models import callables, efficientnet_lite, shapes, timm_models, torchvision_models
from livecam.models.classifier import Classifier, Preprocessing, read_labels, usual_preprocessing
from livecam.models.weights import calibrated, differing_shape, load_state, read_state

__all__ = ["Classifier", "Preprocessing", "classifier_of", "load_model", "weights_without_download"]


class Family(Protocol):
    """A kind of models; each of the modules here is one."""

    @property
    def ADAPTS(self) -> tuple[str, ...]:  # noqa: N802 - a constant of the module
        """Those of "classes" and "channels" that `build` takes, to make another number of them."""

    def load(self, name: str) -> Classifier:
        """Return the model of this name with its own weights."""

    @property
    def build(self) -> Callable[..., Classifier]:
        """Return a model, given its name and what of `ADAPTS` is asked for, with random weights."""


def load_model(name: str, *, weights: str = "default", labels: str | Path | None = None) -> Classifier:
    """Load a classifier by name, onto the CPU.

    Args:
        name: "shapes", which ships with livecam; "efficientnet_lite0", with the extra imagenet; the name of any
            classifier in torchvision; "timm:NAME", with the extra timm; or "package.module:callable". The last is
            imported, also from the current folder, and called without arguments; it must return, or be, a
            `torch.nn.Module` or a `Classifier`.
        weights: "default" for the best published weights, which are downloaded once, or for what a callable made;
            "none" for random ones, the same each time, which a callable cannot have; or the path of a state dict, saved
            by `torch.save` or as .safetensors. The file decides how many classes a model of torchvision or timm or
            efficientnet_lite0 has, and whether one of timm takes grey pictures.
        labels: A text file with one class a line, in place of the model's own labels.

    Raises:
        ModelError: There is no such model, or its weights or labels cannot be read or do not fit.
    """
    own_labels = read_labels(Path(labels)) if labels is not None else None
    family = _family(name)
    if weights == "none" and family is callables:
        raise ModelError(
            f"--weights none is not for {name}, which makes its own weights; leave it out, or give --weights FILE"
        )
    if weights == "default":
        classifier = family.load(name)
    elif weights == "none":
        classifier = calibrated(family.build(name))
    else:
        classifier = _with_weights(family, name, Path(weights))
    return dataclasses.replace(classifier, labels=own_labels) if own_labels else classifier


def classifier_of(
    model: str | nn.Module,
    weights: str,
    labels: str | Path | Sequence[str] | None,
    preprocessing: Preprocessing | None,
) -> Classifier:
    """Return the classifier for a name or a module; the arguments are those of `Explainer`. Raises ModelError."""
    if isinstance(model, str):
        if labels is not None and not isinstance(labels, str | Path):
            raise ModelError("a model given by name takes its labels from a file; give the path of one")
        return load_model(model, weights=weights, labels=labels)
    if not isinstance(model, nn.Module):
        raise ModelError(f"a model is a name or a torch.nn.Module, not {type(model).__name__}")
    if isinstance(labels, str | Path):
        labels = read_labels(Path(labels))
    return Classifier(
        name=type(model).__name__,
        module=model,
        labels=tuple(labels) if labels is not None else None,
        preprocessing=preprocessing or usual_preprocessing(model),
    )


def weights_without_download(name: str) -> str:
    """Return the `weights` with which a model can be built without a download, to look at its structure."""
    return "default" if _family(name) is callables else "none"


def _family(name: str) -> Family:
    if name == shapes.NAME:
        return shapes
    if name == efficientnet_lite.NAME:
        return efficientnet_lite
    if name.startswith(timm_models.PREFIX):
        if name not in timm_models.names():
            raise ModelError(_unknown_model(name, timm_models.names()))
        return timm_models
    if ":" in name:
        return callables
    if name not in torchvision_models.names():
        raise ModelError(_unknown_model(name, (shapes.NAME, efficientnet_lite.NAME, *torchvision_models.names())))
    return torchvision_models


def _with_weights(family: Family, name: str, path: Path) -> Classifier:
    state = read_state(path)
    classifier = family.build(name)
    wanted = {what: count for what, count in differing_shape(classifier.module, state).items() if what in family.ADAPTS}
    if wanted:
        classifier = family.build(name, **wanted)
    load_state(classifier, state, path)
    return classifier


def _unknown_model(name: str, names: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if not name.startswith(timm_models.PREFIX) and timm_models.is_installed():
        # A model of exactly this name in timm is a better suggestion than any similar one.
        near = [other for other in (timm_models.PREFIX + name,) if other in timm_models.names()] or near
    hint = f"did you mean {', '.join(near)}?" if near else "`livecam models` lists what can be named"
    return f"there is no model {name!r}; {hint}"

"""Models by name: what can be explained, with its weights, labels and preprocessing."""

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
    """Models that are made in the same way: what each module here offers."""

    @property
    def ADAPTS(self) -> tuple[str, ...]:  # noqa: N802 - a constant of the module
        """What of "classes" and "channels" `build` can make another number of."""

    def load(self, name: str) -> Classifier:
        """The model with its own weights."""

    @property
    def build(self) -> Callable[..., Classifier]:
        """The model, by its name and what it adapts, without weights of its own."""


def load_model(name: str, *, weights: str = "default", labels: str | Path | None = None) -> Classifier:
    """The classifier of this name, on the CPU.

    `name` is "shapes" (ships with livecam), "efficientnet_lite0" with the extra imagenet, any classifier of
    torchvision, "timm:NAME" with the extra timm, or "package.module:callable". The last is imported, also from the
    current folder, and called without arguments; it has to give a `torch.nn.Module` or a `Classifier`, or be one.

    `weights` is "default" (the best that there are; they are downloaded once), "none" (random, the same each time), or
    the path of a file with a state dict: one of `torch.save`, or .safetensors. The default of a callable is what it
    made; "none" is refused there, since nobody but the callable knows how its model is made at random. A file decides
    how many classes efficientnet_lite0 or a model of torchvision or timm has, and for timm's whether it sees in grey.

    `labels` is a text file with one class a line; it takes the place of the labels that are known. Raises ModelError.
    """
    own_labels = read_labels(Path(labels)) if labels is not None else None
    family = _family(name)
    if weights == "none" and family is callables:
        raise ModelError(
            f"--weights none is not for {name}: its weights are what it makes; leave it out, or give a FILE"
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
    """The classifier that a name or a module stands for; the rest as in `Explainer`. Raises ModelError."""
    if isinstance(model, str):
        if labels is not None and not isinstance(labels, str | Path):
            raise ModelError("the labels of a model that is named come from a file; give its path")
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
    """The `weights` that a model's structure can be seen with at once."""
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
        # What bears exactly this name in timm is nearer than any other.
        near = [other for other in (timm_models.PREFIX + name,) if other in timm_models.names()] or near
    hint = f"did you mean {', '.join(near)}?" if near else "`livecam models` lists what can be named"
    return f"there is no model {name!r}; {hint}"

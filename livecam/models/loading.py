"""Loads models by name: which family a name belongs to, and its weights."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from torch import nn
from torch.export import ExportedProgram

from livecam.errors import ModelError, some_of
from livecam.models import (
    callables,
    efficientnet_lite,
    files,
    huggingface,
    modules,
    motion,
    open_clip,
    shapes,
    timm_models,
    torchvision_models,
)
from livecam.models.classifier import Classifier, Preprocessing
from livecam.models.known import TIMM, check_name, unknown_model
from livecam.models.labels import Labels, labels_of
from livecam.models.weights.checkpoints import read_checkpoint
from livecam.models.weights.fitting import best_fit, differing_shape, load_weights

log = logging.getLogger("livecam")


class Family(Protocol):
    """A family of models, implemented by a module of this package and listed in `FAMILIES`."""

    @property
    def ADAPTS(self) -> tuple[str, ...]:  # noqa: N802 - a constant of the module
        """The arguments that `build` takes to change a number: none or some of "classes" and "channels"."""

    def recognises(self, name: str) -> bool:
        """Return True if a name belongs to this family, even if no model has it."""

    def load(self, name: str) -> Classifier:
        """Return the model of this name with its own weights."""

    @property
    def build(self) -> Callable[..., Classifier]:
        """Return a model with random weights, given its name and any of the arguments in `ADAPTS`."""


FAMILIES: tuple[Family, ...] = (
    shapes,
    motion,
    efficientnet_lite,
    timm_models,
    huggingface,
    open_clip,
    files,
    callables,
    torchvision_models,
)
"""All families; a name belongs to the first that recognises it, and the last recognises every name."""


def load_model(name: str, *, weights: str = "default", labels: Labels | None = None) -> Classifier:
    """Load a classifier by name, onto the CPU.

    Args:
        name: "shapes" and "motion", which ship with livecam; "efficientnet_lite0", with the extra imagenet; the name of
            any classifier in torchvision; "timm:NAME", with the extra timm; "hf:ORGANISATION/NAME" or "hf:FOLDER" of a
            model of transformers that classifies, segments or detects, with the extra hf; "clip:NAME" or
            "clip:NAME/WEIGHTS" of open_clip, with the extra clip; the path of a program of `torch.export` or of
            TorchScript, which runs like any code; or "package.module:callable". The last is imported, also from the
            current folder, and called without arguments; it must return, or be, a `torch.nn.Module`, a
            `torch.export.ExportedProgram` or a `Classifier`.
        weights: "default" for the best published weights, which are downloaded once, or for a callable's own; "none"
            for random ones, the same each time (not for a callable); or the path of a checkpoint of `torch.save` or
            safetensors, in which the model's tensors are found by their names and shapes. The file decides how many
            classes a model of torchvision or timm or efficientnet_lite0 has, and whether one of timm takes grey
            pictures.
        labels: The names of the classes in place of the model's own or those in the file, as in
            `livecam.models.labels.Labels`.

    Raises:
        ModelError: The model does not exist, or its weights or labels cannot be read or do not fit.
    """
    own_labels = None if labels is None else labels_of(labels)
    family = _family(name)
    if weights == "none" and family is callables:
        raise ModelError(
            f"--weights none is not for {name}, which makes its own weights; leave it out, or give --weights FILE"
        )
    if weights == "default":
        classifier = family.load(name)
    elif weights == "none":
        classifier = modules.calibrated(family.build(name))
    else:
        classifier = _with_weights(family, name, Path(weights), takes_labels=labels is None)
    return dataclasses.replace(classifier, labels=own_labels) if own_labels else classifier


def classifier_of(
    model: str | nn.Module | ExportedProgram | Classifier,
    weights: str,
    labels: Labels | None,
    preprocessing: Preprocessing | Mapping[str, Any] | None,
) -> Classifier:
    """Return the classifier for a model; the arguments are those of `Explainer`. Raises ModelError."""
    given = preprocessing if isinstance(preprocessing, Preprocessing) else None
    if isinstance(model, str):
        classifier = load_model(model, weights=weights, labels=labels)
    else:
        classifier = _own_classifier(model, given)
        if labels is not None:
            classifier = dataclasses.replace(classifier, labels=labels_of(labels))
    if isinstance(preprocessing, Mapping):
        given = classifier.preprocessing.changed(preprocessing)
    return modules.ready(dataclasses.replace(classifier, preprocessing=given or classifier.preprocessing))


def _own_classifier(model: nn.Module | ExportedProgram | Classifier, preprocessing: Preprocessing | None) -> Classifier:
    if isinstance(model, Classifier):
        return model
    name = type(model).__name__
    if classifier := modules.classifier_of(name, model, preprocessing):
        return classifier
    raise ModelError(
        f"a model is a name, a torch.nn.Module, a torch.export.ExportedProgram or a Classifier, not {name}"
    )


def weights_without_download(name: str) -> str:
    """Return the `weights` argument that builds a model without a download, for looking at its structure."""
    return "default" if _family(name) in (callables, files) else "none"


def _family(name: str) -> Family:
    check_name(name)
    if name.startswith(TIMM) and name not in timm_models.names():
        raise unknown_model(name, timm_models.names())
    return next(family for family in FAMILIES if family.recognises(name))


def _with_weights(family: Family, name: str, path: Path, takes_labels: bool) -> Classifier:
    checkpoint = read_checkpoint(path)
    classifier = family.build(name)
    fit = best_fit(classifier.module, huggingface.renamed(classifier.module, checkpoint.tensors))
    differing = differing_shape(classifier.module, fit.state)
    wanted = {what: count for what, count in differing.items() if what in family.ADAPTS}
    if wanted:
        classifier = family.build(name, **wanted)
    load_weights(classifier, fit, path)
    named = [names for names in checkpoint.labels if len(names) == fit.classes]
    if takes_labels and named:
        log.warning("the classes are named in %s: %s", path, some_of(named[0], 2))
        return dataclasses.replace(classifier, labels=named[0])
    return classifier

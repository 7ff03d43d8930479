"""Models by name: what can be explained, with its weights, labels and preprocessing."""

from __future__ import annotations

import dataclasses
import difflib
from pathlib import Path

from livecam.errors import ModelError
from livecam.models import torchvision_models
from livecam.models.classifier import Classifier, Preprocessing, read_labels
from livecam.models.weights import load_state

__all__ = ["Classifier", "Preprocessing", "load_model"]

SHAPES_MODEL = "shapes"


def load_model(name: str, *, weights: str = "default", labels: str | Path | None = None) -> Classifier:
    """The classifier of this name, on the CPU.

    `name` is "shapes" (ships with livecam) or any classifier of torchvision. `weights` is "default" (the best that
    there are; torchvision's are downloaded once), "none" (random, the same each time), or the path of a file with a
    state dict. `labels` is a text file with one class a line; together with a weights file it also says how many
    classes the model has. Raises ModelError.
    """
    own_labels = read_labels(Path(labels)) if labels is not None else None
    from_file = weights not in ("default", "none")
    if name == SHAPES_MODEL:
        classifier = _shapes(trained=weights == "default")
    elif name in torchvision_models.names():
        classes = len(own_labels) if own_labels and from_file else None
        classifier = torchvision_models.load(name, download=weights == "default", classes=classes)
    else:
        raise ModelError(_unknown_model(name))
    if from_file:
        load_state(classifier, Path(weights))
    return dataclasses.replace(classifier, labels=own_labels) if own_labels else classifier


def _shapes(trained: bool) -> Classifier:
    from livecam.models import shapes

    return Classifier(
        name=SHAPES_MODEL,
        module=shapes.load() if trained else shapes.build(),
        labels=shapes.LABELS,
        preprocessing=Preprocessing(
            size=shapes.INPUT_SIZE, resize=min(shapes.INPUT_SIZE), mean=shapes.MEAN, std=shapes.STD
        ),
        multi_label=True,
    )


def _unknown_model(name: str) -> str:
    near = difflib.get_close_matches(name, [SHAPES_MODEL, *torchvision_models.names()], n=3, cutoff=0.5)
    hint = (
        f"did you mean {', '.join(near)}?" if near else "name 'shapes' or a classifier of torchvision, such as resnet50"
    )
    return f"there is no model {name!r}; {hint}"

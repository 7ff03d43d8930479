"""The classifier that ships with livecam, `shapes`."""

from __future__ import annotations

from torch import nn

from livecam.models.classifier import Classifier, Preprocessing
from livecam.models.weights import untrained

NAME = "shapes"
ADAPTS: tuple[str, ...] = ()


def load(name: str = NAME) -> Classifier:
    """The classifier as it was trained."""
    from livecam.models import shapes

    return _classifier(shapes.load())


def build(name: str = NAME) -> Classifier:
    """The classifier with random weights, the same each time."""
    from livecam.models import shapes

    return _classifier(untrained(shapes.build))


def _classifier(module: nn.Module) -> Classifier:
    from livecam.models import shapes

    preprocessing = Preprocessing(
        size=shapes.INPUT_SIZE, resize=min(shapes.INPUT_SIZE), mean=shapes.MEAN, std=shapes.STD
    )
    return Classifier(NAME, module, shapes.LABELS, preprocessing, multi_label=True)

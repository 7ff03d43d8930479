"""Random weights, and errors of downloads."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from livecam.errors import ModelError
from livecam.models.classifier import Classifier
from livecam.models.problems import input_errors


def untrained(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a module with random weights from a fixed seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = build()
        for layer in module.modules():
            if isinstance(layer, nn.Linear) and not layer.weight.any():
                layer.reset_parameters()  # a ViT's head is initialised with zeros, which would stop the gradient
        return module


def calibrated(classifier: Classifier) -> Classifier:
    """Set the batch normalisation statistics of an untrained model to those of noise, and return the model.

    With their initial statistics the signal fades on its way through a deep network. What is left are rounding errors,
    and numbers so small that processors are slow with them.
    """
    norms = [layer for layer in classifier.module.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return classifier
    training, momenta = classifier.module.training, [norm.momentum for norm in norms]
    classifier.module.eval()
    for norm in norms:
        norm.train()
        norm.momentum = None  # a plain average over the input, which is one batch
    preprocessing = classifier.preprocessing
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad(), input_errors(classifier):
        classifier.module(torch.randn(2, preprocessing.channels, *preprocessing.size, generator=noise))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    classifier.module.train(training)
    return classifier


def download_error(name: str, host: str, exc: BaseException) -> ModelError:
    """Return the error for weights that cannot be downloaded: no network, a full disk, a file cut short."""
    return ModelError(
        f"the weights of {name} cannot be downloaded from {host} ({first_cause(exc)}); connect to the network once, or "
        "give --weights FILE, or take --model efficientnet_lite0 or shapes, which need no download, or --weights none "
        "to try the speed"
    )


def first_cause(exc: BaseException) -> str:
    """Return the first line of the innermost cause: libraries wrap the system's message in longer ones."""
    while inner := exc.__cause__ or exc.__context__:
        exc = inner
    reason = getattr(exc, "reason", None) or exc
    text = str(getattr(reason, "strerror", None) or reason) or type(reason).__name__
    return text.splitlines()[0]

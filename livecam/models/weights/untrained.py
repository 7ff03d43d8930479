"""Random weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

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

"""The classifier for a module that the user brings, and what modules need before they can be explained."""

from __future__ import annotations

import itertools
import logging
from dataclasses import replace

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from livecam.errors import ModelError
from livecam.models import huggingface, torchvision_detectors
from livecam.models.classifier import Classifier, Preprocessing
from livecam.models.guessing import usual_preprocessing
from livecam.models.problems import input_errors
from livecam.models.programs import classifier_of_program, is_program, with_layers
from livecam.models.trial import random_input
from livecam.models.weights.untrained import seeded

log = logging.getLogger(__name__)


def classifier_of(name: str, model: object, preprocessing: Preprocessing | None = None) -> Classifier | None:
    """Return the classifier for a module or an exported program, None for anything else.

    Its preprocessing is this one or, without it, the usual one.
    """
    if is_program(model):
        return classifier_of_program(name, model)
    if huggingface.is_own(model):
        classifier = huggingface.classifier_of(name, model)
        return replace(classifier, preprocessing=preprocessing or huggingface.guessed_preprocessing(name, model))
    if torchvision_detectors.is_own(model):
        classifier = torchvision_detectors.classifier_of(name, model)
        return replace(classifier, preprocessing=preprocessing or classifier.preprocessing)
    if isinstance(model, nn.Module):
        return Classifier(name, model, preprocessing=preprocessing or usual_preprocessing(model))
    return None


def ready(classifier: Classifier) -> Classifier:
    """Return a classifier whose module has layers that can be observed, and all of its weights. Raises ModelError."""
    original = getattr(classifier.module, "_orig_mod", classifier.module)  # of what torch.compile returns
    classifier = with_layers(replace(classifier, module=original))
    module, preprocessing = classifier.module, classifier.preprocessing
    lazy = [name for name, each in itertools.chain(module.named_parameters(), module.named_buffers()) if is_lazy(each)]
    if lazy:
        log.warning("%s never ran, so the weights of its lazy layers are random: %s", classifier.name, lazy[0])
        with input_errors(classifier), torch.no_grad(), seeded():
            module(random_input(module, preprocessing.input_shape))
    if any(each.is_inference() for each in module.parameters()):
        raise ModelError(
            f"{classifier.name} was made in inference mode, whose tensors have no gradients; "
            "make it outside of torch.inference_mode"
        )
    return classifier


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
    preprocessing = classifier.trial
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad(), input_errors(classifier):
        classifier.module(torch.randn(2, *preprocessing.input_shape, generator=noise))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    classifier.module.train(training)
    return classifier

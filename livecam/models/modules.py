"""A module that the user brings: which pictures it takes, and what it needs before it can be explained."""

from __future__ import annotations

import itertools
import logging

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from livecam.models.classifier import Classifier, Preprocessing, input_channels
from livecam.models.problems import input_errors
from livecam.models.programs import with_layers
from livecam.models.trial import random_input, runs_on

log = logging.getLogger(__name__)


def usual_preprocessing(module: nn.Module) -> Preprocessing:
    """Return the default preprocessing for a module: ImageNet's, in grey if the module takes no pictures in colour.

    A module with a convolution of one channel is tried: it may make its picture grey by itself, or filter each channel.
    """
    colour = Preprocessing()
    if not any(getattr(layer, "in_channels", 3) == 1 for layer in module.modules()) or runs_on(module, 3, colour.size):
        return colour
    takes_grey = runs_on(module, 1, colour.size) or input_channels(module) == 1
    return colour.in_grey() if takes_grey else colour


def ready(classifier: Classifier) -> Classifier:
    """Return a classifier whose module has layers that can be observed, and all of its weights. Raises ModelError."""
    classifier = with_layers(classifier)
    module, preprocessing = classifier.module, classifier.preprocessing
    lazy = [name for name, each in itertools.chain(module.named_parameters(), module.named_buffers()) if is_lazy(each)]
    if lazy:
        log.warning("%s never ran, so the weights of its lazy layers are random: %s", classifier.name, lazy[0])
        with input_errors(classifier), torch.no_grad():
            module(random_input(module, preprocessing.channels, preprocessing.size))
    return classifier

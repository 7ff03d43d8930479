"""The preprocessing of a module that comes without one."""

from __future__ import annotations

from torch import nn

from livecam.models.classifier import Preprocessing, input_channels
from livecam.models.trial import runs_on


def usual_preprocessing(module: nn.Module) -> Preprocessing:
    """Return the default preprocessing for a module: ImageNet's, in grey if the module takes no pictures in colour.

    A module with a convolution of one channel is tried: it may make its picture grey by itself, or filter each channel.
    """
    colour = Preprocessing()
    if not any(getattr(layer, "in_channels", 3) == 1 for layer in module.modules()) or runs_on(
        module, colour.input_shape
    ):
        return colour
    takes_grey = runs_on(module, colour.in_grey().input_shape) or input_channels(module) == 1
    return colour.in_grey() if takes_grey else colour

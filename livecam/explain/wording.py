"""How captions say with which method and at which layer a map was made."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from livecam.explain.methods import Method
from livecam.models.survey.layers import Survey, TargetLayer
from livecam.names import USUAL_METHOD


def way_of(method: Method, chosen: str = "", usual: str = USUAL_METHOD) -> str:
    """Return how a map was made, as far as it is not as usual: "layercam at layer3"; empty if all is as usual.

    Args:
        method: The method.
        chosen: The title of the layers if they were chosen by the user.
        usual: The name of the method that is usual for the task.
    """
    if method.name == usual:
        return chosen
    return f"{method.name} at {chosen}" if chosen else method.name


def layers_title(layers: Iterable[TargetLayer], survey: Survey, model: nn.Module) -> str:
    """Return names that say where layers are in the model, joined by "+".

    An activation function that many layers share, such as `relu`, is named after the layer with weights before it.
    """
    return "+".join(dict.fromkeys(_title(layer, survey, model) for layer in layers))


def _title(layer: TargetLayer, survey: Survey, model: nn.Module) -> str:
    names = [call.name for call in survey.calls]
    is_activation = type(layer.module).__module__ == nn.ReLU.__module__ and not _has_weights(layer.module)
    if "." in layer.name or not is_activation or names.count(layer.name) == 1:
        return layer.name
    place = len(names) - 1 - names[::-1].index(layer.name) if layer.name in names else 0
    weighted = (name for name in reversed(names[:place]) if _has_weights(model.get_submodule(name)))
    return next(weighted, layer.name)


def _has_weights(module: nn.Module) -> bool:
    return any(weight.ndim > 1 for weight in module.parameters())

"""The layers of a model that can be explained, and the choice of layers by default or by name."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import nn

from livecam.errors import ModelError
from livecam.models.grid import Grid

log = logging.getLogger(__name__)

LayerChoice = str | int | Sequence[str | int] | None
"""Layers by name or number, several as a sequence or a comma-separated string; None for the automatic choice."""


DOUBT = "does not respond where the picture changes"
"""What is told of a layer that has the shape of a grid, but not the responses of one."""


@dataclass(frozen=True)
class Layer:
    """A call of a module of the model, as observed while the model ran.

    Attributes:
        name: Its dotted name in the model.
        type: The name of its class.
        shape: The shape of its output.
        grid: The grid of its output, None if it cannot be explained.
        obstacle: The reason why it cannot be explained; empty if it can.
        is_proven: True if it responds to changes of the picture where they are on its grid.
        agreement: The correlation of its responses with those expected on its grid, -1 to 1; None without a grid.
        in_attention: True if it is part of an attention module.
        holds_scores: True if its channels are the model's scores.
        call: The call of it that is observed, counted from 0.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    grid: Grid | None
    obstacle: str = ""
    is_proven: bool = False
    agreement: float | None = None
    in_attention: bool = False
    holds_scores: bool = False
    call: int = 0

    @property
    def is_single_channel(self) -> bool:
        """True if it is no map of features, but a single number for each cell, such as the gate of an attention."""
        return self.grid is not None and self.shape[self.grid.channel_axis] == 1 and not self.holds_scores

    @property
    def size(self) -> str:
        """The shape as text: 1x512x7x7."""
        return "x".join(map(str, self.shape))


@dataclass(frozen=True)
class TargetLayer:
    """A layer to explain.

    Attributes:
        name: Its dotted name in the model.
        module: The module itself.
        grid: The grid of its output.
        call: The call of it that is explained, counted from 0 in each run of the model.
    """

    name: str
    module: nn.Module
    grid: Grid
    call: int = 0


@dataclass(frozen=True)
class Survey:
    """The layers of a model.

    Attributes:
        calls: All calls of its modules that return a tensor which depends on the picture, in the order of execution.
    """

    calls: tuple[Layer, ...]

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """Each layer once, at its last call that can be explained, in the order of these calls."""
        last: dict[str, Layer] = {}
        for layer in sorted(self.calls, key=lambda each: (each.is_proven, each.grid is not None)):
            last[layer.name] = layer
        return tuple(layer for layer in self.calls if last[layer.name] is layer)

    @property
    def usable(self) -> list[Layer]:
        """The layers that can be explained; `--layer` counts them from 0, or backwards from -1.

        These are the ones whose grid is proven, or if there are none, all that have one.
        """
        with_grid = [layer for layer in self.layers if layer.grid is not None]
        return [layer for layer in with_grid if layer.is_proven] or with_grid

    @property
    def automatic(self) -> Layer:
        """The layer that is explained by default. Raises ModelError if none can be.

        It is the last one with a spatial extent and a gradient of the score through it that is not part of an attention
        module, nor a single channel, which is a gate. (In the last block of a ViT that is the normalisation before the
        attention: after it, only the class token reaches the head.)
        """
        if not self.usable:
            raise ModelError("no layer of the model has both a spatial extent and a gradient: it cannot be explained")
        maps = [layer for layer in self.usable if not layer.is_single_channel]
        return ([layer for layer in maps if not layer.in_attention] or maps or self.usable)[-1]

    @property
    def automatic_features(self) -> Layer:
        """The default layer for methods that interpret features: not one whose channels are the model's scores."""
        features = [
            layer for layer in self.usable if not (layer.in_attention or layer.is_single_channel or layer.holds_scores)
        ]
        return features[-1] if features else self.automatic

    def find(self, model: nn.Module, wanted: LayerChoice, *, features_only: bool) -> list[TargetLayer]:
        """Find the layers to explain.

        Args:
            model: The model of this survey.
            wanted: Names or numbers, as a sequence or separated by commas; None for the default layer.
            features_only: Choose `automatic_features` instead of `automatic` by default.

        Raises:
            ModelError: A layer does not exist or cannot be explained.
        """
        if wanted is None:
            found = [self.automatic_features if features_only else self.automatic]
        else:
            names = (
                wanted.split(",") if isinstance(wanted, str) else wanted if isinstance(wanted, Sequence) else [wanted]
            )
            if not all(isinstance(name, str | int) for name in names):
                raise ModelError("a layer is a name or a number, or several of these")
            found = [self._find_one(model, str(name).strip()) for name in names]
        if not found:
            raise ModelError("the layer is empty; leave it out for the automatic choice")
        for layer in found:
            if not layer.is_proven:
                log.warning("layer %s %s, so its map may show other places", layer.name, DOUBT)
        return [
            TargetLayer(layer.name, model.get_submodule(layer.name), layer.grid, layer.call)
            for layer in found
            if layer.grid
        ]

    def _find_one(self, model: nn.Module, name: str) -> Layer:
        modules = dict(model.named_modules())
        if name not in modules or not name:
            if re.fullmatch("-?[0-9]+", name):
                return self._by_number(int(name))
            raise ModelError(_unknown_layer(model, name))
        found = next((layer for layer in self.layers if layer.name == name), None)
        if found is None:
            raise ModelError(
                f"layer {name} returns no tensor when the model runs; `livecam layers` lists those that do"
            )
        if found.grid is None:
            raise ModelError(
                f"layer {name} cannot be explained: {found.obstacle} ({found.size}); {self._nearest_to(found)}"
            )
        return found

    def _by_number(self, number: int) -> Layer:
        count = len(self.usable)
        if not -count <= number < count:
            raise ModelError(f"the model has {count} layers that can be explained, 0 to {count - 1}, not {number}")
        return self.usable[number]

    def _nearest_to(self, layer: Layer) -> str:
        if not self.usable:
            return "nor can any other"
        place = self.layers.index(layer)
        nearest = min(self.usable, key=lambda other: abs(self.layers.index(other) - place))
        return f"the nearest that can is {nearest.name}"


def _unknown_layer(model: nn.Module, name: str) -> str:
    names = [candidate for candidate, _ in model.named_modules() if candidate]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
    hint = (
        f"did you mean {', '.join(near)}?" if near else f"the outermost are {', '.join(dict(model.named_children()))}"
    )
    return f"the model has no layer {name!r}; {hint}"

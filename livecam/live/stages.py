"""The stages of a model: the few layers that a user walks among."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it imports torch, which takes seconds: the window opens before
    from livecam.models.survey.layers import Layer, Survey

_LEAST, _MOST = 3, 6


def stages(survey: Survey) -> list[str | None]:
    """Return the names of layers from the output to the input; the automatic choice, None, is the first.

    A stage is the last layer of a resolution, outside of blocks if there are enough. Where all layers have one
    resolution, as in a transformer, stages are some of its blocks.
    """
    layers = [layer for layer in survey.usable if layer.is_eligible]
    automatic = [layer.name for layer in survey.automatic]
    if len(layers) <= _MOST:
        names = [layer.name for layer in layers]
    else:
        names = _ends_of_resolutions(layers) or _spread(_siblings(layers, automatic[-1]))
    return [None, *(name for name in reversed(names) if name not in automatic)]


def _ends_of_resolutions(layers: Sequence[Layer]) -> list[str]:
    usual = [size for size, count in Counter(map(_size, layers)).items() if count > 1]  # others are paddings
    for depth in range(1 + max(layer.name.count(".") for layer in layers)):
        ends = {_size(layer): layer.name for layer in layers if layer.name.count(".") <= depth}
        names = [ends[size] for size in usual if size in ends]
        if len(names) >= _LEAST:
            return names
    return []


def _size(layer: Layer) -> tuple[int, int]:
    assert layer.grid is not None  # it is eligible
    return layer.grid.height, layer.grid.width


def _siblings(layers: Sequence[Layer], name: str) -> list[str]:
    """Return the layers that have a layer's name but for the numbers."""
    pattern = re.sub(r"\d+", r"\\d+", re.escape(name))
    return [layer.name for layer in layers if re.fullmatch(pattern, layer.name)]


def _spread(names: Sequence[str]) -> list[str]:
    """Return at most `_MOST` of the names, evenly spaced, the last among them."""
    return list(names[:: -max(-(-len(names) // _MOST), 1)][::-1])

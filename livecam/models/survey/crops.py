"""Crops inside of a network: which layers see only a part of the picture, found in the autograd graph."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from torch.autograd.graph import GradientEdge, Node


def see_a_crop(outputs: Sequence[GradientEdge]) -> list[bool]:
    """Return for each output of a network's layers if the picture was cropped before them.

    An output that joins crops counts as well. To cut feature maps is no crop.
    """
    pictures: set[Node] = set()
    cropped: set[Node] = set()
    for node in _sources_first(outputs):
        sources = _sources(node)
        is_picture = pictures.issuperset(sources) and not re.search("conv|mm|linear", node.name(), re.IGNORECASE)
        if not cropped.isdisjoint(sources) or (is_picture and _is_crop(node)):
            cropped.add(node)
        elif is_picture:
            pictures.add(node)
    return [output.node in cropped for output in outputs]


def _is_crop(node: Node) -> bool:
    """Return True if an operation on pictures returns a part of their rows or columns, without gaps."""
    if not re.match("Slice|Split|ConstantPad", node.name()) or getattr(node, "_saved_step", 1) > 1:
        return False
    (height, width), (of_height, of_width) = (each._input_metadata[0].shape[-2:] for each in (node, *_sources(node)))
    return bool(height < of_height or width < of_width)


def _sources(node: Node) -> list[Node]:
    return [source for source, _ in node.next_functions if source is not None]


def _sources_first(outputs: Sequence[GradientEdge]) -> Iterator[Node]:
    """Yield the nodes that the outputs are computed from, each once and after its own sources."""
    seen: set[Node] = set()
    waiting = [(output.node, False) for output in outputs]
    while waiting:
        node, sources_are_done = waiting.pop()
        if sources_are_done:
            yield node
        elif node not in seen:
            seen.add(node)
            waiting += [(node, True), *((source, False) for source in _sources(node))]

"""Networks that crop, pad or warp the picture: which layers see it displaced, found by gradients of pixels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import product

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, Node

from livecam.models.survey.layers import CROP, PADDED, WARPED

_ROWS = (0.05, 0.1, 0.2, 0.35, 0.45, 0.55, 0.65, 0.8, 0.9, 0.95)  # of pixels, in units of the side
_COLUMNS = (0.2, 0.95, 0.05, 0.55, 0.35, 0.65, 0.45, 0.1, 0.8, 0.9)  # of the same pixels; those inside stay inside
_TOLERANCE = 0.04  # how far they may come from elsewhere, in units of the side; a network's stem may pad by some pixels


def displacements(outputs: Sequence[GradientEdge], picture: Tensor) -> list[str]:
    """Return for each output of a network's layers how the picture is displaced before them; empty if it is not.

    Each pixel of what enters the first convolution has to come from the pixel of the picture at its own place, or at
    the mirrored one. An output that joins displaced pictures with others counts as displaced. To slice or pad feature
    maps does not, but to cut regions of interest out of them does.

    Args:
        outputs: The outputs. Their autograd graph is kept.
        picture: The input, (1, channels, h, w), of which they are computed; or a clip, whose middle frame counts.
    """
    graph = _Graph(picture, {output.node for output in outputs})
    for node in _sources_first(outputs):
        graph.add(node)
    return [graph.displaced.get(output.node) or graph.before.get(output.node, "") for output in outputs]


class _Graph:
    """The part of an autograd graph that was seen.

    Attributes:
        pictures: The nodes of pictures, before any convolution or matrix product.
        displaced: How the picture is displaced at nodes, and at all that are computed from them.
        before: How the pictures are displaced that are computed from nodes.
    """

    def __init__(self, picture: Tensor, outputs: set[Node]) -> None:
        self._picture, self._outputs = picture, outputs
        self.pictures: set[Node] = set()
        self.displaced: dict[Node, str] = {}
        self.before: dict[Node, str] = {}

    def add(self, node: Node) -> None:
        """Add a node, the sources of which were added."""
        is_picture = self.pictures.issuperset(_pictures_of(node)) and not _mixes(node)
        if is_picture:
            self.pictures.add(node)
        if is_picture and node in self._outputs:
            self._look_at(GradientEdge(node, 0), node)
        for source in _edges(node):
            if source.node in self.pictures and not (is_picture and self._is_like_input(GradientEdge(node, 0))):
                self._look_at(source, node)
        if "roi_align" in node.name() and not is_picture:
            self.displaced[node] = CROP
        if known := next((self.displaced[each] for each in _sources(node) if each in self.displaced), None):
            self.displaced.setdefault(node, known)

    def _look_at(self, edge: GradientEdge, reader: Node) -> None:
        """Find out if a picture is displaced, for the node that reads it."""
        is_for_convolution = "Conv" in reader.name() and self._is_of_one(_shape(edge))
        is_known = not _sources(edge.node) or edge.node in self.displaced
        if is_known or not (is_for_convolution or self._is_like_input(edge)):
            return
        if displacement := _displacement(edge, self._picture):
            self.displaced[edge.node] = displacement
            self.before |= dict.fromkeys(self.pictures.intersection(_sources_first([edge])), displacement)

    def _is_like_input(self, edge: GradientEdge) -> bool:
        return len(_shape(edge)) == self._picture.ndim and _shape(edge)[:2] == self._picture.shape[:2]

    def _is_of_one(self, shape: torch.Size) -> bool:
        """Return True for the shape of a picture in a batch of one, or of a clip or all of its frames."""
        return len(shape) in (4, self._picture.ndim) and (shape[0] == 1 or shape[0] in self._picture.shape[:-2])


def _displacement(edge: GradientEdge, picture: Tensor) -> str:
    """Return how the places differ that the pixels of a picture come from; empty if they are their own."""
    nodes = list(_sources_first([edge]))
    if any(node.name().startswith("GridSampler") and len(_sources(node)) > 1 for node in nodes):
        return WARPED  # each picture in another way
    *_, height, width = _shape(edge)
    pixels = [(int(y * height), int(x * width)) for y, x in zip(_ROWS, _COLUMNS, strict=True)]
    found = [(y, x, *origin) for y, x in pixels if (origin := _origin(edge, picture, y, x))]
    if not found:
        return ""
    pixel = torch.tensor([[(y + 0.5) / height, (x + 0.5) / width] for y, x, *_ in found])
    source = torch.tensor([[y, x] for *_, y, x in found])
    finest = torch.tensor([min(height, picture.shape[-2]), min(width, picture.shape[-1])])
    mirrored = (torch.where(torch.tensor(flips), 1 - source, source) for flips in product([False, True], repeat=2))
    if any(bool(((each - pixel).abs() <= _TOLERANCE + 0.5 / finest).all()) for each in mirrored):
        return ""
    growth = (source.amax(0) - source.amin(0)) - (pixel.amax(0) - pixel.amin(0))
    if any(re.match("Reflection|Replication", node.name()) for node in nodes):
        return PADDED
    if any(node.name().startswith("GridSampler") for node in nodes) or not _is_stretched(pixel, source):
        return WARPED
    if growth.amax() > _TOLERANCE:
        return PADDED
    return CROP if growth.amin() < -_TOLERANCE else WARPED


def _is_stretched(pixel: Tensor, source: Tensor) -> bool:
    """Return True if places (N, 2) come from others by a shift and a scale of each axis, as in a crop or a border."""
    for axis in range(2):
        line = torch.stack([pixel[:, axis], torch.ones(len(pixel))], dim=1)
        fitted = line @ torch.linalg.lstsq(line, source[:, axis : axis + 1]).solution
        if (fitted[:, 0] - source[:, axis]).abs().amax() > _TOLERANCE:
            return False
    return True


def _origin(edge: GradientEdge, picture: Tensor, y: int, x: int) -> tuple[float, float] | None:
    """Return the place (y, x) of the pixel that has the most influence on a pixel; None if none stands out."""
    shape, metadata = _shape(edge), edge.node._input_metadata[edge.output_nr]
    one = torch.zeros(shape, dtype=metadata.dtype, device=metadata.device)
    one[(*(size // 2 for size in shape[:-2]), y, x)] = 1
    try:
        (gradient,) = torch.autograd.grad([edge], [picture], [one], retain_graph=True, allow_unused=True)
    except RuntimeError:  # the model has overwritten a buffer that this gradient needs
        return None
    if gradient is None or not gradient.any():
        return None
    influence = gradient.abs().flatten(0, -3).amax(dim=0)
    if (influence > influence.max() / 2).float().mean() > _TOLERANCE:
        return None  # as of a mean over the picture
    row, column = divmod(int(influence.argmax()), picture.shape[-1])
    return (row + 0.5) / picture.shape[-2], (column + 0.5) / picture.shape[-1]


def _mixes(node: Node) -> bool:
    """Return True if a node makes features of a picture: a convolution or a matrix product."""
    return bool(re.search("Conv|mm|^Linear", node.name(), re.IGNORECASE))


def _pictures_of(node: Node) -> list[Node]:
    """Return the sources of a node, of which a grid of places to sample is none."""
    return _sources(node)[:1] if node.name().startswith("GridSampler") else _sources(node)


def _shape(edge: GradientEdge) -> torch.Size:
    return torch.Size(edge.node._input_metadata[edge.output_nr].shape)


def _edges(node: Node) -> list[GradientEdge]:
    return [GradientEdge(source, number) for source, number in node.next_functions if source is not None]


def _sources(node: Node) -> list[Node]:
    return [edge.node for edge in _edges(node)]


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

"""Rewrites a traced backward pass, of which only a mean or some channels are needed, to equal but cheaper operations.

Grad-CAM needs the gradient at a layer only as its mean over all cells. Behind a convolution that mean is a product of
the kernel with sums over rectangles: each weight of the kernel meets the gradient of all cells, but for those at the
border that it does not reach.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch.fx import Graph, Node

aten = torch.ops.aten

_SAME_MEAN = (aten.clone.default, aten.detach.default, aten.alias.default)
_SCALED = (aten.div.Tensor, aten.div.Scalar, aten.mul.Tensor, aten.mul.Scalar)
_MOST_PARTS = 8
"""Of the channels that a convolution gives back; each part takes a convolution of its own."""


def rewrite(graph: Graph) -> None:
    """Rewrite means and parts of what convolutions give back, and what stretching gives back of one channel."""
    for node in list(graph.nodes):
        with graph.inserting_before(node):
            cheaper = _cheaper(graph, node)
            if cheaper is not None:
                cheaper.meta["val"] = node.meta["val"]  # a later node may ask for its shape
                node.replace_all_uses_with(cheaper)
    graph.eliminate_dead_code()
    graph.lint()


def _cheaper(graph: Graph, node: Any) -> Node | None:
    """Return a node that computes what another does at less cost; None if there is no way to."""
    if _is_mean_of_cells(node) and (_holds_convolution(node.args[0]) or _is_uniform(node.args[0])):
        return _mean(graph, node.args[0])
    if _is_sum_of_cells(node) and _holds_convolution(node.args[0]):
        _, cells_after, *_ = node.args
        return graph.call_function(aten.mul.Tensor, (_mean(graph, node.args[0]), prod(cells_after)))
    if _is_part_of_convolution(node):
        return _part_of_convolution(graph, node)
    if node.target is aten.upsample_bilinear2d_backward.default:
        return _stretched_as_one_channel(graph, node)
    return None


def _is_mean_of_cells(node: Any) -> bool:
    is_mean = node.target is aten.mean.dim and not node.kwargs and [axis % 4 for axis in _axes(node)] == [2, 3]
    return is_mean and len(_shape(node.args[0])) == 4 and bool(node.args[2:] and node.args[2])


def _is_sum_of_cells(node: Any) -> bool:
    """Return True for what stretching one cell to a map gives back."""
    return node.target is aten.upsample_bilinear2d_backward.default and list(node.args[2][2:]) == [1, 1]


def _is_part_of_convolution(node: Any) -> bool:
    """Return True for some of the channels that a convolution gives back, if only a few such parts are needed."""
    if not _is_part(node) or node.args[0].target is not operator.getitem:
        return False
    convolution, parts = node.args[0].args[0], node.args[0].users
    are_few = len(parts) <= _MOST_PARTS and all(map(_is_part, parts))
    return are_few and _is_plain_convolution(convolution) and convolution.args[9] == 1


def _is_part(node: Any) -> bool:
    return node.target is aten.slice.Tensor and node.args[1] == 1 and len(node.args) == 4


def _part_of_convolution(graph: Graph, node: Any) -> Node:
    """Return what a convolution gives back to some channels, by means of the part of its kernel for them."""
    whole, *part = node.args
    gradient, inputs, kernel, *rest = whole.args[0].args

    def sliced(tensor: Any) -> Node:
        of_channels = graph.call_function(aten.slice.Tensor, (tensor, *part))
        batch, _, *sides = _shape(tensor)
        of_channels.meta["val"] = torch.empty(batch, _shape(node)[1], *sides, device="meta")
        return of_channels

    of_kernel = sliced(kernel)
    copy = graph.call_function(aten.clone.default, (of_kernel,), {"memory_format": torch.contiguous_format})
    copy.meta["val"] = of_kernel.meta["val"]
    back = graph.call_function(whole.args[0].target, (gradient, sliced(inputs), copy, *rest))
    return graph.call_function(operator.getitem, (back, 0))


def _axes(node: Any) -> Sequence[int]:
    axes: Sequence[int] = node.args[1]
    return axes


def _shape(node: Any) -> Sequence[int]:
    weights = getattr(node.graph.owning_module, node.target) if node.op == "get_attr" else node.meta["val"]
    return tuple(weights.shape)


def _holds_convolution(node: Any) -> bool:
    """Return True if a sum of tensors has one among them that a convolution gives back, and that nothing else needs."""
    if len(node.users) != 1:
        return False
    if node.target is operator.getitem:
        return _is_plain_convolution(node.args[0])
    return any(_holds_convolution(part) for part in _parts(node))


def _is_uniform(node: Any) -> bool:
    """Return True for one number of each channel that is repeated for all cells, also scaled."""
    return _is_same_everywhere(node) or any(_is_uniform(part) for part in _parts(node)[:1] if len(_parts(node)) == 1)


def _parts(node: Any) -> Sequence[Any]:
    """Return the tensors of which the mean tells the mean of a node; none if it has to be computed."""
    if node.target in _SAME_MEAN or (node.target in _SCALED and not _is_node(node.args[1])):
        return node.args[:1]
    is_sum = node.target is aten.add.Tensor and all(_is_node(part) for part in node.args[:2])
    return node.args[:2] if is_sum and not node.kwargs and all(_shape(p) == _shape(node) for p in node.args) else ()


def _is_plain_convolution(node: Any) -> bool:
    return node.target is aten.convolution_backward.default and not node.args[7] and len(_shape(node.args[2])) == 4


def _mean(graph: Graph, node: Any) -> Node:
    """Return the mean over all cells, (B, C, 1, 1)."""
    if node.target is operator.getitem and _is_plain_convolution(node.args[0]):
        return _mean_behind_convolution(graph, node.args[0])
    if _is_same_everywhere(node):
        numbers, shape = node.args[0], (*_shape(node)[:2], 1, 1)
        return numbers if _shape(numbers) == shape else graph.call_function(aten.expand.default, (numbers, shape))
    means = [_mean(graph, part) for part in _parts(node)]
    if not means:
        return graph.call_function(aten.mean.dim, (node, [2, 3], True))
    if len(means) == 2:
        return graph.call_function(aten.add.Tensor, tuple(means))
    return graph.call_function(node.target, (means[0], *node.args[1:])) if node.target in _SCALED else means[0]


def _mean_behind_convolution(graph: Graph, node: Any) -> Node:
    """Return the kernel, applied to the sums of the gradient over the cells that each of its weights reaches."""
    gradient, inputs, kernel, _, stride, padding, dilation, _, _, groups, _ = node.args
    call = graph.call_function
    (rows, columns), channels = _shape(inputs)[2:], _shape(gradient)[1]
    reaches = [
        [_reach(tap * spacing - edge, step, before, after) for tap in range(taps)]
        for spacing, edge, step, before, after, taps in zip(
            dilation, padding, stride, (rows, columns), _shape(gradient)[2:], _shape(kernel)[2:], strict=True
        )
    ]
    (top, down), (left, across) = map(_without_idle, reaches)
    sums = []
    for first, end in down:
        band = call(aten.sum.dim_IntList, (call(aten.slice.Tensor, (gradient, 2, first, end)), [2], True))
        for begin, stop in across:
            sums.append(call(aten.sum.dim_IntList, (call(aten.slice.Tensor, (band, 3, begin, stop)), [3], True)))
    tall, wide = len(down), len(across)
    reached = call(aten.view.default, (call(aten.cat.default, (sums, 3)), [-1, channels, tall, wide]))
    of_group = channels // groups, _shape(kernel)[1]
    for axis, first, end in ((2, top, top + tall), (3, left, left + wide)):
        kernel = call(aten.slice.Tensor, (kernel, axis, first, end))
    turned = call(aten.reshape.default, (kernel, [groups, *of_group, tall, wide]))
    turned = call(aten.transpose.int, (turned, 1, 2))
    turned = call(aten.reshape.default, (turned, [groups * of_group[1], of_group[0], tall, wide]))
    whole = call(aten.convolution.default, (reached, turned, None, [1, 1], [0, 0], [1, 1], False, [0, 0], groups))
    return call(aten.div.Tensor, (whole, rows * columns))


def _without_idle(reaches: Sequence[tuple[int, int]]) -> tuple[int, Sequence[tuple[int, int]]]:
    """Return the first weight that reaches a cell, and what it and those up to the last one reach."""
    busy = [number for number, (first, end) in enumerate(reaches) if first < end] or [0]
    return busy[0], reaches[busy[0] : busy[-1] + 1]


def _reach(offset: int, stride: int, before: int, after: int) -> tuple[int, int]:
    """Return the first and the end of the places o of `after` places for which o * stride + offset is in the input."""
    first = min(max(-(offset // stride), 0), after)
    return first, max(min((before - 1 - offset) // stride + 1, after), first)


def _stretched_as_one_channel(graph: Graph, node: Any) -> Node | None:
    """Stretch back what all channels of a gradient have in common, if anything, and scale the result for each."""
    gradient, size, before, *rest = node.args
    factors = gradient.args if _is_node(gradient) and gradient.target is aten.mul.Tensor else ()
    scales = next((each for each in factors if _is_same_everywhere(each)), None)
    shared = next((each for each in factors if each is not scales and _is_node(each)), None)
    assert isinstance(before, Sequence) and isinstance(size, Sequence)
    if scales is None or shared is None or _shape(shared) != (before[0], 1, *size):
        return None
    stretched = graph.call_function(node.target, (shared, size, [before[0], 1, *before[2:]], *rest))
    return graph.call_function(aten.mul.Tensor, (_mean(graph, scales), stretched))


def _is_node(each: object) -> bool:
    return isinstance(each, Node)


def _is_same_everywhere(node: Any) -> bool:
    """Return True for one number of each channel that is repeated for all cells."""
    if not _is_node(node) or node.target is not aten.expand.default:
        return False
    shape = _shape(node.args[0])
    return len(shape) == 4 and prod(shape[2:]) == 1

"""Where the cells of a layer look: the centres of their receptive fields, found in the autograd graph.

Strides with uneven padding move them. A convolution of 3x3 with stride 2 that pads 1 on each side of an even number of
cells looks half a cell of its input to the left of the middle of its place, one that pads 0 and 1, as TensorFlow's SAME
does, half a cell to the right. Five of them, one after the other, add up to half a cell of a map of 7x7.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from torch.autograd.graph import GradientEdge, Node

from livecam.models.survey.streams import sources_first
from livecam.picture.region import Region

Span = tuple[float, float]
"""Where the first cell of an axis begins and the last one ends, in fractions of what they look at."""
Spans = tuple[Span, Span]
"""Those of rows and of columns."""

_EVEN: Spans = ((0.0, 1.0), (0.0, 1.0))
_LEAST_OF_A_SLICE = 0.75  # of the cells; less is a tile, and tiles are put together again


class _View(NamedTuple):
    """How the output of a node sees the picture; the axes are those of rows and columns, if they are known."""

    spans: Spans
    axes: tuple[int, ...]


def receptive_regions(outputs: Sequence[GradientEdge]) -> list[Region]:
    """Return for each output of a network's layers the part of the input that its cells cover.

    Each cell is centred on its receptive field: the rows and columns of the input that it is computed from, or those
    that it would be computed from if its layers did not attend to all places. Where several ways lead to an output,
    it is the mean of them. What an operation without fixed windows gives counts as spread evenly over what it gets.
    The region is reversed, `right < left` or `bottom < top`, where the network has mirrored the picture.

    Args:
        outputs: The outputs. Their autograd graph is kept.
    """
    views: dict[Node, _View] = {}
    for node in sources_first(outputs):
        views[node] = _view(node, [views[source] for source, _ in node.next_functions if source is not None])
    return [_region(views[output.node].spans) for output in outputs]


def as_the_picture_lies(region: Region, flips: Iterable[int]) -> Region:
    """Return the region of an output once it has been flipped along these axes of (B, C, h, w)."""
    down, across = ((region.top, region.bottom), (region.left, region.right))
    return _region((_ascending(down, 2 in flips), _ascending(across, 3 in flips)))


def mean_of(regions: Sequence[Region]) -> Region:
    """Return the mean of regions."""
    return Region(*(sum(sides) / len(regions) for sides in zip(*regions, strict=True)))


def _ascending(span: Span, is_flipped: bool) -> Span:
    first, end = span
    if is_flipped != (first > end):  # mirrored by what is no flip in the graph
        first, end = 1 - first, 1 - end
    return min(first, end), max(first, end)


def _region(spans: Spans) -> Region:
    (top, bottom), (left, right) = spans
    return Region(left, top, right, bottom)


def _view(node: Node, sources: Sequence[_View]) -> _View:
    """Return the view of a node, given those of its sources."""
    if not sources:
        return _View(_EVEN, (2, 3))
    view = sources[0] if len(set(sources)) == 1 else _joined(sources)
    read = _READERS.get(node.name())
    return read(node, view) if read else view


def _joined(views: Sequence[_View]) -> _View:
    down, across = (
        (sum(first) / len(views), sum(end) / len(views))
        for first, end in (zip(*spans, strict=True) for spans in zip(*(view.spans for view in views), strict=True))
    )
    return _View((down, across), next((view.axes for view in views if view.axes), ()))


def _convolution(node: Any, view: _View) -> _View:
    if len(_shape(node)) != 4:
        return view
    kernel = node._saved_weight.shape[2:]
    return _windows(node, view, kernel, node._saved_stride, node._saved_dilation, is_transposed=node._saved_transposed)


def _pool(node: Any, view: _View) -> _View:
    kernel = node._saved_kernel_size
    return _windows(node, view, kernel, node._saved_stride or kernel, getattr(node, "_saved_dilation", (1,)))


def _windows(
    node: Any,
    view: _View,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    *,
    is_transposed: bool = False,
) -> _View:
    """Return the view of an operation with windows, on (B, C, h, w)."""
    found = []
    for axis, side in ((2, 0), (3, -1)):
        given, made = _shape_before(node)[axis], _shape(node)[axis]
        window = kernel[side], stride[side], node._saved_padding[side], dilation[side]
        found.append(_inverse(_span(made, given, *window)) if is_transposed else _span(given, made, *window))
    return _View(_composed(view.spans, found), (2, 3))


def _span(given: int, made: int, kernel: int, stride: int, padding: int, dilation: int) -> Span:
    """Return where `made` windows lie among the cells that are given."""
    first = (dilation * (kernel - 1) + 1 - stride) / 2 - padding
    return first / given, (first + made * stride) / given


def _inverse(span: Span) -> Span:
    first, end = span
    return -first / (end - first), (1 - first) / (end - first)


def _padding(node: Any, view: _View) -> _View:
    pads = node._saved_pad if "Constant" in node.name() else node._saved_padding
    shape = _shape(node)
    spans = []
    for axis in view.axes:
        before, after = (*pads, *([0] * 2 * len(shape)))[2 * (len(shape) - 1 - axis) :][:2]
        given = shape[axis] - before - after
        spans.append((-before / given, 1 + after / given))
    return _View(_composed(view.spans, spans or _EVEN), view.axes)


def _slice(node: Any, view: _View) -> _View:
    sizes, axis, step = node._saved_self_sym_sizes, node._saved_dim % len(_shape(node)), node._saved_step
    given, made = sizes[axis], _shape(node)[axis]
    if axis not in view.axes or made * step < _LEAST_OF_A_SLICE * given:
        return view
    start = node._saved_start % (1 << 64)
    start = min(start if start < 1 << 63 else max(start - (1 << 64) + given, 0), given)
    sliced = _span(given, made, 1, step, -start, 1)
    return _View(_composed(view.spans, [sliced if each == axis else (0.0, 1.0) for each in view.axes]), view.axes)


def _flip(node: Any, view: _View) -> _View:
    dims = [dim % len(_shape(node)) for dim in node._saved_dims]
    spans = [(1.0, 0.0) if axis in dims else (0.0, 1.0) for axis in view.axes]
    return _View(_composed(view.spans, spans or _EVEN), view.axes)


def _permutation(node: Any, view: _View) -> _View:
    dims = [dim % len(_shape(node)) for dim in node._saved_dims]
    return _View(view.spans, tuple(dims.index(axis) for axis in view.axes) if len(dims) == 4 else ())


def _transposition(node: Any, view: _View) -> _View:
    count = len(_shape(node))
    one, other = node._saved_dim0 % count, node._saved_dim1 % count
    swapped = {one: other, other: one}
    return _View(view.spans, tuple(swapped.get(axis, axis) for axis in view.axes) if count == 4 else ())


def _reshaping(node: Node, view: _View) -> _View:
    """Forget where rows and columns are, unless they are where they were."""
    before, shape = _shape_before(node), _shape(node)
    is_kept = len(before) == len(shape) == 4 and all(before[axis] == shape[axis] for axis in view.axes)
    return view if is_kept else _View(view.spans, ())


_READERS: dict[str, Callable[[Node, _View], _View]] = {
    "ConvolutionBackward0": _convolution,
    "MaxPool2DWithIndicesBackward0": _pool,
    "AvgPool2DBackward0": _pool,
    "ConstantPadNdBackward0": _padding,
    "ReflectionPad2DBackward0": _padding,
    "ReplicationPad2DBackward0": _padding,
    "SliceBackward0": _slice,
    "FlipBackward0": _flip,
    "PermuteBackward0": _permutation,
    "TransposeBackward0": _transposition,
    "ViewBackward0": _reshaping,
    "UnsafeViewBackward0": _reshaping,
    "ReshapeAliasBackward0": _reshaping,
}
"""The operations that move or scale what they see, by the names of their nodes."""


def _composed(outer: Spans, inner: Sequence[Span]) -> Spans:
    """Return spans of what an operation gets that has `outer` spans itself."""
    down, across = (
        (begin * (1 - first) + stop * first, begin * (1 - end) + stop * end)
        for (begin, stop), (first, end) in zip(outer, inner, strict=True)
    )
    return down, across


def _shape(node: Node) -> Sequence[int]:
    return node._input_metadata[0].shape


def _shape_before(node: Node) -> Sequence[int]:
    source, number = node.next_functions[0]
    assert source is not None  # else the output of this node would not depend on the picture
    return source._input_metadata[number].shape

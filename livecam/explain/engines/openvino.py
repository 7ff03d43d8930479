"""OpenVINO, which computes on CPUs: converts a traced graph to its model, and runs it."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch._higher_order_ops.triton_kernel_wrap  # make_fx uses it without importing it
from torch import Tensor
from torch._decomp import core_aten_decompositions
from torch._functorch.compile_utils import fx_graph_cse
from torch._guards import TracingContext, tracing
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx import Graph, GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx

from livecam.errors import ModelError
from livecam.system import cores

aten = torch.ops.aten

HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
"""OpenVINO's names of the precisions that it computes in."""
_TURNED = (aten.permute.default, aten.t.default)
_REARRANGED = (*_TURNED, aten.clone.default, aten.view.default, aten.reshape.default, aten._unsafe_view.default)


@functools.cache
def openvino() -> Any:
    """Import the package `openvino` with its telemetry disabled. Raises ImportError if it is not installed.

    The import would send telemetry through `openvino_telemetry`, which is therefore marked as missing in this process.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


@functools.cache
def _core() -> Any:
    return openvino().Core()


class OpenVINOProgram:
    """A converted program in one precision. Not thread-safe; releases the GIL while it computes.

    Args:
        model: The path of OpenVINO's .xml, with its .bin beside it.
        precision: "fp32", "bf16" or "fp16".

    Raises:
        RuntimeError: The model is damaged.
        ModelError: This processor does not compute in the precision.
    """

    def __init__(self, model: Path, precision: str) -> None:
        hint = HINTS[precision]
        settings = {
            "INFERENCE_PRECISION_HINT": hint,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": cores.inference_threads(),
        }
        compiled = _core().compile_model(str(model), "CPU", settings)
        if compiled.get_property("INFERENCE_PRECISION_HINT").to_string() != hint:
            raise ModelError(f"this processor does not compute in {precision}")
        self._request = compiled.create_infer_request()

    def __call__(self, images: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run the program on pictures (batch, h, w, channels) uint8 and its further inputs, contiguous, on the CPU."""
        arrays = [each.numpy() for each in (images, *inputs)]
        outputs = self._request.infer(arrays, share_inputs=True, share_outputs=True)
        return tuple(torch.from_numpy(np.array(output)) for output in outputs.values())


def to_openvino(graph: GraphModule, *inputs: Tensor) -> Any:
    """Convert a traced float32 graph to an `openvino.Model` for inputs of these shapes and dtypes.

    The graph is traced again, without in-place operations, into the operations that OpenVINO's front end for PyTorch
    supports. That takes a second; `torch.export` and `openvino.convert_model` would take six.

    Raises RuntimeError or NotImplementedError if an operation cannot be converted.
    """
    from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder

    for node in graph.graph.nodes:
        if node.target is aten.view.default:  # the output of a replaced operation may lie differently in memory
            node.target = aten.reshape.default
    graph.recompile()
    pure = torch.func.functionalize(graph, remove="mutations")
    with torch.no_grad(), tracing(TracingContext(FakeTensorMode(allow_non_fake_inputs=True))):
        known = make_fx(pure, _decompositions(), tracing_mode="fake", _allow_non_fake_inputs=True)(*inputs)
    known.graph = fx_graph_cse(_without_aliases(known.graph))
    _turn_weights(known)
    _separate_weights(known)
    known.graph.eliminate_dead_code()
    known.recompile()
    front_end = openvino().frontend.FrontEndManager().load_by_framework("pytorch")
    decoder = TorchFXPythonDecoder(known)  # must stay alive while the model is loaded
    return front_end.convert(front_end.load(decoder))


def _without_aliases(graph: Graph) -> Graph:
    """Return a graph in which nothing has two names, so that operations repeated on it are seen to be equal."""
    for node in graph.nodes:
        if node.target in (aten.detach.default, aten.alias.default):
            node.replace_all_uses_with(node.args[0])
    return graph


def _turn_weights(graph: Any) -> None:
    """Store every weight matrix as (outputs, inputs), as a linear layer does, including those of backward passes.

    OpenVINO (2026.4) transposes other weights when it loads the model, and on processors without AVX-512 then confuses
    the weights of different layers.
    """
    for node in graph.graph.nodes:
        if node.target not in (aten.mm.default, aten.addmm.default):
            continue
        matrix = node.args[-1]
        source, steps = matrix, []
        while source.target in _REARRANGED:
            steps.append(source.target)
            source = source.args[0]
        is_turned = len(steps) % 2 == 1 and all(step in _TURNED for step in steps)
        if source.op != "get_attr" or is_turned:
            continue
        with graph.graph.inserting_before(node):
            if matrix is source and _is_one_hot(node.args[0]):
                node.replace_all_uses_with(_rows(graph, source, node.args[0]))
            else:
                name = f"{matrix.name}_turned"
                graph.register_buffer(name, _weights(graph, matrix).t().contiguous())
                turned = graph.graph.call_function(aten.permute.default, (graph.graph.get_attr(name), [1, 0]))
                node.args = (*node.args[:-1], turned)


def _weights(graph: Any, node: Any) -> Tensor:
    """Return weights as a chain of nodes rearranges them."""
    if node.op == "get_attr":
        weights: Tensor = getattr(graph, node.target).detach()
        return weights
    rearranged: Tensor = node.target(_weights(graph, node.args[0]), *node.args[1:], **node.kwargs)
    return rearranged


def _separate_weights(graph: Any) -> None:
    """Store the weights of the gradients of convolutions apart from those of the convolutions themselves.

    On processors without AVX-512, OpenVINO (2026.4) lays both out once, in the order of one of them, if they are the
    same constant. They are stored in another order, so that they are no equal constants in its file either.
    """
    for node in graph.graph.nodes:
        if node.target is not aten.convolution.default or not node.args[6] or node.args[1].op != "get_attr":
            continue
        weight = getattr(graph, node.args[1].target).detach()
        name, order = f"{node.args[1].target}_apart", [1, 0, *range(2, weight.ndim)]
        graph.register_buffer(name, weight.permute(order).contiguous())
        with graph.graph.inserting_before(node):
            apart = graph.graph.call_function(aten.permute.default, (graph.graph.get_attr(name), order))
        node.args = (node.args[0], apart, *node.args[2:])


def _is_one_hot(node: Any) -> bool:
    """True if each row has a single nonzero entry, as in the gradient of one class's score by all scores."""
    if node.target is not aten.scatter_add.default:
        return False
    zeros, axis, index, _ = node.args
    is_of_zeros = zeros.target is aten.full.default and zeros.args[1] == 0
    return is_of_zeros and axis == 1 and index.meta["val"].shape[1] == 1


def _rows(graph: GraphModule, weight: Node, one_hot: Any) -> Node:
    """Multiply one-hot rows by a matrix by picking rows of the matrix, which avoids reading all of it."""
    _, _, index, value = one_hot.args
    rows = graph.graph.call_function(aten.view.default, (index, [-1]))
    chosen = graph.graph.call_function(aten.index_select.default, (weight, 0, rows))
    return graph.graph.call_function(aten.mul.Tensor, (chosen, value))


def _decompositions() -> dict[Any, Callable[..., Any]]:
    """Return decompositions of the operations that OpenVINO does not support: PyTorch's, and our own for the rest."""
    from openvino.frontend.pytorch.torchdynamo.export_decompositions import ops_to_not_decompose

    known_as_a_whole = {*ops_to_not_decompose(), aten._scaled_dot_product_flash_attention_for_cpu.default}
    everything: dict[Any, Callable[..., Any]] = dict(core_aten_decompositions())
    table = {name: rule for name, rule in everything.items() if name not in known_as_a_whole}
    return {**table, **_OWN}


def _empty_permuted(size: Sequence[int], physical_layout: Sequence[int], **options: Any) -> Tensor:
    return torch.zeros(size, dtype=options.get("dtype"))


def _as_strided(
    source: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> Tensor:
    """Replace `as_strided` by a reshape, for views of a whole contiguous tensor: backward passes use no others."""
    _check_is_whole(source, size, stride, storage_offset)
    return source.reshape(size)


def _as_strided_scatter(
    source: Tensor, new: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> Tensor:
    _check_is_whole(source, size, stride, storage_offset)
    return new.reshape(source.shape)


def _slice_scatter(
    source: Tensor, new: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:
    """Return the source of a write that covers the whole tensor, as when a tap fills its buffer."""
    is_whole = not start and step == 1 and (end is None or end >= source.shape[dim])
    return new.clone() if is_whole else NotImplemented


def _check_is_whole(source: Tensor, size: Sequence[int], stride: Sequence[int], offset: int | None) -> None:
    own = [math.prod(size[axis + 1 :]) for axis in range(len(size))]
    is_in_order = all(length == 1 or one == other for length, one, other in zip(size, stride, own, strict=True))
    if offset or not is_in_order or math.prod(size) != source.numel():
        raise NotImplementedError("a view of a part of a tensor")


def _layer_norm(
    inputs: Tensor, shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute layer normalisation with its mean and deviation, which a backward pass needs; OpenVINO fuses it again."""
    axes = list(range(inputs.ndim - len(shape), inputs.ndim))
    mean = inputs.mean(axes, keepdim=True)
    centred = inputs - mean
    inverse_deviation = (centred.square().mean(axes, keepdim=True) + eps).rsqrt()
    normal = centred * inverse_deviation
    if weight is not None:
        normal = normal * weight
    return normal if bias is None else normal + bias, mean, inverse_deviation


def _attention_backward(
    gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, *rest: Any, **options: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradient of softmax(q k^T s + mask) v with respect to q, k and v."""
    _, _, dropout, is_causal = rest
    scale, mask = options.get("scale"), options.get("attn_mask")
    if is_causal or dropout:
        raise NotImplementedError("the gradient of causal attention or dropout")
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    scores = query @ key.mT * scale
    weights = (scores if mask is None else scores + mask).softmax(dim=-1)
    of_weights = gradient @ value.mT
    of_scores = weights * (of_weights - (of_weights * weights).sum(dim=-1, keepdim=True)) * scale
    return of_scores @ key, of_scores.mT @ query, weights.mT @ gradient


def _convolution_backward(
    gradient: Tensor, inputs: Tensor, weight: Tensor, *rest: Any
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Return the gradient with respect to the inputs only: weights are never trained here."""
    _, stride, padding, dilation, is_transposed, _, groups, wanted = rest
    if any(wanted[1:]):
        raise NotImplementedError("the gradient of weights")
    if is_transposed:
        return aten.convolution(gradient, weight, None, stride, padding, dilation, False, [0, 0], groups), None, None
    missing = [
        length - ((reached - 1) * step - 2 * edge + spacing * (size - 1) + 1)
        for length, reached, step, edge, spacing, size in zip(
            inputs.shape[2:], gradient.shape[2:], stride, padding, dilation, weight.shape[2:], strict=True
        )
    ]
    return aten.convolution(gradient, weight, None, stride, padding, dilation, True, missing, groups), None, None


def _bilinear_backward(
    gradient: Tensor,
    size: Sequence[int],
    before: Sequence[int],
    align_corners: bool,
    scale_down: float | None = None,
    scale_across: float | None = None,
) -> Tensor:
    """Multiply by the matrices of both axes, which hold how much each place before counts in each one after."""
    down = _bilinear_weights(gradient, size[0], before[2], align_corners, scale_down)
    across = _bilinear_weights(gradient, size[1], before[3], align_corners, scale_across)
    return down.T @ (gradient @ across)


def _bilinear_weights(like: Tensor, after: int, before: int, align_corners: bool, scale: float | None) -> Tensor:
    """Return the weights (after, before) with which a line of numbers is stretched, as PyTorch does it."""
    places = torch.arange(after, dtype=torch.float32, device=like.device)
    if align_corners:
        sources = places * ((before - 1) / max(after - 1, 1))
    else:
        sources = ((places + 0.5) * (1 / scale if scale else before / after) - 0.5).clamp(0, before - 1)
    distances = sources[:, None] - torch.arange(before, dtype=torch.float32, device=like.device)
    return (1 - distances.abs()).relu().to(like.dtype)


def _nearest_backward(
    gradient: Tensor,
    size: Sequence[int],
    before: Sequence[int],
    scale_down: float | None = None,
    scale_across: float | None = None,
) -> Tensor:
    """Multiply by the matrices of both axes, which hold which place before each one after is a copy of."""
    down = _nearest_weights(gradient, size[0], before[2], scale_down)
    across = _nearest_weights(gradient, size[1], before[3], scale_across)
    return down.T @ (gradient @ across)


def _nearest_weights(like: Tensor, after: int, before: int, scale: float | None) -> Tensor:
    places = torch.arange(after, dtype=torch.float32, device=like.device)
    sources = (places * (1 / scale if scale else before / after)).floor().clamp(max=before - 1)
    return (sources[:, None] == torch.arange(before, device=like.device)).to(like.dtype)


def _max_pool_backward(gradient: Tensor, inputs: Tensor, *rest: Any) -> Tensor:
    """Scatter each gradient to the position of its maximum, which the last argument holds."""
    places = rest[-1].flatten(2)
    return torch.zeros_like(inputs).flatten(2).scatter_add(2, places, gradient.flatten(2)).reshape(inputs.shape)


def _avg_pool3d_backward(gradient: Tensor, inputs: Tensor, kernel: Sequence[int], *rest: Any) -> Tensor:
    """Return the gradient of a mean over windows, which is a convolution of each channel with equal weights."""
    stride, padding, ceil_mode, counts_padding, divisor = rest
    if ceil_mode or (any(padding) and not counts_padding):
        raise NotImplementedError("the gradient of a mean over windows of different sizes")
    channels, plain = inputs.shape[1], [1, 1, 1]
    weight = torch.full((channels, 1, *kernel), 1 / (divisor or math.prod(kernel)))
    options = stride or kernel, padding, plain, False, [0, 0, 0], channels, [True, False, False]
    return _convolution_backward(gradient, inputs, weight, None, *options)[0]


def _group_norm(
    inputs: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    batch: int,
    channels: int,
    cells: int,
    groups: int,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute group normalisation with its mean and deviation, which a backward pass needs."""
    grouped = inputs.reshape(batch, groups, -1)
    mean = grouped.mean(2, keepdim=True)
    centred = grouped - mean
    inverse_deviation = (centred.square().mean(2, keepdim=True) + eps).rsqrt()
    normal = (centred * inverse_deviation).reshape(inputs.shape)
    of_channels = [1, channels, *[1] * (inputs.ndim - 2)]
    if weight is not None:
        normal = normal * weight.reshape(of_channels)
    if bias is not None:
        normal = normal + bias.reshape(of_channels)
    return normal, mean.reshape(batch, groups), inverse_deviation.reshape(batch, groups)


def _group_norm_backward(
    gradient: Tensor,
    inputs: Tensor,
    mean: Tensor,
    inverse_deviation: Tensor,
    weight: Tensor | None,
    batch: int,
    channels: int,
    cells: int,
    groups: int,
    wanted: Sequence[bool],
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Return the gradient of group normalisation, with one number a channel for what channels have in common.

    So the large tensors keep their shape, and OpenVINO their layout.
    """
    if any(wanted[1:]):
        raise NotImplementedError("the gradient of weights")
    axes, of_channels = list(range(2, inputs.ndim)), [batch, channels, *[1] * (inputs.ndim - 2)]
    weights = gradient.new_ones(channels) if weight is None else weight

    def mean_of_group(of_cells: Tensor) -> Tensor:
        return (of_cells * weights).reshape(batch, groups, -1).sum(2) / (channels // groups * cells)

    def of_each_channel(of_groups: Tensor) -> Tensor:
        return of_groups[..., None].expand(batch, groups, channels // groups).reshape(of_channels)

    total, by_inputs = mean_of_group(gradient.sum(axes)), mean_of_group((gradient * inputs).sum(axes))
    slope = (total * mean - by_inputs) * inverse_deviation.pow(3)
    shift = -slope * mean - total * inverse_deviation
    scale = of_each_channel(inverse_deviation) * weights.reshape(1, *of_channels[1:])
    return gradient * scale + inputs * of_each_channel(slope) + of_each_channel(shift), None, None


_OWN: dict[Any, Callable[..., Any]] = {
    aten.empty_permuted.default: _empty_permuted,
    aten.as_strided.default: _as_strided,
    aten.as_strided_scatter.default: _as_strided_scatter,
    aten.slice_scatter.default: _slice_scatter,
    aten.native_layer_norm.default: _layer_norm,
    aten.native_group_norm.default: _group_norm,
    aten.native_group_norm_backward.default: _group_norm_backward,
    aten._scaled_dot_product_flash_attention_for_cpu_backward.default: _attention_backward,
    aten.convolution_backward.default: _convolution_backward,
    aten.max_pool2d_with_indices_backward.default: _max_pool_backward,
    aten.max_pool3d_with_indices_backward.default: _max_pool_backward,
    aten.avg_pool3d_backward.default: _avg_pool3d_backward,
    aten.upsample_bilinear2d_backward.default: _bilinear_backward,
    aten.upsample_nearest2d_backward.default: _nearest_backward,
}

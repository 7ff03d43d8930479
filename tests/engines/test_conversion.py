"""The traced step and its model in OpenVINO: both compute the same as PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from livecam import Explainer
from livecam.explain.answer import Answer, agreement
from livecam.explain.engines.cuda import check_capturable
from livecam.explain.engines.graph import trace
from livecam.explain.engines.openvino import _group_norm_backward, openvino, to_openvino
from livecam.explain.methods import METHODS
from livecam.explain.tap import held_in
from livecam.names import LAYER_METHODS
from tests.support.converted import in_openvino
from tests.support.cuda_stand_in import WAITS
from tests.support.tiny import pictures, program_of, tiny

TRACEABLE = [name for name in LAYER_METHODS if METHODS[name].is_traceable]


@pytest.mark.parametrize("method", TRACEABLE)
def test_the_traced_graph_gives_what_the_program_gives(method: str) -> None:
    explainer = tiny(method=method)
    graph = trace(program_of(explainer), explainer.classifier.module, pictures())
    other = torch.flip(pictures(), [1])  # not the pictures of the trace: no value of theirs may have stayed in it
    for given, expected in zip(graph.module(other), explainer.answer(other).tensors, strict=True):
        torch.testing.assert_close(given, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "name",
    [
        *("resnet18", "mobilenet_v3_small", "efficientnet_lite0"),
        *(pytest.param(name, marks=pytest.mark.long) for name in ("convnext_tiny", "swin_t", "vit_b_16")),
    ],
)
def test_architectures_can_be_traced(name: str) -> None:
    explainer = Explainer(name, weights="none", target="top2")
    images = pictures(1, 224)
    graph = trace(program_of(explainer), explainer.classifier.module, images)
    for given, expected in zip(graph.module(images), explainer.answer(images).tensors, strict=True):
        torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["gradcam", "gradcam++", "eigencam"])
def test_one_trace_in_half_precision_serves_single_as_well(method: str) -> None:
    explainer = tiny(method=method)
    model, expected = explainer.classifier.module, explainer.answer(pictures())
    graph = trace(program_of(explainer, torch.bfloat16), model, pictures())
    single = Answer(*graph.in_precision(torch.float32)(pictures()))
    torch.testing.assert_close(single.maps, expected.maps, rtol=1e-4, atol=1e-6)
    assert next(model.parameters()).dtype == torch.float32


def test_a_graph_keeps_the_weights_whatever_precision_the_model_is_held_in() -> None:
    """It is handed on in a thread, beside an eager engine that holds the weights in its own precision."""
    explainer = tiny()
    model = explainer.classifier.module
    graph = trace(program_of(explainer), model, pictures())
    before, expected = graph.digest(), graph.module(pictures())
    with held_in(model, torch.bfloat16):
        assert graph.digest() == before
        assert torch.equal(graph.in_precision(torch.float32)(pictures())[0], expected[0])


@pytest.mark.parametrize(
    ("method", "layer"),
    [*((method, None) for method in TRACEABLE), ("gradcam", "features.0"), ("eigengradcam", "features,relu")],
)
def test_every_method_gives_in_openvino_what_it_gives_in_pytorch(
    method: str, layer: str | None, tmp_path: Path
) -> None:
    explainer = tiny(method=method, layer=layer, engine="eager", precision="fp32")
    agreed = agreement([in_openvino(explainer, pictures(), tmp_path)], [explainer.answer(pictures())])
    assert agreed.cosine > 0.9999
    assert agreed.same_best


@pytest.mark.parametrize(
    "options",
    [
        *({"target": "2,0"}, {"top": 3}, {"against": 1}, {"negative": True}, {"runner_up": True}),
        {"target": "pet=0-2,1", "against": "toy=2-4"},
    ],
)
def test_every_question_is_answered_by_openvino_as_by_pytorch(options: dict[str, Any], tmp_path: Path) -> None:
    explainer = tiny(engine="eager", precision="fp32", **options)
    converted, answer = in_openvino(explainer, pictures(), tmp_path), explainer.answer(pictures())
    for given, expected in zip(converted.tensors, answer.tensors, strict=True):
        torch.testing.assert_close(given, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "name",
    [
        "mobilenet_v3_small",
        "timm:vit_tiny_patch16_224",
        *(pytest.param("resnet18", marks=pytest.mark.long), pytest.param("swin_t", marks=pytest.mark.long)),
    ],
)
def test_architectures_give_in_openvino_what_they_give_in_pytorch(name: str, tmp_path: Path) -> None:
    """Of the ViT the gradient goes back through a whole block: attention, layer norms, weights used both ways."""
    explainer = Explainer(name, weights="none", engine="eager", precision="fp32")
    images = pictures(1, explainer.classifier.preprocessing.size[0])
    agreed = agreement([in_openvino(explainer, images, tmp_path)], [explainer.answer(images)])
    assert agreed.cosine > 0.9999
    assert agreed.same_best


MASK = torch.randn(1, 1, 5, 7, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("with_gradient", [False, True])
@pytest.mark.parametrize(
    "options",
    [{}, {"scale": 0.9}, {"attn_mask": MASK}, {"attn_mask": MASK[0, 0], "scale": 0.9}, {"attn_mask": MASK > 0}],
    ids=["plain", "scale", "mask", "mask and scale", "mask of truths"],
)
def test_attention_is_the_same_in_openvino(options: dict[str, Any], with_gradient: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    query, key, value = (torch.randn(1, 2, count, 8, generator=generator) for count in (5, 7, 7))

    def attention(query: Tensor) -> tuple[Tensor, ...]:
        query = (query * 1).detach().requires_grad_(with_gradient)
        with torch.set_grad_enabled(with_gradient):
            answer = functional.scaled_dot_product_attention(query, key, value, **options)
        gradients = torch.autograd.grad(answer[:, :, 0].sum(), query) if with_gradient else ()
        return (answer.detach().clone(), *gradients)

    model = to_openvino(make_fx(attention)(query), query)
    given = openvino().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([query.numpy()])
    for one, other in zip(given.values(), attention(query), strict=True):
        torch.testing.assert_close(torch.from_numpy(one), other, rtol=1e-4, atol=1e-5)


class _OnTheDevice(TorchDispatchMode):
    """Fails for operations that wait for the device, or on tensors that are not there."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func.overloadpacket.__name__ not in WAITS
        made = func(*args, **(kwargs or {}))
        for each in torch.utils._pytree.tree_leaves((args, kwargs, made)):
            assert not isinstance(each, Tensor) or each.device.type == "cuda" or each.ndim == 0, func
        return made


@pytest.mark.parametrize("method", TRACEABLE)
def test_the_step_of_every_method_has_no_constant_on_the_host_and_no_hidden_wait(method: str) -> None:
    """Run on tensors that have shape and device but no memory, with the constants of the trace as if on a GPU."""
    explainer = tiny(method=method, engine="eager", precision="fp32")
    graph = trace(program_of(explainer), explainer.classifier.module, pictures())
    check_capturable(graph.module)
    for node in graph.module.graph.nodes:
        if node.kwargs.get("device") is not None:
            node.kwargs = {**node.kwargs, "device": torch.device("cuda")}
    graph.module.recompile()
    with FakeTensorMode(allow_non_fake_inputs=True) as fake, torch.no_grad():
        for name in graph._attributes:
            constant = fake.from_tensor(getattr(graph.module, name)).to("cuda")
            delattr(graph.module, name)
            setattr(graph.module, name, constant)
        images = torch.empty(3, 64, 64, 3, dtype=torch.uint8, device="cuda")
        with _OnTheDevice():
            outputs = graph.module(images)
    assert {output.device.type for output in outputs} == {"cuda"}


@pytest.mark.parametrize("affine", [True, False])
def test_the_gradient_of_group_normalisation_is_that_of_pytorch(affine: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs, gradient = torch.randn(2, 2, 6, 3, 5, generator=generator, dtype=torch.float64)
    weight = torch.randn(6, generator=generator, dtype=torch.float64) if affine else None
    inputs = (inputs + 2).requires_grad_()
    own = torch.native_group_norm(inputs, weight, None, 2, 6, 15, 3, 1e-5)
    (expected,) = torch.autograd.grad(own[0], inputs, gradient)
    _, mean, inverse_deviation = (each.detach() for each in own)
    sizes = 2, 6, 15, 3, [True, False, False]
    given = _group_norm_backward(gradient, inputs.detach(), mean, inverse_deviation, weight, *sizes)
    torch.testing.assert_close(given[0], expected)
    assert given[1:] == (None, None)


def test_weights_are_stored_as_those_of_linear_layers_however_they_are_rearranged() -> None:
    """On some processors OpenVINO confuses the weights of layers that are stored in another way."""

    class Rearranged(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kernel = torch.nn.Parameter(torch.randn(6, 4, 3, 3), requires_grad=False)

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.kernel.permute(0, 2, 3, 1).flatten(1)

    module, inputs = Rearranged(), torch.randn(5, 6)
    model = to_openvino(make_fx(module)(inputs), inputs)
    (product,) = (each for each in model.get_ops() if each.get_type_name() == "MatMul")
    weights = product.input_value(1).get_node()
    assert product.get_attributes()["transpose_b"] or weights.get_type_name() == "Transpose"
    compiled = openvino().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    (given,) = compiled(inputs.numpy()).values()
    torch.testing.assert_close(torch.from_numpy(given), module(inputs))

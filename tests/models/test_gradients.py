"""Models that hide gradients: activation checkpointing, `no_grad` and `inference_mode` in their own code."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torchvision.models import DenseNet

from livecam import Explainer
from livecam.errors import ModelError
from livecam.explain.engines.graph import trace
from livecam.models import Preprocessing
from tests.support.tiny import pictures, program_of
from tests.support.witness import gradcam_witness, least_cosine

SMALL = Preprocessing(size=(64, 64))


def plainly(module: nn.Module, inputs: Tensor) -> Tensor:
    return module(inputs)


def reentrant(module: nn.Module, inputs: Tensor) -> Tensor:
    return checkpoint(module, inputs, use_reentrant=True)


def not_reentrant(module: nn.Module, inputs: Tensor) -> Tensor:
    return checkpoint(module, inputs, use_reentrant=False)


@torch.no_grad()
def without_gradients(module: nn.Module, inputs: Tensor) -> Tensor:
    return module(inputs)


def switched_off(module: nn.Module, inputs: Tensor) -> Tensor:
    torch.set_grad_enabled(False)
    try:
        return module(inputs)
    finally:
        torch.set_grad_enabled(True)


def in_inference_mode(module: nn.Module, inputs: Tensor) -> Tensor:
    with torch.inference_mode():
        return module(inputs)


class Hiding(nn.Module):
    """A network that runs its middle through a function."""

    def __init__(self, run: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 8, 3, 4), nn.Linear(8, 5)
        self.middle = nn.Sequential(nn.Conv2d(8, 8, 3, 2), nn.ReLU(inplace=True), nn.Conv2d(8, 8, 3))
        self.run = run

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.run(self.middle, self.stem(x)).relu().mean(dim=(2, 3)))


HIDING = [reentrant, not_reentrant, without_gradients, switched_off, in_inference_mode]


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return make()


@pytest.mark.filterwarnings("error:None of the inputs have requires_grad")
@pytest.mark.parametrize("layer", ["stem", "middle.0", None])
@pytest.mark.parametrize("run", HIDING)
def test_maps_are_those_of_the_model_without_it(run: Callable[..., Tensor], layer: str | None) -> None:
    model, plain = seeded(lambda: Hiding(run)), seeded(lambda: Hiding(plainly))
    inputs = torch.randn(2, 3, 64, 64)
    explainer = Explainer(model, preprocessing=SMALL, layer=layer, target=3)
    assert explainer.layer == (layer or "middle")
    witness = gradcam_witness(plain, explainer.layer, inputs, lambda output: output[:, 3])
    assert least_cosine(explainer.cam(inputs), witness) >= 0.9999
    with explainer:
        assert least_cosine(explainer.cam(inputs), witness) >= 0.9999


@pytest.mark.parametrize("method", ["scorecam", "ablationcam", "eigencam", "fem"])
@pytest.mark.parametrize("run", HIDING)
def test_methods_without_a_gradient_work(run: Callable[..., Tensor], method: str) -> None:
    inputs = torch.randn(2, 3, 64, 64)
    maps = [
        Explainer(seeded(lambda: Hiding(each)), preprocessing=SMALL, method=method).cam(inputs)  # noqa: B023
        for each in (run, plainly)
    ]
    torch.testing.assert_close(*maps)


def densenet() -> nn.Module:
    return DenseNet(8, (2, 2), 8, memory_efficient=True, num_classes=5)


def resnet() -> nn.Module:
    model = timm.create_model("resnet10t", num_classes=5)
    model.set_grad_checkpointing()
    return model


@pytest.mark.parametrize("make", [densenet, resnet])
@pytest.mark.parametrize("number", [2, -1])
def test_checkpointed_models_of_libraries(make: Callable[[], nn.Module], number: int) -> None:
    model, inputs = seeded(make), torch.randn(2, 3, 64, 64)
    explainer = Explainer(model, preprocessing=SMALL, layer=number, target=3)
    witness = gradcam_witness(seeded(make), explainer.layer, inputs, lambda output: output[:, 3])
    assert least_cosine(explainer.cam(inputs), witness) >= 0.9999


def test_a_traced_model_that_hides_gradients() -> None:
    explainer = Explainer(seeded(lambda: Hiding(without_gradients)), preprocessing=SMALL, target=3)
    graph = trace(program_of(explainer), explainer.classifier.module, pictures(1))
    torch.testing.assert_close(graph.module(pictures(1))[0], explainer.answer(pictures(1)).maps)


def fails(module: nn.Module, inputs: Tensor) -> Tensor:
    with torch.no_grad(), torch.inference_mode():
        checkpoint(module, inputs, use_reentrant=False)
        raise ValueError("on purpose")


def test_pytorch_and_the_model_are_left_as_they_were() -> None:
    before = [torch._C._InferenceMode, torch.utils.checkpoint.CheckpointFunction]
    for run in (in_inference_mode, fails):
        try:
            Explainer(Hiding(run), preprocessing=SMALL)(pictures(1)[0].numpy())
        except Exception as exc:
            assert "on purpose" in str(exc)  # noqa: PT017
        assert torch.is_grad_enabled()
        assert not torch.overrides._is_torch_function_mode_enabled()
        assert before == [torch._C._InferenceMode, torch.utils.checkpoint.CheckpointFunction]
    model = Hiding(in_inference_mode)
    Explainer(model, preprocessing=SMALL)(pictures(1)[0].numpy())
    assert model(torch.zeros(1, 3, 64, 64)).requires_grad
    assert not model.run(model.middle, torch.zeros(1, 8, 9, 9)).requires_grad


def through_numpy(module: nn.Module, inputs: Tensor) -> Tensor:
    return torch.from_numpy(module(inputs).detach().numpy())


@pytest.mark.parametrize("method", ["scorecam", "ablationcam", "eigencam", "fem"])
def test_where_the_gradient_is_cut_methods_that_need_none_work(method: str) -> None:
    with pytest.raises(
        ModelError, match="Hiding cuts the gradient .* --method scorecam, ablationcam, eigencam and fem"
    ):
        Explainer(Hiding(through_numpy), preprocessing=SMALL)
    inputs = torch.randn(2, 3, 64, 64)
    cut = Explainer(seeded(lambda: Hiding(through_numpy)), preprocessing=SMALL, method=method)
    assert cut.layer == "middle"
    whole = Explainer(seeded(lambda: Hiding(plainly)), preprocessing=SMALL, method=method)
    torch.testing.assert_close(cut.cam(inputs), whole.cam(inputs))


class Functional(nn.Module):
    """Calls no modules."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(5, 3, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.conv2d(x, self.weight).mean(dim=(2, 3))


class Scripted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = torch.jit.script(nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def quantised() -> nn.Module:
    net = nn.Sequential(torch.ao.nn.quantized.Quantize(1.0, 0, torch.quint8), torch.ao.nn.quantized.Conv2d(3, 5, 3))
    return nn.Sequential(*net, torch.ao.nn.quantized.DeQuantize(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Functional, "calls no modules inside, so it has no layers"),
        (Scripted, "parts of the model are TorchScript, which hides its layers"),
        (quantised, "the model is quantised, and integers have no gradient"),
    ],
)
def test_the_true_reason_why_there_are_no_layers(make: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Explainer(make(), preprocessing=SMALL)

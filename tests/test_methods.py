"""The maths of the methods against independent witnesses."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.formulas import FORMULAS, capture
from livecam import Explainer, LivecamError
from livecam.choices import METHODS as NAMES
from livecam.explain.methods import METHODS, Activation, Gradient, eigencam, gradcam_plus_plus
from livecam.explain.objectives import against_similar_classes
from livecam.models import Preprocessing, load_model

# Smaller pictures than these models are for, to save time; the layer, where it is not the automatic one.
ARCHITECTURES: dict[str, tuple[int, str | None]] = {
    "resnet18": (128, None),
    "vgg16": (128, "features.28"),  # an in-place ReLU follows right behind
    "densenet121": (128, None),
    "mobilenet_v3_small": (128, None),
    "convnext_tiny": (128, None),
    "swin_t": (128, None),
    "vit_b_16": (224, None),
}
TARGETS = [3, 1, 4, 1]
WITNESSED = 2
"""How many pictures of the batch the slow witness sees."""


@dataclass(frozen=True)
class Witnessed:
    """A model, and what autograd in float64 finds at its layer: (activation, gradient) of each picture."""

    module: nn.Module
    preprocessing: Preprocessing
    layer: str
    batch: Tensor
    of_class: list[tuple[np.ndarray, np.ndarray]]
    against_similar: list[tuple[np.ndarray, np.ndarray]]

    def explainer(self, method: str) -> Explainer:
        return Explainer(self.module, method=method, layer=self.layer, preprocessing=self.preprocessing)


@pytest.fixture(scope="module", params=ARCHITECTURES)
def witnessed(request: pytest.FixtureRequest) -> Witnessed:
    side, layer = ARCHITECTURES[request.param]
    module, preprocessing = load_model(request.param, weights="none").module, Preprocessing(size=(side, side))
    batch = torch.randn(4, 3, side, side, generator=torch.Generator().manual_seed(1))
    explainer = Explainer(module, layer=layer, preprocessing=preprocessing)
    exact = copy.deepcopy(module).double().eval()
    grid = tuple(explainer.cam(batch[:1]).shape[1:])
    captured = {
        method: [
            capture(method, exact, explainer.layer, grid, image, target)
            for image, target in zip(batch[:WITNESSED], TARGETS, strict=False)
        ]
        for method in ("gradcam", "finercam")
    }
    return Witnessed(module, preprocessing, explainer.layer, batch, captured["gradcam"], captured["finercam"])


@pytest.mark.parametrize("method", FORMULAS)
def test_the_maps_are_those_of_the_papers(witnessed: Witnessed, method: str) -> None:
    """The whole way in float32, and the maths alone in float64, against the formulas word for word in float64."""
    needs_gradient = isinstance(METHODS[method], Gradient)
    explainer = witnessed.explainer(method)
    maps = explainer.cam(witnessed.batch, target=TARGETS if needs_gradient else None).numpy()
    alone = explainer.cam(witnessed.batch[:1], target=TARGETS[0] if needs_gradient else None).numpy()
    captured = witnessed.against_similar if method == "finercam" else witnessed.of_class
    for place, (activation, gradient) in enumerate(captured):
        expected = FORMULAS[method](activation, gradient)
        arguments = [torch.from_numpy(each)[None] for each in (activation, gradient)]
        exact = METHODS[method].compute(*arguments[: 1 + needs_gradient])[0].numpy()  # type: ignore[union-attr]
        assert np.abs(exact - expected).max() <= 1e-10 * np.abs(expected).max()
        # XGrad-CAM divides by sums of activations, which cancel out where these are signed.
        tolerance = 5e-3 if method == "xgradcam" and activation.min() < 0 else 1e-5
        for given in (maps[place], alone[0]) if place == 0 else (maps[place],):
            assert np.abs(given - expected).max() <= tolerance * np.abs(expected).max()


def test_every_method_is_offered_and_has_its_formula_or_a_test() -> None:
    assert tuple(METHODS) == NAMES
    assert set(METHODS) == set(FORMULAS) | {"scorecam", "ablationcam"}
    for method in METHODS.values():
        assert (method.compute if isinstance(method, Gradient | Activation) else method.weigh).__doc__


class PooledLinear(nn.Module):
    """Convolution, in-place ReLU, global average pool, linear."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 8, 3, stride=4, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu(self.features(x)).mean(dim=(2, 3)))


@pytest.fixture
def pooled() -> PooledLinear:
    torch.manual_seed(0)
    return PooledLinear().eval()


@pytest.mark.parametrize("method", ["gradcam", "hirescam", "xgradcam", "ablationcam"])
def test_on_a_pooled_linear_head_the_closed_form_is_the_class_activation_map(pooled: PooledLinear, method: str) -> None:
    """Where the score is linear in the channels' means, these methods are one, but for ablation's common factor."""
    inputs = torch.randn(3, 3, 64, 64)
    maps = Explainer(pooled, layer="relu", method=method).cam(inputs, target=2)
    with torch.no_grad():
        activation = pooled.relu(pooled.features(inputs))
        expected = torch.einsum("c,bchw->bhw", pooled.head.weight[2], activation) / activation[0, 0].numel()
        if method == "ablationcam":  # w_c = W_c mean(A_c) / |y|
            weights = pooled.head.weight[2] * activation.mean(dim=(2, 3)) / pooled(inputs)[:, 2:3].abs()
            expected = torch.einsum("bc,bchw->bhw", weights, activation)
    torch.testing.assert_close(maps, expected)


def test_small_gradients_count_in_gradcam_plus_plus() -> None:
    """With an epsilon in the denominator, weights would shrink with the gradient, unevenly."""
    activation = torch.rand(1, 4, 3, 3)
    gradient = torch.randn(1, 4, 3, 3)
    for scale in (1e-3, 1e-6, 1e-12):
        weak = gradcam_plus_plus(activation, gradient * scale)
        torch.testing.assert_close(
            weak / scale, gradcam_plus_plus(activation, gradient * 1e-3) / 1e-3, rtol=2e-2, atol=1e-4
        )
    assert not gradcam_plus_plus(activation, torch.zeros_like(gradient)).any()


def test_eigencam_does_not_flip_from_frame_to_frame() -> None:
    """A blob wanders and grows from a corner to most of the map: it stays the positive end."""
    y, x = torch.meshgrid(torch.arange(14.0), torch.arange(14.0), indexing="ij")
    channels = torch.rand(64, generator=torch.Generator().manual_seed(0))
    for step in range(40):
        blob = torch.exp(-((x - step / 4) ** 2 + (y - 5) ** 2) / (2 + step))
        noise = torch.rand(64, 14, 14, generator=torch.Generator().manual_seed(step)) * 0.1
        cam = eigencam((channels[:, None, None] * blob + noise)[None])[0]
        assert cam.flatten()[blob.argmax()] > 0 > cam.flatten()[blob.argmin()]


def test_finercam_compares_with_the_nearest_logits() -> None:
    logits = torch.tensor([[2.0, 9.0, 1.0, 3.0, -5.0, 2.5]])
    probability = logits[0, [0, 3, 5]].exp() / logits[0, [0, 3, 5]].exp().sum()
    expected = (probability * (1.0 - logits[0, [0, 3, 5]])).sum()
    torch.testing.assert_close(against_similar_classes(logits, torch.tensor([2]))[0], expected)
    assert against_similar_classes(torch.tensor([[2.0, 1.5]]), torch.tensor([0]))[0] == 0.5
    tied = torch.ones(1, 6)
    assert against_similar_classes(tied, torch.tensor([3]))[0] == 0


def masked_by_hand(model: nn.Module, layer: Callable[[Tensor], Tensor], image: Tensor, target: int) -> np.ndarray:
    """Score-CAM, one channel at a time."""
    with torch.no_grad():
        activation = layer(image[None])[0]
        scores = []
        for channel in activation:
            mask = nn.functional.interpolate(channel[None, None], image.shape[1:], mode="bilinear")[0]
            mask = (mask - mask.min()) / (mask.max() - mask.min())
            scores.append(float(model((image * mask)[None])[0, target]))
        weights = np.exp(np.array(scores) - max(scores))
        return np.einsum("c,chw->hw", weights / weights.sum(), activation.numpy())


def test_scorecam_is_that_of_one_channel_at_a_time(pooled: PooledLinear) -> None:
    inputs = torch.randn(3, 3, 64, 64)
    maps = Explainer(pooled, layer="features", method="scorecam").cam(inputs, target=[2, 0, 1])
    for image, target, given in zip(inputs, (2, 0, 1), maps, strict=True):
        expected = masked_by_hand(pooled, lambda x: pooled.features(x), image, target)
        np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer", ["layer1", "layer1.0.conv1", "layer1.1.bn2"])
def test_ablationcam_is_that_of_one_channel_at_a_time(layer: str) -> None:
    """Also within a residual block, where the model has to be run from its beginning for each channel."""
    model = load_model("resnet18", weights="none").module.eval()
    image = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    explainer = Explainer(model, layer=layer, method="ablationcam", preprocessing=Preprocessing(size=(64, 64)))
    cam = explainer.cam(image, target=5)[0]
    activation: list[Tensor] = []

    def score(dropped: int | None) -> float:
        def drop(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
            output = output.clone()
            if dropped is None:
                activation.append(output.clone())
            else:
                output[:, dropped] = 0
            return output

        handle = model.get_submodule(layer).register_forward_hook(drop)
        with torch.no_grad():
            value = float(model(image)[0, 5])
        handle.remove()
        return value

    whole = score(None)
    weights = [(whole - score(channel)) / abs(whole) for channel in range(activation[0].shape[1])]
    expected = torch.einsum("c,chw->hw", torch.tensor(weights), activation[0][0])
    torch.testing.assert_close(cam, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_progress_of_many_forward_passes_is_told() -> None:
    told: list[tuple[int, int]] = []
    explainer = Explainer(
        "resnet18", weights="none", method="ablationcam", on_forwards=lambda done, total: told.append((done, total))
    )
    explainer.cam(torch.randn(1, 3, 64, 64))
    assert told[-1] == (512, 512)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


@pytest.mark.parametrize("method", ["eigencam", "fem"])
def test_methods_of_no_class_refuse_one(method: str) -> None:
    for asked in ({"target": "circle"}, {"top": 2}, {"against": "circle"}, {"negative": True}):
        with pytest.raises(LivecamError, match="of no class"):
            Explainer("shapes", method=method, **asked)
    assert Explainer("shapes", method=method)

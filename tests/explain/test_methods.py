"""The maths of the methods against independent references."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.formulas import FORMULAS, ablationcam, scorecam
from benchmarks.witness import ARCHITECTURES, WITNESSED, Witnessed, relative_error, witness
from livecam import Explainer, LivecamError
from livecam.explain.classification import against_similar_classes
from livecam.explain.methods import METHODS, eigencam, gradcam_plus_plus
from livecam.models import Preprocessing, load_model
from livecam.names import METHODS as NAMES
from tests.support.tiny import pictures, tiny

ALL_METHODS = ("resnet18", "mobilenet_v3_small")
"""Architectures in which every method is tried each time."""
SOME_METHODS = ("hirescam", "eigencam", "finercam")
"""Methods that show if the activations and gradients of an architecture are right, and the scores that they are of."""
LONG = ("vgg16", "densenet121", "vit_b_16")
"""Architectures that take seconds a method; the others stand for their kinds."""


@functools.lru_cache(1)
def witnessed(architecture: str) -> Witnessed:
    """Return the reference of an architecture, one at a time."""
    return witness(architecture)


def pairs() -> Iterator[Any]:
    """Each architecture with each method; those that tell little new only among the slow tests."""
    for name, method in product(ARCHITECTURES, FORMULAS):
        is_telling = name in ALL_METHODS or method in SOME_METHODS
        marks = (pytest.mark.long if name in LONG else ()) if is_telling else pytest.mark.slow
        yield pytest.param(name, method, marks=marks)


@pytest.mark.parametrize(("architecture", "method"), list(pairs()))
def test_the_maps_are_those_of_the_papers(architecture: str, method: str) -> None:
    """The whole way in float32, and the maths alone in float64, against the formulas word for word in float64."""
    known = witnessed(architecture)
    expected = known.formula(method)
    assert relative_error(known.maths_alone(method), expected) <= 1e-10
    tolerance = 5e-3 if known.cancels(method) else 1e-5
    assert relative_error(known.whole_way(method)[:WITNESSED], expected) <= tolerance
    assert relative_error(known.whole_way(method, pictures=1), expected[:1]) <= tolerance


def test_every_method_is_offered_and_has_its_formula_or_a_test() -> None:
    assert tuple(METHODS) == NAMES
    assert set(METHODS) == set(FORMULAS) | {"scorecam", "ablationcam", "legrad", "rollout"}
    for method in METHODS.values():
        assert method.compute.__doc__


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


def test_eigencam_is_high_where_the_strongest_channel_is() -> None:
    """One channel shows a blob, and sixty weak ones show it as a hole."""
    y, x = torch.meshgrid(torch.arange(7.0), torch.arange(7.0), indexing="ij")
    blob = torch.exp(-((x - 2) ** 2 + (y - 3) ** 2) / 4)
    channels = torch.tensor([1.0] + 60 * [-0.3])
    cam = eigencam((channels[:, None, None] * blob)[None])[0]
    assert cam.flatten()[blob.argmax()] > 0 > cam.flatten()[blob.argmin()]


def test_finercam_compares_with_the_nearest_logits() -> None:
    logits = torch.tensor([[2.0, 9.0, 1.0, 3.0, -5.0, 2.5]])
    probability = logits[0, [0, 3, 5]].exp() / logits[0, [0, 3, 5]].exp().sum()
    expected = (probability * (1.0 - logits[0, [0, 3, 5]])).sum()
    torch.testing.assert_close(against_similar_classes(logits, torch.tensor([2]))[0], expected)
    assert against_similar_classes(torch.tensor([[2.0, 1.5]]), torch.tensor([0]))[0] == 0.5
    tied = torch.ones(1, 6)
    assert against_similar_classes(tied, torch.tensor([3]))[0] == 0


def test_scorecam_is_that_of_one_channel_at_a_time(pooled: PooledLinear) -> None:
    inputs = torch.randn(3, 3, 64, 64)
    maps = Explainer(pooled, layer="features", method="scorecam").cam(inputs, target=[2, 0, 1])
    for image, target, given in zip(inputs, (2, 0, 1), maps, strict=True):
        expected = scorecam(pooled, "features", image, target)
        np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer", ["layer1", "layer1.0.conv1", "layer1.1.bn2"])
def test_ablationcam_is_that_of_one_channel_at_a_time(layer: str) -> None:
    """Also within a residual block, where the model has to be run from its beginning for each channel."""
    model = load_model("resnet18", weights="none").module.eval()
    image = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    explainer = Explainer(model, layer=layer, method="ablationcam", preprocessing=Preprocessing(size=(64, 64)))
    cam = explainer.cam(image, target=5)[0].numpy()
    assert relative_error(cam[None], ablationcam(model, layer, image[0], target=5)[None]) <= 1e-4


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
        with pytest.raises(LivecamError, match="does not explain a class"):
            Explainer("shapes", method=method, **asked)
    assert Explainer("shapes", method=method)


def test_a_listener_ends_a_method_in_the_middle_and_the_explainer_stays_usable() -> None:
    explainer = tiny(engine="eager", method="ablationcam")
    image = pictures(1)[0].numpy()
    before = explainer(image)

    def end(done: int, total: int) -> None:
        raise InterruptedError

    explainer.report_forwards(end)
    with pytest.raises(InterruptedError):
        explainer(image)
    explainer.report_forwards(lambda done, total: None)
    assert np.array_equal(explainer(image).heatmap, before.heatmap)

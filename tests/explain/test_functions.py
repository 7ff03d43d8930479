"""Targets that are functions of the model's output: what is explained is the function's score."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from livecam import Explainer, LivecamError
from livecam.explain.engines.graph import trace
from livecam.explain.preprocess import pictures_to_survey
from livecam.explain.program import Normalisation
from livecam.models import Preprocessing
from livecam.text import number
from tests.support.tiny import program_of
from tests.support.witness import gradcam_witness, least_cosine

PREPROCESSING = Preprocessing(size=(64, 64))
PICTURES = [np.random.default_rng(seed).integers(0, 256, (64, 64, 3), np.uint8) for seed in range(3)]
REFERENCE = torch.linspace(-1, 1, 12)


class Embedding(nn.Module):
    """Returns features and no class scores."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, 4, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 12, 3, 2, 1), nn.ReLU()
        )

    def forward(self, x: Tensor) -> Any:
        return self.features(x)


class Pooled(Embedding):
    def forward(self, x: Tensor) -> Any:
        return self.features(x).mean(dim=(2, 3))


class Several(Embedding):
    def forward(self, x: Tensor) -> Any:
        features = self.features(x)
        return {"maps": features, "pooled": (features.mean(dim=(2, 3)), 3)}


def similarity(output: Tensor) -> Tensor:
    return functional.cosine_similarity(output, REFERENCE.to(output.dtype)[None])


def energy(output: Tensor) -> Tensor:
    return output.square().flatten(1).sum(dim=1)


def margin(output: Tensor) -> Tensor:
    return output[:, 3] - output[:, 5]


def of_the_pooled(output: Any) -> Tensor:
    return similarity(output["pooled"][0])


def explaining(model: nn.Module, **options: Any) -> Explainer:
    return Explainer(model, preprocessing=PREPROCESSING, **{"engine": "eager"} | options)


def features_of(model: nn.Module, explainer: Explainer, picture: np.ndarray) -> Tensor:
    kept: list[Tensor] = []
    handle = model.register_forward_hook(lambda module, inputs, output: kept.append(output.detach().clone()))
    explainer(picture)
    handle.remove()
    return kept[-1]


def tried_pictures() -> list[Tensor]:
    normalisation = Normalisation(PREPROCESSING, torch.device("cpu"), torch.float32)
    return [normalisation(picture[None]) for picture in pictures_to_survey(PREPROCESSING)]


def inputs(count: int = 3) -> Tensor:
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("model", "function"),
    [(Pooled(), similarity), (Pooled(), margin), (Embedding(), energy), (Several(), of_the_pooled)],
)
def test_the_map_is_that_of_the_functions_gradient(model: nn.Module, function: Callable[[Any], Tensor]) -> None:
    explainer = explaining(model, target=function)
    witness = gradcam_witness(model, explainer.layer, inputs(), function)
    assert explainer.layer.startswith("features")
    assert least_cosine(explainer.cam(inputs()), witness) >= 0.9999
    if isinstance(model, Pooled):  # an explainer of the features as if they were classes
        assert least_cosine(explaining(model, layer=explainer.layer).cam(inputs(), function), witness) >= 0.9999


def test_the_explanation_has_the_name_and_the_score_of_the_function() -> None:
    explanation = explaining(Pooled(), target=similarity)(PICTURES[0])
    (one,) = explanation.classes
    assert (one.label, one.title, explanation.described(one.score)) == ("similarity", "similarity", number(one.score))
    assert -1 <= one.score <= 1
    assert [each.label for each in explanation.predictions] == ["similarity"]
    in_percent = explaining(Pooled(), target={"alike": lambda output: 100 * similarity(output)}, unit="%")(PICTURES[0])
    assert in_percent.label == "alike" and in_percent.described(in_percent.score).endswith(" %")
    assert in_percent.score == pytest.approx(100 * one.score, rel=1e-4)


def test_several_functions_are_explained_as_several_classes_are() -> None:
    model = Pooled()
    explainer = explaining(model, target=[similarity, margin, lambda output: output.sum(dim=1)], runner_up=True)
    told = explainer(PICTURES[0])
    assert [one.label for one in told.classes] == ["similarity", "margin", "score 2"]
    assert [one.label for one in told.predictions] == ["similarity", "margin", "score 2"]
    assert told.runner_up is None
    for one in told.classes[:2]:
        alone = explaining(model, target={"similarity": similarity, "margin": margin}[one.label])(PICTURES[0])
        np.testing.assert_allclose(one.cam, alone.cam, rtol=1e-4, atol=1e-7)
        assert explainer(PICTURES[0], target=one.label).score == pytest.approx(alone.score)


def test_a_function_can_be_asked_for_one_call() -> None:
    model = Pooled()
    classes = explaining(model, target=2)
    with classes:
        before = classes(PICTURES[0])
        asked = classes.explain(PICTURES, target=similarity)
        again = classes(PICTURES[1], target={"other": similarity})
        after = classes(PICTURES[0])
    assert before.label == after.label == "class 2" and np.array_equal(before.cam, after.cam)
    assert [one.label for one in asked] == ["similarity"] * 3 and again.label == "other"
    expected = explaining(model, target=similarity).explain(PICTURES)
    for one, other in zip(asked, expected, strict=True):
        np.testing.assert_allclose(one.cam, other.cam, rtol=1e-4, atol=1e-7)
    each = classes.cam(inputs(2), [similarity, margin])
    for index, function in enumerate((similarity, margin)):
        witness = gradcam_witness(model, classes.layer, inputs(2), function)[index : index + 1]
        assert least_cosine(each[index : index + 1], witness) >= 0.9999
    with pytest.raises(LivecamError, match="make an Explainer for it"):
        classes.change("gradcam", target=similarity)
    classes.change("hirescam", "features.0")
    assert classes(PICTURES[0], target=similarity).cam.shape == (16, 16)
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("method", ["gradcam++", "hirescam", "layercam", "eigengradcam", "scorecam", "ablationcam"])
def test_every_method_that_explains_a_target(method: str) -> None:
    model = Several()
    explanation = explaining(model, method=method, target=of_the_pooled)(PICTURES[0])
    assert np.isfinite(explanation.cam).all() and explanation.cam.any()
    wrapped = explaining(Pooled(), method=method, target=similarity)(PICTURES[0])
    np.testing.assert_allclose(explanation.cam, wrapped.cam, rtol=1e-3, atol=1e-6)


def test_a_score_that_is_clipped_for_the_first_picture_that_is_tried() -> None:
    model = Pooled().eval()
    first, second, _ = (float(energy(model(each).detach())) for each in tried_pictures())

    def clipped(output: Tensor) -> Tensor:
        return ((energy(output) - (first + second) / 2) * (second - first)).relu()

    assert explaining(model, target=clipped).layer == explaining(model, target=energy).layer


def test_a_model_in_half_precision() -> None:
    assert explaining(Pooled().bfloat16(), target=lambda output: output @ REFERENCE)(PICTURES[0]).label == "score"


def test_what_speaks_against_a_high_score() -> None:
    explainer = explaining(Pooled(), target=similarity, negative=True)
    assert explainer(PICTURES[0]).classes[0].title == "against similarity"
    np.testing.assert_allclose(
        explainer.cam(inputs()), -explaining(Pooled(), target=similarity).cam(inputs()), rtol=1e-4, atol=1e-7
    )


def test_the_function_is_part_of_the_program_that_is_compiled() -> None:
    explainer = explaining(Several(), target=of_the_pooled)
    images = torch.from_numpy(np.stack(PICTURES))
    graph = trace(program_of(explainer), explainer.classifier.module, images).in_precision(torch.float32)
    for traced, eager in zip(graph(images), explainer.answer(images).tensors, strict=True):
        torch.testing.assert_close(traced, eager)


def test_the_cache_of_compiled_programs_tells_functions_apart_by_what_they_read() -> None:
    def digest(reference: Tensor) -> bytes:
        explainer = explaining(Pooled(), target=lambda output: output @ reference)
        return trace(program_of(explainer), explainer.classifier.module, torch.from_numpy(PICTURES[0][None])).digest()

    assert digest(REFERENCE) == digest(REFERENCE.clone()) != digest(REFERENCE.flip(0))


@pytest.mark.usefixtures("built_here")
def test_the_compiled_engine_explains_a_function() -> None:
    eager = explaining(Pooled(), target=similarity)(PICTURES[0])
    explainer = explaining(Pooled(), target=similarity, engine="compiled", precision="fp32")
    told = explainer(PICTURES[0])
    assert explainer.engine == "compiled"
    np.testing.assert_allclose(told.cam, eager.cam, rtol=1e-3, atol=1e-6)
    assert told.score == pytest.approx(eager.score, abs=1e-4)


BAD: dict[str, tuple[Any, str]] = {
    "raises": (lambda output: output @ torch.ones(3), "the target score fails with RuntimeError: "),
    "raises without a message": (lambda output: [][0], "fails with IndexError: list index out of range"),
    "no tensor": (lambda output: 1.0, "returns a float instead of a tensor of scores (B,)"),
    "no axis": (lambda output: output[0, 1], "returns a tensor of shape (); let it return one score for each picture"),
    "too many axes": (lambda output: output[:, :1], "returns a tensor of shape (1, 1); let it return one score"),
    "only the first picture": (lambda output: output[0, 1:2], "mixes or drops some"),
    "mixed": (lambda output: output[:, 1] / output.sum(), "mixes or drops some"),
    "detached": (lambda output: output.detach()[:, 1], "has no gradient; compute it from the model's output"),
    "whole numbers": (lambda output: output.argmax(dim=1), "has no gradient; compute it from the model's output"),
    "in place": (lambda output: output.mul_(2)[:, 1], "the target score changes the model's output in place"),
    "not a number": (lambda output: (-1 - output[:, 1]).log(), "is nan for a test picture"),
    "constant": (lambda output: 0 * output.sum(dim=1), "no gradient of score reaches a layer with a spatial extent"),
    "a mixture": ([similarity, 3], "made of functions alone, or of classes alone"),
    "an empty mapping": ({}, "the target is empty"),
    "a mapping to both": ({"dog": 3, "score": similarity}, "made of functions alone, or of classes alone"),
    "one name": ([similarity, similarity], "several targets are called similarity; give a mapping of names"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_function_that_cannot_be_explained_is_refused_with_its_cause(what: str) -> None:
    target, expected = BAD[what]
    for ask in (lambda: explaining(Pooled(), target=target), lambda: explaining(Pooled())(PICTURES[0], target=target)):
        with pytest.raises(LivecamError) as caught:
            ask()
        assert expected in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"top": 2}, "target and top exclude each other"),
        ({"against": 1}, "against is for classes, and the target is a function"),
        ({"labels": ["alike"]}, "leave labels out"),
        ({"scores": "softmax"}, "leave scores out"),
        ({"method": "eigencam"}, "eigencam does not explain a class"),
        ({"method": "finercam"}, "finercam compares classes and does not explain a function"),
    ],
)
def test_what_is_only_for_classes_is_refused(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(LivecamError, match=expected):
        explaining(Pooled(), target=similarity, **options)


def test_a_picture_without_a_finite_gradient_is_told() -> None:
    def distance(output: Tensor) -> Tensor:
        return (output - anchor).square().sum(dim=1).sqrt()  # its gradient at 0 is not a number

    model, anchor = Pooled(), torch.zeros(12)
    explainer = explaining(model, target=distance)
    (anchor,) = features_of(model, explainer, PICTURES[1])
    explainer(PICTURES[0])
    with pytest.raises(LivecamError, match="a map of frame 0 is not made of finite numbers"):
        explainer(PICTURES[1])

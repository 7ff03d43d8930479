"""Models that compare pictures with words: their maps and scores, and prompts that change during a run."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from livecam import Explainer, ModelError
from livecam.explain.forward import LayerProbe
from livecam.explain.program import Normalisation
from livecam.models import Classifier, Preprocessing
from tests.support import tiny_clip

PROMPTS = ("a dog", "a bowl", "a red car, parked")


@pytest.fixture(scope="module", autouse=True)
def registered(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        tiny_clip.register(patch, tmp_path_factory.mktemp("configs"))
        yield


def explainer_of(name: str = "clip:tiny-vit", prompts: Any = PROMPTS, **options: Any) -> Explainer:
    usual = {"weights": "none", "engine": "eager", "precision": "fp32"}
    return Explainer(name, prompts=prompts, **(usual | options))


def picture(explainer: Explainer, seed: int = 0) -> np.ndarray:
    """A picture of the size of the input, which is not scaled."""
    size = explainer.classifier.preprocessing.size
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def inputs_of(explainer: Explainer, image: np.ndarray) -> Tensor:
    normalise = Normalisation(explainer.classifier.preprocessing, torch.device("cpu"), torch.float64)
    return normalise(torch.from_numpy(image)[None]).double()


class Reference:
    """open_clip's own computation in double precision, and the gradient of a logit at a layer."""

    def __init__(self, explainer: Explainer, prompts: Any = PROMPTS) -> None:
        self.model = copy.deepcopy(explainer.classifier.module).double().eval()
        with torch.no_grad():
            tokens = torch.cat([explainer.classifier.encoder._tokenizer([prompt]) for prompt in prompts])  # type: ignore[union-attr]
            self.text = self.model.encode_text(tokens, normalize=True)

    def logits(self, inputs: Tensor) -> Tensor:
        similarity = self.model.encode_image(inputs, normalize=True) @ self.text.T
        bias = self.model.logit_bias
        return self.model.logit_scale.exp() * similarity + (0 if bias is None else bias)

    def gradcam(self, inputs: Tensor, layer: str, number: int) -> Tensor:
        taken: list[Tensor] = []
        handle = self.model.get_submodule(layer).register_forward_hook(lambda *call: taken.append(call[2]))
        logit = self.logits(inputs)[0, number]
        handle.remove()
        activation = taken[-1]
        (gradient,) = torch.autograd.grad(logit, activation)
        if activation.ndim == 3:  # tokens, the first of which is that of the class
            side = round((activation.shape[1] - 1) ** 0.5)
            activation, gradient = (
                each[:, 1:].transpose(1, 2).unflatten(2, (side, side)) for each in (activation, gradient)
            )
        return (gradient.mean(dim=(2, 3), keepdim=True) * activation).sum(dim=1)[0]


@pytest.mark.parametrize("name", tiny_clip.TINY)
def test_maps_and_scores_are_those_of_open_clip_in_double_precision(name: str) -> None:
    explainer = explainer_of(name)
    reference, image = Reference(explainer), picture(explainer)
    inputs = inputs_of(explainer, image)
    logits = reference.logits(inputs)[0]
    scores = logits.sigmoid() if name.endswith("sigmoid") else logits.softmax(dim=0)
    explanations = [explainer(image, target=number) for number in range(3)]
    for number, explanation in enumerate(explanations):
        expected = reference.gradcam(inputs, explainer.layer, number).detach().numpy()
        assert np.abs(explanation.cam - expected).max() <= 1e-5 * np.abs(expected).max()
        assert explanation.score == pytest.approx(scores[number].item(), rel=1e-5)
        assert explanation.label == PROMPTS[number]
    assert [each.label for each in explanations[0].predictions] == [
        PROMPTS[index] for index in scores.argsort().flip(0)
    ]
    assert explanations[0].unit is None


def test_a_single_prompt_is_scored_by_its_similarity_since_its_probability_is_always_1() -> None:
    explainer = explainer_of(prompts="a dog")
    reference, image = Reference(explainer, ["a dog"]), picture(explainer)
    explanation = explainer(image)
    similarity = reference.logits(inputs_of(explainer, image)) / reference.model.logit_scale.exp()
    assert explanation.score == pytest.approx(similarity.item(), rel=1e-5)
    assert explanation.unit == "cosine similarity"
    assert len(explanation.predictions) == 1
    assert explainer.report()["scores"] == "raw"
    assert explainer_of("clip:tiny-sigmoid", prompts="a dog")(image).unit is None


def test_other_scores_can_be_asked_for() -> None:
    explainer = explainer_of()
    image = picture(explainer)
    logits = Reference(explainer).logits(inputs_of(explainer, image))[0]
    for options, expected, unit in (
        ({"scores": "sigmoid"}, logits.sigmoid(), None),
        ({"scores": "raw"}, logits, ""),
        ({"unit": "points"}, logits, "points"),
    ):
        explanation = explainer_of(target=1, **options)(image)
        assert explanation.score == pytest.approx(expected[1].item(), rel=1e-5)
        assert explanation.unit == unit


@pytest.mark.usefixtures("built_here")
def test_prompts_and_targets_change_without_compiling_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVECAM_CACHE", str(tmp_path))
    explainer = explainer_of(engine="compiled", precision="fp32", runner_up=True)
    image = picture(explainer)
    explainer(image)
    compilation = explainer._runtime.engine._compilation
    questions: list[tuple[str | None, tuple[str, ...]]] = [
        ("a bowl", (*PROMPTS, "a fish")),
        ("top2", ("a cat", "a fish")),
        (None, ("a fish",)),
    ]
    for target, prompts in questions:
        explainer.change("gradcam", None, target, prompts=prompts)
        given, wanted = explainer(image), explainer_of(prompts=prompts, target=target)(image)
        assert (given.label, given.unit) == (wanted.label, wanted.unit)
        np.testing.assert_allclose(given.cam, wanted.cam, rtol=1e-3, atol=1e-4 * np.abs(wanted.cam).max())
        assert [each.label for each in given.predictions] == [each.label for each in wanted.predictions]
        assert given.score == pytest.approx(wanted.score, abs=1e-4)
    assert explainer.engine == "compiled"
    assert explainer._runtime.engine._compilation is compilation


def test_each_prompt_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    explainer = explainer_of()
    encoded: list[Any] = []
    encode = explainer.task._encoder
    monkeypatch.setattr(explainer.task, "_encoder", lambda prompts: encoded.extend(prompts) or encode(prompts))
    explainer.change("gradcam", prompts=["a cat", "a dog"])
    explainer.change("gradcam", prompts=["a dog", "a bowl", "a cat"])
    assert encoded == ["a cat"]


def test_a_contrast_follows_its_prompt_to_another_place() -> None:
    explainer = explainer_of(against="a bowl", target="a dog")
    image = picture(explainer)
    before = explainer(image)
    explainer.change("gradcam", prompts=["a bowl", "a cat", "a dog"])
    np.testing.assert_allclose(explainer(image).cam, before.cam, rtol=1e-4, atol=1e-6)
    assert explainer(image).classes[0].title == before.classes[0].title == "a dog rather than a bowl"
    assert explainer(image).index == 2


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"prompts": ["a cat"]}, "no prompt 'a bowl'; it has a cat \\(0\\)"),
        ({"prompts": ["a cat", "a bowl"], "target": "a zebra"}, "no prompt 'a zebra'"),
        ({"prompts": ["a cat", " "]}, "a prompt is empty"),
        ({"prompts": ["a cat", "a bowl", "a cat"]}, "'a cat' is given twice"),
        ({"prompts": [f"{number} cats" for number in range(33)]}, "33 prompts, and at most 32"),
        ({"prompts": ["a bowl", "many cats " * 20]}, "is too long: clip:tiny-vit reads 16 tokens"),
        ({"target": "pets=0,1"}, "a group is made of classes"),
        ({"target": "top4"}, "there is no top4"),
    ],
)
def test_a_change_that_cannot_be_changes_nothing(change: dict[str, Any], told: str) -> None:
    explainer = explainer_of(target="a bowl")
    image = picture(explainer)
    before = explainer(image)
    with pytest.raises(ModelError, match=told):
        explainer.change("gradcam", **change)
    assert explainer.prompts == explainer.labels == PROMPTS
    np.testing.assert_array_equal(explainer(image).cam, before.cam)


def test_labels_are_prompts_but_not_beside_prompts() -> None:
    assert explainer_of(prompts=None, labels=PROMPTS).prompts == PROMPTS
    with pytest.raises(ModelError, match="give one of the two"):
        explainer_of(labels=["dog"])


@pytest.mark.parametrize(
    ("model", "prompts", "told"),
    [
        ("clip:tiny-vit", None, "compares pictures with words; give it some: --prompt"),
        ("shapes", ["a dog"], "shapes has classes of its own; a prompt is for models that compare"),
        ("clip:tiny-viet", ["a dog"], "there is no model 'clip:tiny-viet'; did you mean clip:tiny-vit?"),
        ("clip:tiny-vit/openai", ["a dog"], "there is no model 'clip:tiny-vit/openai'"),
    ],
)
def test_what_cannot_be_asked_is_told(model: str, prompts: Any, told: str) -> None:
    with pytest.raises(ModelError, match=told):
        Explainer(model, weights="none" if "clip" in model else "default", prompts=prompts)


def test_all_methods_leave_the_rows_without_a_prompt_alone() -> None:
    for method in ("finercam", "scorecam"):
        explanation = explainer_of(prompts=PROMPTS[:2], method=method)(np.zeros((32, 32, 3), np.uint8))
        assert np.isfinite(explanation.cam).all()


def test_a_model_of_the_users_own_compares_with_words_as_well() -> None:
    class Encoder:
        scale, bias = 10.0, None

        def __call__(self, prompts: Any) -> Tensor:
            return nn.functional.normalize(torch.tensor([[len(each), 1.0] for each in prompts]))

    class Features(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 2, 8, 8)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x).mean(dim=(2, 3))

    model = Classifier("own", Features(), preprocessing=Preprocessing((64, 64)), task="words", encoder=Encoder())
    explanation = explainer_of_own(model)(np.zeros((64, 64, 3), np.uint8))
    assert len(explanation.predictions) == 2


def explainer_of_own(model: Classifier) -> Explainer:
    return Explainer(model, prompts=["a", "bcd"], engine="eager")


def test_weights_from_a_file_are_those_of_both_encoders(tmp_path: Path) -> None:
    explainer = explainer_of()
    trained = {name: value + 0.01 for name, value in explainer.classifier.module.state_dict().items()}
    torch.save(trained, tmp_path / "trained.pt")
    loaded = explainer_of(weights=str(tmp_path / "trained.pt"))
    for name, value in loaded.classifier.module.state_dict().items():
        torch.testing.assert_close(value, trained[name])


def test_a_layer_with_a_shortcut_around_it_is_not_explained_on_a_blank_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = "visual.transformer.resblocks.0.mlp"
    explainer = explainer_of(method="ablationcam", layer=layer)
    image = picture(explainer)
    cam = explainer(image).cam
    monkeypatch.setattr(LayerProbe, "_layer_decides", False)
    np.testing.assert_allclose(cam, explainer(image).cam, atol=1e-5 * np.abs(cam).max())

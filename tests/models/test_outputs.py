"""Where the class scores are in what a model returns: found, told, or refused with the cause."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from transformers.modeling_outputs import ImageClassifierOutput

from livecam import Explainer, LivecamError
from livecam.explain.engines.graph import trace
from livecam.models import Preprocessing
from tests.support.tiny import Tiny, pictures, program_of
from tests.support.witness import gradcam_witness, least_cosine

SMALL = Preprocessing(size=(64, 64))
CLASS = 3


class Wrapped(nn.Module):
    """Returns what its argument makes of the scores (B, 5) and of the features (B, 8, 8, 8)."""

    def __init__(self, wrap: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net, self.wrap = Tiny(), wrap

    def forward(self, x: Tensor) -> Any:
        features = self.net.features(x)
        return self.wrap(self.net.head(features.relu().mean(dim=(2, 3))), features)


def explaining(wrap: Callable[[Tensor, Tensor], Any], **options: Any) -> Explainer:
    return Explainer(Wrapped(wrap), preprocessing=SMALL, layer="net.features", target=CLASS, **options)


class InceptionOutputs(NamedTuple):
    logits: Tensor
    aux_logits: Tensor


@dataclasses.dataclass
class Output:
    features: Tensor
    logits: Tensor


TAKEN: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "transformers": lambda scores, features: ImageClassifierOutput(logits=scores, hidden_states=(features, features)),
    "object": lambda scores, features: Output(features.mean(dim=(2, 3)), scores),
    "mapping": lambda scores, features: {"features": features.mean(dim=(2, 3)), "logits": scores},
    "mapping of one": lambda scores, features: {"species": scores},
    "usual name": lambda scores, features: {"embedding": scores @ scores.mT, "aux": -scores, "out": scores},
    "tuple with maps": lambda scores, features: (scores, features),
    "maps first": lambda scores, features: [features, scores],
    "tuple of one": lambda scores, features: (scores,),
    "named tuple": lambda scores, features: InceptionOutputs(scores, -scores),
    "nested": lambda scores, features: ({"logits": scores}, features),
    "fully convolutional": lambda scores, features: scores[:, :, None, None],
}


@pytest.mark.parametrize(
    ("kind", "method"),
    [*((kind, "gradcam") for kind in TAKEN), ("transformers", "scorecam"), ("transformers", "ablationcam")],
)
def test_scores_are_found_in_what_a_model_returns(kind: str, method: str, caplog: pytest.LogCaptureFixture) -> None:
    explainer, plain = (
        explaining(TAKEN[kind], method=method),
        explaining(lambda scores, features: scores, method=method),
    )
    batch = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(explainer.cam(batch), plain.cam(batch))
    images = pictures()
    torch.testing.assert_close(explainer.answer(images), plain.answer(images))
    if method == "gradcam":
        witness = gradcam_witness(plain.classifier.module, "net.features", batch, lambda scores: scores[:, CLASS])
        assert least_cosine(explainer.cam(batch), witness) >= 0.9999
    assert not caplog.messages


@pytest.mark.parametrize("kind", ["transformers", "object", "mapping", "tuple with maps", "fully convolutional"])
def test_scores_are_found_in_a_traced_program(kind: str) -> None:
    explainer = explaining(TAKEN[kind])
    images = pictures()
    graph = trace(program_of(explainer), explainer.classifier.module, images)
    for given, expected in zip(graph.module(images), explainer.answer(images).tensors, strict=True):
        torch.testing.assert_close(given, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "wrap",
    [lambda scores, features: scores[:, 0], lambda scores, features: scores[:, 0].squeeze()],
    ids=["one score", "squeezed"],
)
def test_one_score_for_each_picture_needs_no_axis_of_classes(wrap: Callable[[Tensor, Tensor], Tensor]) -> None:
    explainer = Explainer(Wrapped(wrap), preprocessing=SMALL, layer="net.features")
    for count in (1, 2):
        batch = torch.randn(count, 3, 64, 64)
        witness = gradcam_witness(explainer.classifier.module, "net.features", batch, lambda scores: scores)
        assert least_cosine(explainer.cam(batch), witness) >= 0.9999
    assert explainer.task.classes == 1


TOLD: dict[str, tuple[Callable[[Tensor, Tensor], Any], str]] = {
    "two heads": (lambda scores, features: (scores, -scores), "gives [0] (1, 5), [1] (1, 5); [0] is explained"),
    "unusual name": (
        lambda scores, features: {"x": features, "z": scores},
        "gives x (1, 8, 8, 8), z (1, 5); z is explained",
    ),
}


@pytest.mark.parametrize("kind", TOLD)
def test_a_choice_that_is_not_obvious_is_told(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    wrap, message = TOLD[kind]
    batch = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(explaining(wrap).cam(batch), explaining(lambda scores, features: scores).cam(batch))
    assert [message in told for told in caplog.messages] == [True]


def test_the_number_of_labels_tells_which_row_holds_the_scores() -> None:
    batch = torch.randn(1, 3, 64, 64)
    cam = explaining(lambda scores, features: (features.mean(dim=(2, 3)), scores), labels=list("abcde")).cam(batch)
    torch.testing.assert_close(cam, explaining(lambda scores, features: scores).cam(batch))


REFUSED: dict[str, tuple[Callable[[Tensor, Tensor], Any], str]] = {
    "two sizes": (
        lambda scores, features: (features.mean(dim=(2, 3)), scores),
        "several rows of numbers, [0] (1, 8), [1] (1, 5), and which are the scores of its classes is not known",
    ),
    "several tasks": (
        lambda scores, features: {"age": scores[:, :1], "colour": scores},
        "rows of numbers, age (1, 1), colour (1, 5), and which",
    ),
    "features": (
        lambda scores, features: {"last_hidden_state": features.flatten(2).mT, "pooler_output": features.mean((2, 3))},
        "the model gives last_hidden_state (1, 64, 8), pooler_output (1, 8) instead of class scores (B, classes); "
        "such rows come from a model without its classifier",
    ),
    "map": (lambda scores, features: features, "a tensor of shape (1, 8, 8, 8) instead of class scores (B, classes)"),
    "detection": (
        lambda scores, features: [{"boxes": scores[:, :4], "scores": scores[0, :1]}],
        "gives [0].boxes (1, 4), [0].scores (1,) instead of class scores (B, classes); to explain boxes, let it return",
    ),
    "queries": (lambda scores, features: scores[:, :, None], "a tensor of shape (1, 5, 1) instead"),
    "argmax": (lambda scores, features: scores.argmax(dim=1), "before the argmax"),
    "crops": (lambda scores, features: scores.expand(4, -1), "a tensor of shape (4, 5) instead"),
    "integers": (lambda scores, features: (9 * scores).long(), "(1, 5) and type int64 instead"),
    "decisions": (lambda scores, features: scores > 0, "a tensor of shape (1, 5) and type bool instead"),
    "complex": (lambda scores, features: scores * 1j, "let it return real numbers"),
    "best": (
        lambda scores, features: scores.topk(3),
        "gives [0] (1, 3), [1] (1, 3), the best classes and their scores, instead of the scores of all; let it",
    ),
    "best by name": (
        lambda scores, features: dict(zip("vi", scores.topk(3), strict=True)),
        "gives v (1, 3), i (1, 3), the best classes",
    ),
    "nothing": (lambda scores, features: None, "the model gives nothing instead"),
    "damaged": (lambda scores, features: scores * float("nan"), "finite numbers: its weights are, so its forward"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_an_output_without_class_scores_is_refused_with_the_cause(kind: str) -> None:
    wrap, message = REFUSED[kind]
    with pytest.raises(LivecamError) as refused:
        explaining(wrap)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)

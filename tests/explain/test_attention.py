"""LeGrad and attention rollout: transformers of several libraries against their formulas in float64."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from timm.models.cait import Cait
from torch import Tensor, nn

from benchmarks.witness import relative_error
from livecam import Explainer, LivecamError
from livecam.explain.answer import agreement
from livecam.explain.engines.graph import trace
from livecam.models import Preprocessing
from livecam.names import LAYER_METHODS
from tests.support.converted import in_openvino
from tests.support.tiny import pictures, program_of
from tests.support.transformers import ARCHITECTURES, CELLS, DEPTH, SIDE, TIMM, pooled_in_vain

INPUTS = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
TARGETS = (3, 1)


@functools.cache
def model_of(name: str) -> nn.Module:
    return ARCHITECTURES[name][0]()


def explained(name: str, method: str, **options: Any) -> Explainer:
    return Explainer(model_of(name), method=method, preprocessing=Preprocessing(size=(SIDE, SIDE)), **options)


def expected(name: str, method: str, blocks: range = range(DEPTH)) -> Tensor:
    parts = ARCHITECTURES[name][1](copy.deepcopy(model_of(name)).double().requires_grad_(False))
    pictures = zip(INPUTS.double().split(1), TARGETS, strict=True)
    if method == "legrad":
        return torch.stack([parts.legrad(picture, target, blocks) for picture, target in pictures])
    return torch.stack([parts.rollout(picture) for picture, _ in pictures])


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_legrad_is_that_of_the_paper(name: str) -> None:
    maps = explained(name, "legrad").cam(INPUTS, target=TARGETS)
    assert relative_error(maps.numpy(), expected(name, "legrad").numpy()) <= 1e-5


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_rollout_is_that_of_the_paper(name: str) -> None:
    maps = explained(name, "rollout").cam(INPUTS)
    assert relative_error(maps.numpy(), expected(name, "rollout").numpy()) <= 1e-5


def test_by_default_legrad_explains_the_last_blocks_and_layer_names_others() -> None:
    name = "timm"
    assert explained(name, "legrad").layer == "blocks.0,blocks.1,blocks.2"
    for layer, block in (("blocks.1", 1), ("blocks.0.attn.proj", 0), ("blocks", 2), (-1, 2)):
        explainer = explained(name, "legrad", layer=layer)
        assert explainer.layer == f"blocks.{block}"
        maps = explainer.cam(INPUTS, target=TARGETS).numpy()
        assert relative_error(maps, expected(name, "legrad", range(block, block + 1)).numpy()) <= 1e-5
    assert explained(name, "legrad", layer="blocks.2,blocks.0").layer == "blocks.0,blocks.2"
    with pytest.raises(LivecamError, match=r"layer patch_embed.proj is in no block .*the last is blocks.2"):
        explained(name, "legrad", layer="patch_embed.proj")


@pytest.mark.parametrize("method", ["legrad", "rollout"])
@pytest.mark.parametrize("name", ["timm with a pooling head", "transformers, eager"])
def test_the_traced_graph_gives_what_the_program_gives(name: str, method: str) -> None:
    explainer = explained(name, method, engine="eager", **({"top": 2} if method == "legrad" else {}))
    graph = trace(program_of(explainer), explainer.classifier.module, pictures(2))
    other = torch.flip(pictures(2), [1])
    for given, wanted in zip(graph.module(other), explainer.answer(other).tensors, strict=True):
        torch.testing.assert_close(given, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["legrad", "rollout"])
def test_compiled_it_agrees(method: str, tmp_path: Path) -> None:
    explainer, images = explained("torchvision", method, engine="eager"), pictures(1)
    assert agreement([in_openvino(explainer, images, tmp_path)], [explainer.answer(images)]).cosine >= 0.9999


@pytest.mark.parametrize("method", ["legrad", "rollout"])
def test_the_scores_are_those_of_the_model_which_comes_back_as_it_was(method: str) -> None:
    model = model_of("timm")
    explainer = explained("timm", method)
    with torch.no_grad():
        scores = model(INPUTS)
    with explainer:
        assert torch.allclose(explainer._runtime.engine.eager.program.run(INPUTS), scores, atol=1e-5)
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in model.modules())
    explainer.change("gradcam")
    assert explainer(pictures(1)[0].numpy()).heatmap.shape == (8, 8)


def test_rollout_depends_on_no_class_and_says_so() -> None:
    explained_by = explained("timm", "rollout")
    assert explained_by(pictures(1)[0].numpy()).classes[0].title.startswith("rollout; ")
    with pytest.raises(LivecamError, match="rollout does not explain a class"):
        explained_by.change("rollout", target=3)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: torchvision.models.resnet18(num_classes=5), "has no attention between tokens"),
        (lambda: Cait(**TIMM), "gathers its tokens by several steps of attention"),
        (
            lambda: torchvision.models.SwinTransformer([8, 8], 16, [1, 1], [2, 2], [4, 4], num_classes=5),
            "attends within windows, within frames or on grids of several sizes",
        ),
    ],
)
@pytest.mark.parametrize("method", ["legrad", "rollout"])
def test_models_without_attention_between_all_tokens_are_refused(
    make: Callable[[], nn.Module], problem: str, method: str
) -> None:
    model = make().eval()
    with pytest.raises(LivecamError, match=problem):
        Explainer(model, method=method, preprocessing=Preprocessing(size=(SIDE, SIDE)))
    offered = Explainer(model, preprocessing=Preprocessing(size=(SIDE, SIDE))).methods
    assert offered == LAYER_METHODS


def test_an_attention_that_the_scores_do_not_come_from_is_left_out() -> None:
    """This head pools by attention as well, but the scores are of the mean."""
    model = pooled_in_vain()
    explainer = Explainer(model, method="rollout", preprocessing=Preprocessing(size=(SIDE, SIDE)))
    assert explainer.survey.attention.pool is None
    assert len(explainer.survey.attention.readers) == CELLS**2

"""Detectors of transformers: the boxes are those of their processors, the maps the gradients of their logits."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor
from torch.nn import functional

from livecam import Explainer, LivecamError
from livecam.explain.answer import agreement
from livecam.explain.preprocess import Preprocessor
from livecam.models import load_model
from livecam.picture.frame import Frame
from tests.support.converted import in_openvino
from tests.support.query_detectors import KINDS, LABELS, QUERIES, SIDES, SQUARE, detector, example, processor

WIDE = np.random.default_rng(0).integers(0, 256, (9, 16, 3), np.uint8).repeat(20, 0).repeat(20, 1)
FOUND = 6
"""How many boxes the detectors find in the example."""


def saved(kind: str, folder: Path) -> str:
    """Save a detector and its image processor, and return its name for livecam."""
    detector(kind).save_pretrained(folder)
    processor(kind).save_pretrained(folder)
    return f"hf:{folder}"


@functools.cache
def confidence(kind: str) -> float:
    """Return a least score that so many boxes of the example have."""
    with torch.no_grad():
        logits = detector(kind)(example(kind)).logits[0]
    is_rt = kind.startswith("rt_detr")
    scores = logits.sigmoid().flatten() if is_rt else logits.softmax(dim=1)[:, :-1].amax(dim=1)
    return float(scores.sort(descending=True).values[FOUND - 1 : FOUND + 1].mean())


def explainer(kind: str, **options: Any) -> Explainer:
    sides = SQUARE if kind.startswith("rt_detr") else SIDES
    options = {"confidence": confidence(kind), "preprocessing": {"size": sides}, **options}
    return Explainer(detector(kind), **options)


@pytest.mark.parametrize("kind", KINDS)
def test_the_boxes_are_those_of_the_processor(kind: str) -> None:
    inputs, one = example(kind), explainer(kind)
    with torch.no_grad():
        output = detector(kind)(inputs)
        (own,) = one.task.read(one.classifier.module(inputs))
    (theirs,) = processor(kind).post_process_object_detection(output, threshold=confidence(kind))
    own = own[own[:, 4] > 0]
    best = theirs["scores"].argsort(descending=True)
    assert len(own) == FOUND
    torch.testing.assert_close(own[:, 4], theirs["scores"][best])
    torch.testing.assert_close(own[:, :4], theirs["boxes"][best])
    assert own[:, 5].tolist() == theirs["labels"][best].tolist()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("target", ["class", "box2"])
def test_maps_equal_an_evaluation_in_double_precision(kind: str, target: str) -> None:
    """Gradient times activation of what the queries read, of the sum of the logits of the boxes."""
    inputs = example(kind)
    levels, logits, boxes = evaluated(kind, inputs.double())
    label = int(boxes["labels"][0])
    chosen = [number for number, each in enumerate(boxes["labels"]) if each == label] if target == "class" else [1]
    score = sum(logits[boxes["queries"][each], boxes["labels"][each]] for each in chosen)
    gradients = torch.autograd.grad(score, levels)
    maps = [(level * each).sum(dim=1, keepdim=True) for level, each in zip(levels, gradients, strict=True)]
    size = maps[0].shape[2:]
    spread = [functional.interpolate(each, size, mode="bilinear") * each.numel() / size.numel() for each in maps]
    reference = sum(spread)[0, 0]
    (mine,) = explainer(kind, target=LABELS[label] if target == "class" else target).cam(inputs)
    assert (mine - reference).abs().max() <= 1e-5 * reference.abs().max() > 0


def evaluated(kind: str, inputs: Tensor) -> tuple[list[Tensor], Tensor, dict[str, Any]]:
    """Run a detector in double precision.

    Returns:
        What its queries read of the picture as leaves (1, C, h, w), the logits of a picture, (queries, classes), and
        its boxes, the most probable first: "labels", and the "queries" that found them.
    """
    model = detector(kind).double().requires_grad_(False)
    levels: list[Tensor] = []

    def leaf(cells: Tensor) -> Tensor:
        levels.append(cells.detach().requires_grad_())
        return levels[-1]

    def of_detr(module: object, given: object, output: Any) -> Any:
        rows, columns = (side // 32 for side in SIDES)
        maps = leaf(output.last_hidden_state.transpose(1, 2).reshape(1, -1, rows, columns))
        output.last_hidden_state = maps.reshape(1, -1, rows * columns).transpose(1, 2)
        return output

    def of_yolos(module: object, given: object, tokens: Tensor) -> Tensor:
        rows, columns = (side // 16 for side in SIDES)
        maps = leaf(tokens[:, 1:-QUERIES].transpose(1, 2).reshape(1, -1, rows, columns))
        return torch.cat([tokens[:, :1], maps.reshape(1, -1, rows * columns).transpose(1, 2), tokens[:, -QUERIES:]], 1)

    def of_rt_detr(module: object, given: object, output: Any) -> Any:
        output.last_hidden_state = [leaf(level) for level in output.last_hidden_state]
        return output

    if kind == "detr":
        model.model.encoder.register_forward_hook(of_detr)
    elif kind == "yolos":
        model.vit.encoder.layer[-1].layernorm_before.register_forward_hook(of_yolos)
    else:
        model.model.encoder.register_forward_hook(of_rt_detr)
    logits = model(inputs).logits[0]
    scores = logits.sigmoid() if kind.startswith("rt_detr") else logits.softmax(dim=1)[:, :-1]
    if kind.startswith("rt_detr"):
        best = scores.flatten().argsort(descending=True)[:FOUND]
        return levels, logits, {"queries": best // scores.shape[1], "labels": best % scores.shape[1]}
    highest, labels = scores.max(dim=1)
    queries = highest.argsort(descending=True)[:FOUND]
    return levels, logits, {"queries": queries, "labels": labels[queries]}


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_is_loaded_with_what_it_says(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    name = saved(kind, tmp_path)
    own, of_file = load_model(name), load_model(name, weights=str(tmp_path / "model.safetensors"))
    assert own.labels == LABELS
    is_square = kind.startswith("rt_detr")
    assert (own.preprocessing.size, own.preprocessing.fit) == ((SQUARE, "stretch") if is_square else (SIDES, "pad"))
    assert not caplog.messages
    expected = detector(kind)(example(kind)).logits
    for classifier in (own, of_file):
        found = classifier.module.eval()(example(kind)).logits
        torch.testing.assert_close(found, expected[..., : len(LABELS)])
    assert load_model(name, weights="none").labels == LABELS


@pytest.mark.parametrize("kind", ["detr", "rt_detr"])
def test_colours_are_those_of_the_processor(kind: str, tmp_path: Path) -> None:
    """A picture of 16:9 without structure, so that only its size could differ."""
    plain = np.broadcast_to(np.uint8([200, 100, 20]), (180, 320, 3))
    preprocessing = load_model(saved(kind, tmp_path)).preprocessing
    ours, _ = Preprocessor(preprocessing, preprocessing.fit)(Frame.from_rgb(np.ascontiguousarray(plain)))
    mean, std = np.array(preprocessing.mean), np.array(preprocessing.std)
    middle = (ours[ours.shape[0] // 2, ours.shape[1] // 2] / 255 - mean) / std
    theirs = processor(kind)(plain, return_tensors="pt")["pixel_values"][0]
    np.testing.assert_allclose(middle, theirs[:, theirs.shape[1] // 2, theirs.shape[2] // 2], atol=0.02)


def test_a_detector_stays_as_it_is() -> None:
    model = detector("rt_detr")
    before = [len(each._forward_hooks) for each in model.modules()]
    Explainer(model, preprocessing={"size": SQUARE})(WIDE)
    assert [len(each._forward_hooks) for each in model.modules()] == before


def test_a_detector_of_another_kind_is_refused(tmp_path: Path) -> None:
    backbone = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8] * 4, depths=[1] * 4)
    config = transformers.ConditionalDetrConfig(backbone_config=backbone, use_timm_backbone=False, num_queries=2)
    model = transformers.ConditionalDetrForObjectDetection(config)
    model.save_pretrained(tmp_path)
    for given in (f"hf:{tmp_path}", model):
        with pytest.raises(LivecamError, match="detects objects as conditional_detr, which is not explained; name a"):
            Explainer(given)


@pytest.mark.parametrize("kind", ["rt_detr", "rt_detr_v2"])
def test_inputs_that_the_anchors_are_not_for_are_refused(kind: str) -> None:
    """Also a size on its side, whose cells are as many, so that the model would run and misplace the boxes."""
    config = detector(kind).config
    config.anchor_image_size = [96, 160]
    fixed = type(detector(kind))(config)
    assert Explainer(fixed, preprocessing={"size": (96, 160)}).layer == "pyramid"
    for size in ((160, 96), (96, 96)):
        told = f"has anchors for inputs of 160x96 alone, not of {size[1]}x{size[0]}; say --input-size 160x96"
        with pytest.raises(LivecamError, match=told):
            Explainer(fixed, preprocessing={"size": size})


@pytest.mark.parametrize("kind", ["detr", "yolos"])
def test_a_detector_gives_in_openvino_what_it_gives_in_pytorch(kind: str, tmp_path: Path) -> None:
    one = explainer(kind, target="box1", confidence=0.01)
    height, width = one.classifier.preprocessing.size
    images = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (1, height, width, 3), np.uint8))
    given, expected = in_openvino(one, images, tmp_path), one.answer(images)
    assert agreement([given], [expected]).cosine > 0.99999
    found = expected.where[expected.where[..., 4] > 0]
    assert len(found) > 1
    torch.testing.assert_close(given.where[given.where[..., 4] > 0], found, rtol=1e-4, atol=1e-5)

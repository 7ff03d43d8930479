"""Detectors: the boxes are torchvision's own, and their maps are the gradients of their logits."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from livecam import Explainer, Explanation
from livecam.errors import LivecamError
from livecam.explain.answer import agreement
from livecam.explain.boxes import found_boxes
from livecam.explain.heat import Steadiness
from livecam.explain.motion import Motion, carried
from livecam.explanation import Box
from livecam.live.stages import stages
from livecam.picture.frame import Frame
from livecam.render.views import _facts
from livecam.run.sidecars import described
from tests.support.converted import in_openvino
from tests.support.detectors import KINDS, LABELS, SIZE, Tiny, example, picture, tiny
from tests.support.doubles import NumberedSource
from tests.support.explanations import explanation_of


@pytest.mark.parametrize("kind", KINDS)
def test_the_boxes_are_those_of_torchvision(kind: str) -> None:
    model, classifier, confidence = tiny(kind)
    with torch.no_grad():
        (own,) = model([picture()])
        (rows,) = found_boxes(classifier.module(example()), confidence)
    rows = rows[rows[:, 4] > 0]
    edges = torch.tensor([SIZE[1], SIZE[0]] * 2)
    theirs = torch.cat([own["boxes"], own["scores"][:, None], own["labels"][:, None]], dim=1)
    ours = torch.cat([rows[:, :4] * edges, rows[:, 4:6]], dim=1)
    assert 5 < len(theirs) < 99  # of 99 candidates, so that some were suppressed
    torch.testing.assert_close(_sorted(ours), _sorted(theirs), rtol=1e-4, atol=1e-3)


def _sorted(rows: Tensor) -> Tensor:
    return rows[rows[:, 4].argsort(descending=True)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("target", ["cat", "box2"])
def test_maps_equal_an_evaluation_in_double_precision(kind: str, target: str) -> None:
    """Each level's gradient times its activation, spread to the finest, of the sum of the logits of the boxes."""
    made = tiny(kind)
    (mine,) = explainer(made, target=target).cam(example())
    module = copy.deepcopy(made.classifier.module).double()
    levels: list[Tensor] = []
    module.pyramid.register_forward_hook(lambda layer, inputs, output: levels.append(output.requires_grad_()))
    (boxes,) = found_boxes(module.requires_grad_(False)(example().double()), made.confidence)
    chosen = (boxes[:, 5] == LABELS.index("cat")) & (boxes[:, 4] > 0) if target == "cat" else torch.arange(100) == 1
    assert chosen.sum() > 1 or target == "box2"
    score = sum(row[6 + int(row[5])] for row in boxes[chosen])
    gradients = torch.autograd.grad(score, levels, materialize_grads=True)
    maps = [(level * gradient).sum(dim=1, keepdim=True) for level, gradient in zip(levels, gradients, strict=True)]
    spread = [functional.interpolate(each, (12, 16), mode="bilinear") * each.numel() / (12 * 16) for each in maps]
    reference = sum(spread)[0, 0]
    assert (mine - reference).abs().max() <= 1e-5 * reference.abs().max() > 0


@pytest.mark.parametrize("kind", ["retinanet", "ssd"])
def test_the_map_of_a_class_is_the_sum_of_those_of_its_boxes(kind: str) -> None:
    made = tiny(kind)
    one = explainer(made)
    boxes = one(numpy_picture()).boxes
    ranks = [rank for rank, box in enumerate(boxes, start=1) if box.label == "cat"]
    total, *parts = (one.cam(example(), target=each)[0] for each in ["cat", *(f"box{rank}" for rank in ranks)])
    assert len(parts) > 2
    torch.testing.assert_close(sum(parts), total, rtol=1e-4, atol=1e-5 * float(total.abs().max()))


@pytest.mark.parametrize("kind", ["retinanet", "ssd"])
def test_all_levels_are_the_automatic_choice(kind: str) -> None:
    one = explainer(tiny(kind))
    calls = one.survey.automatic
    assert [call.label for call in calls] == ["pyramid (call 1 of 2)", "pyramid (call 2 of 2)"]
    assert one.survey.explained_calls(calls[-1]) == calls  # which `livecam layers` lists
    assert stages(one.survey).count("pyramid") == 0


@pytest.mark.parametrize("method", ["legrad", "scorecam"])
def test_methods_that_explain_no_boxes_are_not_offered(method: str) -> None:
    one = explainer(tiny("ssd"))
    assert method not in one.methods
    assert "hirescam" in one.methods
    with pytest.raises(LivecamError, match="and boxes are explained; take another method"):
        one.change(method)


def explainer(made: Tiny, **options: Any) -> Explainer:
    """Return an explainer of a torchvision detector itself."""
    return Explainer(made.model, labels=LABELS, confidence=made.confidence, **options)


def numpy_picture() -> np.ndarray:
    return (255 * picture().permute(1, 2, 0)).byte().numpy()


@pytest.mark.parametrize(
    "kind", ["fcos", *(pytest.param(kind, marks=pytest.mark.long) for kind in ("retinanet", "ssd"))]
)
def test_detectors_of_one_stage_give_in_openvino_what_they_give_in_pytorch(kind: str, tmp_path: Path) -> None:
    """Also the gradients of convolutions whose weights the network uses itself, and of group normalisation."""
    one = explainer(tiny(kind), target="dog")
    images = torch.from_numpy(numpy_picture())[None]
    given, expected = in_openvino(one, images, tmp_path), one.answer(images)
    assert agreement([given], [expected]).cosine > 0.99999
    found = expected.where[expected.where[..., 4] > 0]
    torch.testing.assert_close(given.where[given.where[..., 4] > 0], found, rtol=1e-4, atol=1e-5)


def test_a_detector_of_two_stages_is_not_compiled(caplog: pytest.LogCaptureFixture) -> None:
    one = explainer(tiny("fasterrcnn"), engine="compiled")
    with one:
        one.expect(float("inf"))
        one(numpy_picture())
    assert one.engine == "eager"
    assert "proposes more boxes for one picture than for another" in caplog.text


def test_boxes_are_places_of_the_picture_whatever_is_padded() -> None:
    """A picture twice as high as the input's shape is padded at both sides."""
    tall = np.concatenate([numpy_picture()] * 2)
    made = tiny("ssd")
    boxes = explainer(made._replace(confidence=made.confidence / 2), fit="pad")(tall).boxes
    assert boxes
    for box in boxes:
        assert 0 <= box.left <= box.right <= 1
        assert 0 <= box.top <= box.bottom <= 1


def test_a_picture_without_boxes_has_no_heat_and_says_so() -> None:
    one = Explainer(tiny("fcos").model, labels=LABELS, confidence=0.99)
    explanation = one(numpy_picture())
    assert (explanation.boxes, explanation.predictions, explanation.classes[0].has_evidence) == ((), (), False)
    classes = [one(numpy_picture(), target=target).classes[0] for target in ("top1", "dog", "box3")]
    assert [each.title for each in classes] == ["nothing found", "no dog found", "no box 3 found"]
    assert [each.index for each in classes] == [None, LABELS.index("dog"), None]
    assert described(explanation.frame, explanation)["explained"][0]["index"] is None


def test_a_rank_beyond_the_classes_that_were_found_does_not_say_that_nothing_was() -> None:
    best = explainer(tiny("fcos"))(numpy_picture()).boxes[0]
    one = Explainer(tiny("fcos").model, labels=LABELS, confidence=best.score - 1e-5)
    explained = one(numpy_picture(), target="top4").classes[0]
    assert (explained.title, explained.index, explained.boxes) == ("no other class found", None, ())


def test_nothing_at_a_point_is_said_once() -> None:
    one = Explainer(tiny("fcos").model, labels=LABELS, confidence=0.99, at="0,0")
    explanation = one(numpy_picture())
    assert explanation.classes[0].title == "nothing found at the point"
    assert "point" not in _facts(explanation, explanation.classes[0])


def test_a_file_of_predictions_has_boxes_in_pixels(tmp_path: Path) -> None:
    explanation = explainer(tiny("fcos"), target="box2")(numpy_picture())
    line = described(explanation.frame, explanation)
    second = explanation.boxes[1]
    assert line["boxes"][1]["right"] == pytest.approx(second.right * SIZE[1], abs=0.06)
    assert line["boxes"][1]["bottom"] == pytest.approx(second.bottom * SIZE[0], abs=0.06)
    (explained,) = line["explained"]
    assert (explained["index"], explained["label"], explained["boxes"]) == (second.index, second.label, [2])


def test_a_module_that_returns_boxes_and_scores_is_a_detector() -> None:
    """Its boxes are in pixels, and it has its own non-maximum suppression."""

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Conv2d(3, 4, 3, 4, 1)

        def forward(self, images: Tensor) -> dict[str, Tensor]:
            cells = self.features(images).flatten(2).mT.sigmoid()
            row = torch.tensor([[8.0, 16.0, 32.0, 48.0]])
            return {"boxes": row.expand(len(images), cells.shape[1], 4), "scores": cells}

    preprocessing = {"size": (64, 64)}
    explanation = Explainer(Own(), labels=LABELS, preprocessing=preprocessing, confidence=0.1)(numpy_picture())
    (box, *_) = explanation.boxes
    assert (box.left, box.top, box.right, box.bottom) == (0.125, 0.25, 0.5, 0.75)
    assert explanation.classes[0].has_evidence


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"target": "box2"}, "shapes detects no boxes, so there is no box2"),
        ({"confidence": 0.5}, "confidence is for boxes, and shapes detects none"),
        ({"confidence": 1.5}, "confidence is the least score of a box, between 0 and 1, not 1.5"),
    ],
)
def test_a_classifier_has_no_boxes(options: dict[str, Any], error: str) -> None:
    with pytest.raises(LivecamError, match=error):
        Explainer("shapes", **options)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"target": "box101"}, "there is no box 101: at most 100 boxes"),
        ({"method": "scorecam"}, "scorecam explains scores of classes, and boxes are explained"),
    ],
)
def test_what_detectors_cannot_explain_is_told(options: dict[str, Any], error: str) -> None:
    with pytest.raises(LivecamError, match=error):
        explainer(tiny("ssd"), **options)


def test_the_smallest_box_at_a_point_is_explained() -> None:
    made = tiny("retinanet")
    one = explainer(made)
    picture = numpy_picture()
    boxes = one(picture).boxes
    alone = min(boxes, key=lambda box: (box.right - box.left) * (box.bottom - box.top))
    x, y = (alone.left + alone.right) / 2, (alone.top + alone.bottom) / 2
    (explained,) = one.explain([picture], at=f"{100 * x:.3f}%,{100 * y:.3f}%")[0].classes
    assert (explained.boxes, explained.label) == ((alone,), alone.label)
    (expected,) = one.explain([picture], target=f"box{boxes.index(alone) + 1}")[0].classes
    np.testing.assert_allclose(explained.cam, expected.cam, atol=1e-6)
    assert one(picture).classes[0].boxes != (alone,)  # the point was for one call


def test_boxes_move_along_with_the_picture() -> None:
    flow = np.full((72, 128, 2), (-12.8, 0), np.float32)  # to where it was, a tenth of the width to the left
    motion = Motion(Frame.from_rgb(numpy_picture()), flow)
    box = Box(left=0.25, top=0.25, right=0.5, bottom=0.75, index=0, label="dog", score=1.0)
    moved = motion.moved_box(box)
    assert moved.left == pytest.approx(0.35, abs=0.01)
    assert moved.right == pytest.approx(0.6, abs=0.01)
    assert (moved.top, moved.bottom) == pytest.approx((0.25, 0.75), abs=0.01)


def test_a_carried_point_stays_on_what_it_was_set_on() -> None:
    flow = np.zeros((72, 128, 2), np.float32)
    flow[:36] = (-12.8, 0)  # the upper half moves to the right by a tenth of the width
    frames = list(NumberedSource(2).frames(None))
    motion = Motion(frames[0], flow)
    explanation = explanation_of(np.ones((2, 2), np.float32))
    for point, expected in {(0.25, 0.25): (0.35, 0.25), (0.25, 0.75): (0.25, 0.75), (0.95, 0.25): (1, 0.25)}.items():
        assert carried(replace(explanation, point=point), motion, frames[1]).point == pytest.approx(expected, abs=0.01)


def test_nothing_found_is_the_same_answer_in_every_engine() -> None:
    one = Explainer(tiny("fcos").model, labels=LABELS, confidence=0.99)
    answer = one.answer(torch.from_numpy(numpy_picture())[None])
    assert (answer.targets.tolist(), answer.best.tolist()) == ([[0]], [[0, 1, 2, 3]])
    assert not answer.best_scores.any()


def test_a_class_of_which_there_is_no_box_is_not_called_unlikely(caplog: pytest.LogCaptureFixture) -> None:
    explanation = Explainer(tiny("fcos").model, labels=LABELS, confidence=0.99, target="dog")(numpy_picture())
    assert "unlikely" not in caplog.text
    assert explanation.described(explanation.score) == "0%"


def test_a_box_at_a_point_has_the_number_of_its_class() -> None:
    one = explainer(tiny("retinanet"))
    for x in (20, 64, 100):
        explained = one(numpy_picture(), at=(x, 40)).classes[0]
        assert explained.label == LABELS[explained.index]


@pytest.mark.parametrize(("label", "left", "goes_on"), [("cat", 0.2, True), ("cat", 0.7, False), ("dog", 0.2, False)])
def test_heat_goes_on_in_the_next_frame_only_for_the_same_object(label: str, left: float, goes_on: bool) -> None:
    steady, frames = Steadiness(), list(NumberedSource(2).frames(None))
    upper, lower = (np.eye(2, dtype=np.float32)[[row]].repeat(2, 0) for row in (0, 1))
    steady(frames[0], of_box(upper, "cat", 0.2))
    heat = steady(frames[1], of_box(lower, label, left)).heatmap
    assert bool(heat[:, 0].any()) == goes_on


def of_box(cam: np.ndarray, label: str, left: float) -> Explanation:
    """Return the explanation of the most probable box."""
    index = LABELS.index(label)
    box = Box(left=left, top=0.1, right=left + 0.2, bottom=0.4, index=index, label=label, score=0.9)
    explanation = explanation_of(cam)
    one = replace(explanation.classes[0], index=-1, label=label, boxes=(box,))
    return replace(explanation, classes=(one,), boxes=(box,), detects=True)

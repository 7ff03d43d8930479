"""Models that score classes in every pixel: a class is explained over its own pixels."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from livecam import LivecamError
from livecam.models import Preprocessing
from livecam.picture.media import Region
from tests.support.dense import LABELS, NETS, SMALL, Dense, dense, made
from tests.support.tiny import pictures, tiny
from tests.support.witness import gradcam_witness

PHOTO = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8).repeat(20, 0).repeat(20, 1)


def scores_in(output: object) -> Tensor:
    """Return the scores (B, classes, H, W) that a network returns by itself or in a mapping."""
    if isinstance(output, Tensor):
        return output
    return output["out"] if "out" in output else output["logits"]  # type: ignore[operator, index, no-any-return]


def mean_over_own_pixels(output: object, index: int) -> Tensor:
    scores = scores_in(output)
    own = scores.argmax(dim=1) == index
    return torch.stack([each[index][mine].mean() for each, mine in zip(scores, own, strict=True)])


@pytest.mark.parametrize("net", NETS)
def test_maps_are_those_of_the_mean_score_over_the_own_pixels(net: str) -> None:
    model, side = made(net), 128 if net == "segformer" else 64
    inputs = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    explainer = dense(model, preprocessing=Preprocessing(size=(side, side)))
    assert explainer.layer == NETS[net][1]
    present = scores_in(model(inputs)).argmax(dim=1).flatten(1)
    index = next(index for index in range(len(LABELS)) if (present == index).any(dim=1).all())
    (target,) = explainer.survey.automatic
    assert target.grid is not None
    witness = gradcam_witness(
        model, explainer.layer, inputs, lambda output: mean_over_own_pixels(output, index), target.grid.fold
    )
    maps = explainer.cam(inputs, target=index).double()
    assert (maps - witness).abs().max() <= 1e-5 * witness.abs().max()


def test_masks_are_where_the_class_is_the_best_in_the_very_picture() -> None:
    explainer, images = dense(top=2), pictures(3)
    answer = explainer.answer(images)
    assert answer.where is not None
    assert answer.where.flatten(2).any(dim=2).all()
    for number, image in enumerate(images):
        alone = explainer.answer(image[None])
        best = scores_in(explainer.classifier.module(normalised(image))).argmax(dim=1)[0]
        for rank, index in enumerate(answer.targets[number].tolist()):
            mask = answer.where[number, rank]
            assert torch.equal(mask, best == index)
            assert torch.equal(mask, alone.where[0, rank])
            assert answer.scores[number, rank] == mask.float().mean()


def normalised(image: Tensor) -> Tensor:
    mean, std = (torch.tensor(values)[:, None, None] for values in (SMALL.mean, SMALL.std))
    return ((image.permute(2, 0, 1) / 255 - mean) / std)[None]


class Painted(Dense):
    """Says what the colour of each pixel says: the red channel is the class times 50."""

    def forward(self, x: Tensor) -> Tensor:
        classes = (x[:, :1] * SMALL.std[0] + SMALL.mean[0]) * 255 / 50
        distances = (classes - torch.arange(len(LABELS), device=x.device)[:, None, None]).square()
        return super().forward(x) * 1e-3 - distances


def painted(*classes: int) -> np.ndarray:
    """Return a picture of bands of these classes, from top to bottom."""
    rows = np.repeat(np.array(classes, np.uint8) * 50, 64 // len(classes))
    return np.broadcast_to(rows[:, None, None], (64, 64, 3)).copy()


def test_the_best_class_is_the_largest_that_is_not_the_background() -> None:
    explainer = dense(Painted())
    explanation = explainer(painted(0, 0, 0, 0, 0, 3, 3, 1))
    assert [(one.label, one.score) for one in explanation.predictions[:3]] == [
        ("bird", 0.25), ("cat", 0.125), ("__background__", 0.625),
    ]  # fmt: skip
    assert explanation.label == "bird"
    assert explanation.described(explanation.score) == "25% of the picture"
    assert explanation.classes[0].mask is not None
    assert np.array_equal(explanation.classes[0].mask.any(axis=1).nonzero()[0], np.arange(40, 56))
    assert explainer(painted(0, 0)).label == "__background__", "of a picture that shows nothing else"


def test_a_class_that_is_not_in_the_picture_has_no_evidence() -> None:
    explanation = dense(Painted(), target="dog,bird")(painted(0, 3))
    dog, bird = explanation.classes
    assert explanation.described(dog.score) == "not in the picture"
    assert dog.mask is not None
    assert not dog.mask.any()
    assert not dog.cam.any()
    assert not dog.has_evidence
    assert bird.has_evidence
    assert not explanation.is_unlikely(dog)


def test_a_group_has_the_pixels_of_its_members() -> None:
    explanation = dense(Painted(), target={"pet": [1, 2]})(painted(0, 1, 2, 3))
    (pet,) = explanation.classes
    assert pet.score == 0.5
    assert pet.mask is not None
    assert np.array_equal(pet.mask.any(axis=1).nonzero()[0], np.arange(16, 48))


@pytest.mark.parametrize("method", ["hirescam", "finercam", "eigencam", "ablationcam", "scorecam"])
def test_methods_explain_what_segments(method: str) -> None:
    explanation = dense(method=method)(PHOTO)
    assert explanation.cam.shape == (8, 8)
    assert np.ptp(explanation.cam) > 0


def test_a_contrast_is_that_of_means_over_the_own_pixels() -> None:
    model, inputs = made("plain"), torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    index = int(scores_in(model(inputs)).argmax(dim=1).flatten().mode().values)
    other = (index + 1) % len(LABELS)

    def lead(output: object) -> Tensor:
        own = scores_in(output).argmax(dim=1)[0] == index
        return (scores_in(output)[0, index][own] - scores_in(output)[0, other][own]).mean()[None]

    witness = gradcam_witness(model, "encoder", inputs, lead)
    torch.testing.assert_close(dense(model, against=other, target=index).cam(inputs).double(), witness)


def test_classes_that_do_not_exclude_each_other_are_where_they_are_likely() -> None:
    explainer = dense(Dense(wrap=torch.sigmoid).eval(), target="cat,dog")
    answer = explainer.answer(pictures(1))
    with explainer.task.listening():
        logits = explainer.task.read(explainer.classifier.module(normalised(pictures(1)[0])))
    assert answer.where is not None
    assert torch.equal(answer.where, logits[:, 1:3] > 0)


def test_one_score_for_every_pixel_is_that_of_one_class() -> None:
    explanation = dense(Dense(nn.Conv2d(16, 1, 1)).eval(), labels=["road"])(PHOTO)
    (road,) = explanation.classes
    assert road.label == "road"
    assert road.mask is not None
    assert 0 < road.score == road.mask.mean() < 1


def test_features_without_a_classifier_are_not_taken_for_classes() -> None:
    with pytest.raises(LivecamError, match="from a model without its classifier"):
        dense(made("plain").encoder, labels=None)


def test_at_a_point_the_class_there_is_explained_by_its_score_in_that_pixel() -> None:
    model, inputs = made("plain"), torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    scores = scores_in(model(inputs))[0, :, 50, 20]
    best = int(scores.argmax())
    explainer = dense(model, at=(20, 50))
    witness = gradcam_witness(model, "encoder", inputs, lambda output: scores_in(output)[:, best, 50, 20])
    torch.testing.assert_close(explainer.cam(inputs).double(), witness)
    explainer.task.see(explainer.task.seen(Region(), (20.5 / 64, 50.5 / 64)))
    answer = explainer.answer(pictures(1))
    here = scores_in(model(normalised(pictures(1)[0])))[:, :, 50, 20].softmax(dim=1)
    torch.testing.assert_close(answer.best_scores, here.sort(dim=1, descending=True).values)
    assert answer.best_scores[:, :1].equal(answer.scores)
    assert answer.where is not None
    assert answer.where[0, 0, 50, 20], "the mask is that of the class at the point"


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
def test_a_point_is_that_of_the_picture_however_it_is_fitted(fit: str) -> None:
    explainer = dense(Painted().eval(), fit=fit, preprocessing=Preprocessing(size=(64, 64), resize=64))
    wide = np.repeat(painted(0, 0, 3, 0)[:, :, :1], 3, axis=2).transpose(1, 0, 2).repeat(2, axis=1)  # (64, 128, 3)
    for at in ((80, 20), "62.5%,30%"):
        explanation = explainer(wide, at=at)
        assert explanation.label == "bird"
        assert explanation.score > 0.5
        assert explanation.point == pytest.approx((0.625, 0.32), abs=0.03)
    assert explainer(wide, at=(3 if fit != "crop" else 40, 20)).label == "__background__"


def test_shares_are_those_of_the_picture_without_padding() -> None:
    explanation = dense(Painted().eval(), fit="pad", target="bird")(np.repeat(painted(0, 3), 2, axis=1))
    (bird,) = explanation.classes
    assert bird.score == 0.5
    assert bird.mask is not None
    assert bird.mask.mean() == 0.25


def test_pictures_of_other_shapes_have_points_of_their_own() -> None:
    square, wide = painted(0, 3), np.repeat(painted(0, 3), 2, axis=1)
    explained = dense(Painted().eval(), fit="pad", at="50%,75%").explain([square, wide, square])
    assert [each.label for each in explained] == ["bird"] * 3
    assert [each.classes[0].mask.mean() for each in explained] == [0.5, 0.25, 0.5]


@pytest.mark.parametrize(
    ("at", "message"),
    [
        ((64, 10), "the point 64,10 lies outside of the picture, which has 64x64 pixels"),
        ("here", "'here' is no point of the picture; give the x and y of a pixel, such as 320,240, or 50%,50%"),
        ("50%,101%", "is no point of the picture"),
        ("50%,10", "is no point of the picture"),
        ((-1, 2), "is no point of the picture"),
    ],
)
def test_a_point_that_is_none_is_refused(at: Any, message: str) -> None:
    with pytest.raises(LivecamError, match=re.escape(message)):
        dense()(painted(0, 3), at=at)


def test_a_point_means_nothing_for_a_classifier() -> None:
    with pytest.raises(LivecamError, match="Tiny says one thing of a whole picture, so a point cannot be explained"):
        tiny(at=(1, 2))


def test_perturbations_are_measured_on_the_pixels_of_the_first_pass() -> None:
    """Else a channel whose loss costs the class its pixels would count for nothing."""
    model, inputs = made("plain"), torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    whole = scores_in(model(inputs))
    index = int(whole.argmax(dim=1).flatten().mode().values)
    own = whole.argmax(dim=1)[0] == index
    with torch.no_grad():
        features = model.encoder(inputs)
        weights = []
        for channel in range(features.shape[1]):
            dropped = features.clone()
            dropped[:, channel] = 0
            scores = functional.interpolate(model.head(dropped), (64, 64), mode="bilinear")
            weights.append(
                (whole[0, index][own].mean() - scores[0, index][own].mean()) / whole[0, index][own].mean().abs()
            )
        expected = (torch.stack(weights)[:, None, None] * features[0]).sum(dim=0)
    cam = dense(model, method="ablationcam", target=index).cam(inputs)[0]
    torch.testing.assert_close(cam, expected, rtol=1e-4, atol=1e-6)


def test_a_function_has_no_point() -> None:
    explainer = dense(at="10,10")
    function = {"mean": lambda output: scores_in(output)[:, 1].mean(dim=(1, 2))}
    assert explainer(PHOTO, target=function).point is None
    with pytest.raises(LivecamError, match="a point cannot be explained"):
        explainer(PHOTO, target=function, at="10,10")


def test_an_answer_is_for_the_own_point_of_the_explainer() -> None:
    explainer, images = dense(), torch.full((1, 64, 64, 3), 90, dtype=torch.uint8)
    before = explainer.answer(images).scores
    explainer(PHOTO, at="10,10")
    assert torch.equal(explainer.answer(images).scores, before)


def test_maps_that_nobody_calls_scores_are_told(caplog: pytest.LogCaptureFixture) -> None:
    dense(labels=None)
    assert "what Dense returns for every pixel is taken for the scores of 5 classes" in caplog.text

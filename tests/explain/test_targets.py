"""Which classes are explained: by number, name, rank, several at once, one against another, and what speaks against."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result

from livecam import Explainer, LivecamError
from livecam.scene import SHAPES, Scene
from tests.support.clips import facts_of

PHOTO = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8).repeat(20, 0).repeat(20, 1)


@pytest.fixture(scope="module")
def resnet() -> Explainer:
    return Explainer("resnet18", weights="none", preprocessing={"size": (96, 96)})


def asking(resnet: Explainer, **asked: Any) -> Explainer:
    """The same model, asked for something else."""
    known = resnet.classifier
    return Explainer(known.module, labels=known.labels, preprocessing=known.preprocessing, **asked)


def test_classes_by_number_name_beginning_and_rank(resnet: Explainer) -> None:
    best = [prediction.index for prediction in resnet(PHOTO).predictions]
    for target, expected in {
        281: [281],
        "281": [281],
        "TABBY": [281],
        "tabby, vizsl,285": [281, 211, 285],  # exact, by its beginning, by number
        "top1": best[:1],
        "top3,top1": [best[2], best[0]],
        ("tabby", "top2", 7): [281, best[1], 7],
        np.int64(3): [3],
    }.items():
        explanation = resnet(PHOTO, target=target)
        assert [one.index for one in explanation.classes] == expected
        assert explanation.index == expected[0]
    assert [one.index for one in asking(resnet, target=("tabby", 7))(PHOTO).classes] == [281, 7]
    assert [one.index for one in asking(resnet, top=3)(PHOTO).classes] == best[:3]
    assert [one.label for one in asking(resnet, top=1000)(PHOTO).classes].count("tabby") == 1


def test_each_of_ten_maps_is_the_one_of_its_own_run(resnet: Explainer) -> None:
    together = asking(resnet, top=10).explain([PHOTO, PHOTO[:, ::-1]])
    for explanation, picture in zip(together, [PHOTO, PHOTO[:, ::-1]], strict=True):
        assert len(explanation.classes) == 10
        for one in explanation.classes:
            alone = resnet(picture, target=one.index)
            np.testing.assert_allclose(one.cam, alone.cam, rtol=1e-5, atol=1e-6 * np.abs(alone.cam).max())
            assert one.score == pytest.approx(alone.score, rel=1e-5)


BAD: dict[str, tuple[dict[str, object], str]] = {
    "number out of range": ({"target": 1000}, "has the classes 0 to 999, not 1000"),
    "negative number": ({"target": "-1"}, "has the classes 0 to 999, not -1"),
    "rank out of range": ({"target": "top1001"}, "no top1001"),
    "rank 0": ({"target": "top0"}, "no class 'top0'"),
    "empty": ({"target": ""}, "target is empty"),
    "empty part": ({"target": "tabby,,tench"}, "target is empty"),
    "empty sequence": ({"target": ()}, "target is empty"),
    "top 0": ({"top": 0}, "from 1 to 99999, not 0"),
    "top beyond all": ({"top": 10**20}, "from 1 to 99999, not 1000"),
    "target and top": ({"target": 1, "top": 2}, "exclude each other"),
    "against itself": ({"target": "tabby", "against": 281}, "tabby cannot be contrasted with itself"),
    "no number": ({"target": 1.5}, "a class number or a name, not 1.5"),
    "against nobody": ({"against": "taby"}, "did you mean tabby"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_does_not_fit_is_told(resnet: Explainer, what: str) -> None:
    asked, expected = BAD[what]
    with pytest.raises(LivecamError) as caught:
        asking(resnet, **asked)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_speaks_against_is_the_other_side_of_the_map(resnet: Explainer) -> None:
    positive, negative = asking(resnet, target=3)(PHOTO), asking(resnet, target=3, negative=True)(PHOTO)
    np.testing.assert_allclose(negative.cam, -positive.cam, rtol=1e-4, atol=1e-9)
    assert not (positive.heatmap * negative.heatmap).any()
    for_class, against_class = Explainer("shapes", target=3), Explainer("shapes", target=3, negative=True)
    for method in ("layercam", "gradcam++", "scorecam", "ablationcam"):
        for_class.change(method)
        against_class.change(method)
        assert not np.array_equal(against_class(PHOTO).cam, for_class(PHOTO).cam)


def test_titles_say_what_the_map_shows() -> None:
    for asked, title in (
        ({"target": "star"}, "star"),
        ({"target": "star", "negative": True}, "against star"),
        ({"target": "star", "against": "moon"}, "star rather than moon"),
        ({"target": "star", "against": "moon", "negative": True}, "against star rather than moon"),
    ):
        one = Explainer("shapes", **asked)(PHOTO).classes[0]  # type: ignore[arg-type]
        assert (one.title, one.label) == (title, "star")
    assert Explainer("shapes", method="eigencam")(PHOTO).classes[0].title.startswith("eigencam; ")


@pytest.mark.parametrize(("view", "told"), [("overlay", True), ("panels", True), ("classes", False), ("tints", False)])
def test_a_view_of_one_class_says_that_there_are_more(livecam: Callable[..., Result], view: str, told: bool) -> None:
    result = livecam("annotate", "demo:?size=64x48&seconds=0.1", "-o", "null:", "--top", 2, "--view", view)
    assert result.exit_code == 0
    assert ("shows only the first class; classes and tints show all" in result.output) == told


def two_shapes(seed: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """A picture, its two shapes' masks, and their names."""
    labels = [str(name) for name in np.random.default_rng(seed).permutation(SHAPES)[:2]]
    scene = Scene(seed=10_000_000 + seed, shapes=tuple(labels), width=640, height=360)
    return scene.render(3.0), scene.masks(3.0), labels


def peaks_on(peak: tuple[float, float] | None, mask: np.ndarray) -> bool:
    height, width = mask.shape
    return peak is not None and bool(mask[int(peak[1] * height), int(peak[0] * width)])


def test_a_contrast_moves_the_peak_off_the_other_shape() -> None:
    """What speaks for one shape rather than the other never lies on the other, also where the first is not there."""
    rather_than = cache(lambda against: Explainer("shapes", against=against))
    on_own, on_other = [], []
    for seed in range(20):
        picture, masks, (first, second) = two_shapes(seed)
        for target, against, own, other in ((first, second, *masks), (second, first, *masks[::-1])):
            contrast = rather_than(against)(picture, target=target)
            on_own.append(peaks_on(contrast.peak, own))
            on_other.append(peaks_on(contrast.peak, other))
    assert np.mean(on_own) >= 0.9
    assert not any(on_other)


def test_two_classes_each_on_its_own_shape(livecam: Callable[..., Result], tmp_path: Path) -> None:
    """The tiles of --view classes, as they are in the file, are hot where each class's shape is."""
    uri, output, predictions = "demo:?size=640x360&seconds=1&seed=4", tmp_path / "out.mkv", tmp_path / "p.jsonl"
    scene = Scene(seed=4, width=640, height=360)
    labels = [shape.label for shape in scene.truth(0.5)]
    assert len(labels) == 2
    result = livecam(
        "annotate", uri, "-o", output, "--target", ",".join(labels), "--view", "classes", "--predictions", predictions
    )
    assert result.exit_code == 0, result.output
    facts = facts_of(output)
    assert facts.size == (1280, 360)
    lines = [json.loads(line) for line in predictions.read_text().splitlines()]
    assert [one["label"] for one in lines[0]["explained"]] == labels
    picture, masks = facts.pictures[15].astype(int), scene.masks(0.5)
    redness = picture[:, :, 0] - picture[:, :, 2]
    first_is_hotter = redness[:, :640] - redness[:, 640:]  # the frame beneath is the same
    assert masks[0].ravel()[first_is_hotter.argmax()]
    assert masks[1].ravel()[first_is_hotter.argmin()]


def test_cam_takes_one_target_for_all_or_one_for_each(resnet: Explainer) -> None:
    batch = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    for wrong in (batch[0], batch[:, :1], batch.numpy(), batch.to(torch.uint8)):
        with pytest.raises(LivecamError, match=r"inputs are a float tensor \(B, 3, height, width\)"):
            resnet.cam(wrong)  # type: ignore[arg-type]
    each = resnet.cam(batch, target=[5, "tabby", "top1"])
    torch.testing.assert_close(each[0], resnet.cam(batch, target=5)[0])
    torch.testing.assert_close(each[1], resnet.cam(batch, target="tabby")[1])
    torch.testing.assert_close(each[2], resnet.cam(batch)[2])
    best = asking(resnet).classifier.module.eval()(batch).argmax(dim=1)
    torch.testing.assert_close(resnet.cam(batch, target=best), resnet.cam(batch))
    torch.testing.assert_close(resnet.cam(batch, target=np.array([5, 5, 5])), resnet.cam(batch, target=5))
    with pytest.raises(LivecamError, match="targets for 0 pictures"):
        resnet.cam(batch[:0])


def test_what_is_refused_to_an_explainer_is_refused_to_a_call() -> None:
    with pytest.raises(LivecamError, match="does not explain a class"):
        Explainer("shapes", method="eigencam")(PHOTO, target=3)
    with pytest.raises(LivecamError, match="contrasted with itself"):
        Explainer("shapes", against="circle")(PHOTO, target="circle")

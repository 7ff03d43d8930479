"""Steady heatmaps: they jump only if the picture does, and show only what the model said."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import Result

from livecam import Explainer, Explanation, annotate
from livecam.explain.heat import HeatOptions, Steadiness
from livecam.explain.motion import Carrier
from livecam.explanation import ClassMap
from livecam.picture.frame import Frame
from livecam.scene import Scene
from tests.explain.test_every import HEIGHT, WIDTH, centre_of, frame_of, moved
from tests.support.clips import facts_of
from tests.support.explanations import explanation_of

Livecam = Callable[..., Result]
COLUMNS, ROWS = 10, 8
X, Y = np.meshgrid(np.arange(COLUMNS), np.arange(ROWS))
EXACT: dict[str, Any] = {"engine": "eager", "precision": "fp32"}
EXACTLY = ("--engine", "eager", "--precision", "fp32", "--batch", 1)
DEMO = "demo:?size=320x180&fps=10&seconds=1&seed=12"


def spot(x: float, y: float) -> np.ndarray:
    """Evidence around a cell."""
    return np.exp(-((X - x) ** 2 + (Y - y) ** 2) / 3).astype(np.float32)


LEFT, RIGHT, TOP = spot(2, 5), spot(7, 5), spot(5, 1)


def still(pts: Iterable[int]) -> list[Frame]:
    """Frames of one picture at these tenths of a second."""
    return [frame_of(moved(0, 0), index, pts=each) for index, each in enumerate(pts)]


def shown(cams: Sequence[np.ndarray], frames: Sequence[Frame] | None = None, **options: object) -> list[Explanation]:
    """For a map of each frame, by default of a picture that stands still at 10 frames a second."""
    steady = Steadiness(HeatOptions(**options))  # type: ignore[arg-type]
    frames = frames or still(range(len(cams)))
    return [steady(frame, explanation_of(cam.astype(np.float32))) for frame, cam in zip(frames, cams, strict=True)]


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.vdot(one, other) / (np.linalg.norm(one) * np.linalg.norm(other)))


@pytest.mark.parametrize("unit", [1e-6, 1, 1e6])
def test_what_speaks_for_a_class_far_less_than_the_picture_speaks_against_it_is_dark(unit: float) -> None:
    cam = unit * np.where(LEFT > 0.5, 0.5 * LEFT, -4)
    assert explanation_of(cam).heatmap.max() == 1
    (only,) = shown([cam])
    assert 0 < only.heatmap.max() < 0.15
    np.testing.assert_array_equal(only.cam, cam.astype(np.float32))


def test_a_scene_without_shapes_is_dark_where_a_frame_by_itself_glows() -> None:
    explainer, steady = Explainer("shapes", **EXACT), Steadiness()
    for number in range(5):
        frame = Frame.from_rgb(Scene(4, 0, 640, 360).render(7.6 + number / 30))
        bare = explainer(frame)
        told = steady(frame, bare)
        assert bare.heatmap.max() == 1
        assert told.heatmap.max() < 0.4
        assert told.heatmap.mean() <= 0.005


def test_full_heat_is_the_strongest_of_late_in_any_class() -> None:
    steady = Steadiness()
    first, second = still(range(2))
    both = steady(first, explanation_of(4 * LEFT, RIGHT))
    assert [one.heatmap.max() for one in both.classes] == [1, 0.25]
    assert steady(second, explanation_of(8 * LEFT, RIGHT)).heatmap.max() == pytest.approx(1)  # up at once


@pytest.mark.parametrize("tenths", [1, 2, 4])
def test_the_scale_goes_down_by_time_and_not_by_frames(tenths: int) -> None:
    times = range(0, 21, tenths)
    told = shown([LEFT, *[LEFT / 10] * (len(times) - 1)], still(times))
    assert told[1].heatmap.max() < 0.15
    assert told[-1].heatmap.max() == pytest.approx(2 / 10, rel=0.15)  # half of the scale is left after two seconds


def test_frames_without_times_go_by_when_they_arrived() -> None:
    frames = still(range(2))
    for frame, captured_seconds in zip(frames, (100.0, 102.0), strict=True):
        frame.picture.pts = None
        object.__setattr__(frame, "captured_seconds", captured_seconds)
    assert shown([LEFT, LEFT / 10], frames)[1].heatmap.max() == pytest.approx(2 / 10, rel=0.05)


def test_noise_is_smoothed_away_and_the_map_keeps_its_shape() -> None:
    rng = np.random.default_rng(0)
    cams = [LEFT + RIGHT + rng.normal(0, 0.1, LEFT.shape) for _ in range(30)]
    bare, steady = [explanation_of(cam) for cam in cams], shown(cams)

    def flicker(told: list[Explanation]) -> float:
        return float(np.mean([np.abs(now.heatmap - before.heatmap).mean() for before, now in pairwise(told)]))

    assert flicker(steady) < 0.5 * flicker(bare)
    assert all(cosine(one.heatmap, own.heatmap) > 0.95 for one, own in zip(steady, bare, strict=True))


@pytest.mark.parametrize("after", [RIGHT, 0.5 * LEFT, LEFT + RIGHT], ids=["elsewhere", "weaker", "more"])
def test_a_sudden_change_is_shown_at_once(after: np.ndarray) -> None:
    told = shown([LEFT] * 8 + [after] * 2)
    for late in told[8:]:
        assert cosine(late.heatmap, after) > 0.95
        assert np.linalg.norm(late.heatmap) == pytest.approx(np.linalg.norm(after), rel=0.35)


def test_what_goes_out_is_dark_at_once() -> None:
    assert not shown([LEFT] * 5 + [-LEFT])[-1].heatmap.any()


def test_nothing_is_kept_across_a_cut_but_the_scale() -> None:
    scenes = [cv2.cvtColor(Scene(seed, width=WIDTH, height=HEIGHT).render(3), cv2.COLOR_RGB2GRAY) for seed in (1, 12)]
    frames = [frame_of(scenes[index >= 3], index) for index in range(4)]
    alike = LEFT + 0.1 * RIGHT
    told = shown([LEFT] * 3 + [alike], frames, scale=2.0)
    np.testing.assert_allclose(told[-1].heatmap, alike / 2, atol=1e-6)
    assert shown([LEFT] * 3 + [alike / 4], frames)[-1].heatmap.max() < 0.3


def test_the_past_moves_along_with_the_picture() -> None:
    """A spot that goes half a cell a frame on what goes as far: without flow its trail would be seen."""
    frames = [frame_of(moved(16 * n, 0), n) for n in range(7)]
    cams = [spot(2 + n / 2, 4) for n in range(7)]
    told = shown(cams, frames)
    for one, cam in zip(told, cams, strict=True):
        assert centre_of(one.heatmap, one.region) == pytest.approx(centre_of(cam, one.region), abs=0.2 / COLUMNS)
        assert one.peak == pytest.approx(explanation_of(cam).peak, abs=1.01 / COLUMNS)


def test_what_was_asked_of_the_heat_still_counts() -> None:
    (told,) = shown([LEFT], threshold=0.5, scale=4.0)
    assert told.classes[0].cutoff == 2.0
    assert not told.heatmap.any()
    (blurred,) = shown([LEFT], smooth=1.0)
    assert (blurred.heatmap > 0.5).sum() > (LEFT > 0.5).sum()


def of_best(cat: float, dog: float, bird: float = 0.01, *, count: int = 1) -> Explanation:
    """The best so many of three classes with these scores, the next best as a runner-up."""
    told = explanation_of(LEFT, RIGHT, TOP)
    scored = [dataclasses.replace(one, score=s) for one, s in zip(told.classes, (cat, dog, bird), strict=True)]
    best = sorted(scored, key=lambda one: -one.score)
    return dataclasses.replace(told, classes=tuple(best[:count]), runner_up=best[count])


def named(told: Explanation) -> list[str]:
    return [one.label for one in told.classes]


def test_of_two_nearly_equal_classes_the_one_shown_stays_with_its_own_map() -> None:
    steady = Steadiness()
    for index, frame in enumerate(still(range(8))):
        own = of_best(0.50, 0.49) if index % 2 == 0 else of_best(0.44, 0.50)
        told = steady(frame, own)
        assert named(told) == ["cat"]
        assert told.score == (0.50 if index % 2 == 0 else 0.44)
        np.testing.assert_array_equal(told.cam, LEFT)
        assert cosine(told.heatmap, LEFT) > 0.99
        assert told.runner_up is None


def test_a_clearly_better_class_is_shown_at_once() -> None:
    steady, frames = Steadiness(), still(range(3))
    assert named(steady(frames[0], of_best(0.50, 0.49))) == ["cat"]
    better = steady(frames[1], of_best(0.3, 0.6))
    assert named(better) == ["dog"]
    np.testing.assert_allclose(better.heatmap, RIGHT)
    assert named(steady(frames[2], of_best(0.01, 0.02, 0.5))) == ["bird"]


def test_of_numbers_below_zero_the_clearly_larger_one_is_shown() -> None:
    steady, frames = Steadiness(), still(range(3))
    assert named(steady(frames[0], of_best(-2.0, -2.1, -9.0))) == ["cat"]
    assert named(steady(frames[1], of_best(-2.1, -2.0, -9.0))) == ["cat"]
    assert named(steady(frames[2], of_best(-2.1, -1.0, -9.0))) == ["dog"]


def test_several_classes_keep_their_places() -> None:
    steady, frames = Steadiness(), still(range(4))
    assert named(steady(frames[0], of_best(0.40, 0.30, 0.25, count=2))) == ["cat", "dog"]
    assert named(steady(frames[1], of_best(0.30, 0.31, 0.33, count=2))) == ["cat", "dog"]
    assert named(steady(frames[2], of_best(0.30, 0.25, 0.36, count=2))) == ["cat", "bird"]
    assert named(steady(frames[3], of_best(0.20, 0.10, 0.50, count=2))) == ["bird", "cat"]


def test_the_background_of_a_picture_takes_no_place_although_it_is_larger() -> None:
    """A model that segments ranks it last, and its share of the picture is the score."""
    steady, frames = Steadiness(), still(range(3))
    cat, ground = (dataclasses.replace(explanation_of(LEFT).classes[0], index=each) for each in (0, 9))

    def seen(best: ClassMap, next_best: ClassMap) -> Explanation:
        return dataclasses.replace(explanation_of(LEFT), classes=(best,), runner_up=next_best)

    cat, ground = dataclasses.replace(cat, score=0.1), dataclasses.replace(ground, score=0.9)
    assert steady(frames[0], seen(cat, ground)).index == 0
    assert steady(frames[1], seen(ground, dataclasses.replace(cat, score=0.0))).index == 9
    assert steady(frames[2], seen(cat, ground)).index == 0


def test_without_a_runner_up_the_classes_are_those_asked_for() -> None:
    steady = Steadiness()
    for frame, label in zip(still(range(4)), ("cat", "dog", "cat", "dog"), strict=True):
        told = steady(frame, explanation_of(LEFT, labels=[label]))
        assert named(told) == [label]


@pytest.mark.parametrize(
    ("options", "classes", "is_there"),
    [
        ({}, 1, True),
        ({"top": 3}, 3, True),
        ({"top": 8}, 8, False),  # there are no more
        ({"target": "star"}, 1, False),
        ({"target": "star,top1"}, 2, False),
        ({"method": "eigencam"}, 1, False),
    ],
)
def test_an_explainer_adds_the_next_best_class(options: dict[str, object], classes: int, is_there: bool) -> None:
    picture = Scene(12, 2, 320, 180).render(3)
    explainer = Explainer("shapes", **EXACT, runner_up=True, **options)  # type: ignore[arg-type]
    told = explainer(picture)
    assert len(told.classes) == classes == explainer.explained_classes
    assert (told.runner_up is not None) == is_there
    if told.runner_up is not None:
        best = told.predictions[classes]
        assert (told.runner_up.index, told.runner_up.score) == (best.index, best.score)
        alone = explainer(picture, target=best.index)
        np.testing.assert_allclose(told.runner_up.cam, alone.cam, rtol=1e-4, atol=1e-6)
        assert alone.runner_up is None


def test_heat_is_made_once() -> None:
    """Maps without heat become as steady as those that had their own."""
    frames = [Frame.from_rgb(Scene(12, 2, 320, 180).render(second)) for second in (3, 3.1)]
    explainer = Explainer("shapes", **EXACT)
    bare, own = explainer.explain(frames, heat=False), explainer.explain(frames)
    assert not any(told.heatmap.any() for told in bare)
    steady = [
        [make(frame, told) for frame, told in zip(frames, each, strict=True)]
        for each, make in ((bare, Steadiness()), (own, Steadiness()))
    ]
    for without, with_own in zip(*steady, strict=True):
        assert without.heatmap.max() > 0
        np.testing.assert_allclose(without.heatmap, with_own.heatmap, atol=1e-6)


def test_maps_that_are_carried_along_stay_as_steady() -> None:
    frames = still(range(6))
    carried = Carrier(3).explanations(frames, lambda due: [of_best(0.5, 0.4)] * len(due))
    steady = Steadiness()
    for frame, told in zip(frames, carried, strict=True):
        again = steady(frame, told)
        assert again.age_frames == told.age_frames
        assert named(again) == ["cat"]
        np.testing.assert_allclose(again.heatmap, LEFT, atol=1e-5)


def test_the_runner_up_is_carried_along_as_well() -> None:
    frames = [frame_of(moved(16 * n, 0), n) for n in range(2)]
    first, second = Carrier(2).explanations(frames, lambda due: [of_best(0.5, 0.4)] * len(due))
    assert first.runner_up is not None and second.runner_up is not None
    before, after = (centre_of(told.runner_up.heatmap, told.region) for told in (first, second))
    assert after == pytest.approx((before[0] + 16 / WIDTH, before[1]), abs=0.02)


def apart(pictures: list[np.ndarray], others: list[np.ndarray]) -> float:
    """How many levels on average."""
    return float(np.abs(np.stack(pictures).astype(int) - np.stack(others)).mean())


def run(livecam: Livecam, folder: Path, *options: object) -> tuple[list[dict], np.ndarray, list[np.ndarray]]:
    """Predictions, maps and pictures of a run over the demo."""
    records = ("--predictions", folder / "p.jsonl", "--save-map", folder / "maps.npy", "--overwrite")
    result = livecam("annotate", DEMO, "-o", folder / "out.mkv", *EXACTLY, *records, *options)
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in (folder / "p.jsonl").read_text().splitlines()]
    return lines, np.load(folder / "maps.npy"), facts_of(folder / "out.mkv").pictures


def test_the_command_line_shows_videos_steadily_unless_told_not_to(livecam: Livecam, tmp_path: Path) -> None:
    by_default, steady, bare = (
        run(livecam, tmp_path, "--no-caption", *each) for each in ((), ("--steady", "on"), ("--steady", "off"))
    )
    # Not to the bit: sums over several threads differ in their last digit, and an encoder makes more of that.
    assert apart(by_default[2], steady[2]) < apart(by_default[2], bare[2]) / 4
    for one, own, cam, own_cam in zip(steady[0], bare[0], steady[1], bare[1], strict=True):
        assert len(one["explained"]) == 1
        assert one["classes"] == own["classes"]  # the model's best, whichever is shown
        if one["explained"][0]["label"] == own["explained"][0]["label"]:
            np.testing.assert_allclose(cam, own_cam, atol=1e-5)
            assert one["explained"][0]["score"] == pytest.approx(own["explained"][0]["score"], abs=1e-4)


@pytest.mark.parametrize("options", [("--every", 3), ("--top", 2, "--view", "tints"), ("--negative",)], ids=str)
def test_it_goes_with_the_other_options(livecam: Livecam, tmp_path: Path, options: tuple[object, ...]) -> None:
    lines, maps, pictures = run(livecam, tmp_path, *options, "--threshold", "auto", "--smooth", 0.5)
    assert len(lines) == len(maps) == len(pictures) == 10
    assert maps.min() < 0 < maps.max()


def test_pictures_are_shown_by_themselves(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(3):
        cv2.imwrite(str(folder / f"{number}.png"), Scene(12, 2, 160, 90).render(number / 30))
    for steady in (True, False):
        annotate(folder, tmp_path / str(steady), Explainer("shapes", **EXACT), steady=steady, batch=1)
    for path in sorted((tmp_path / "True").iterdir()):
        assert path.read_bytes() == (tmp_path / "False" / path.name).read_bytes()

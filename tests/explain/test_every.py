"""Explaining every Nth frame: the maps of the frames between follow the picture, and their age is reported."""

from __future__ import annotations

import dataclasses
import gc
import json
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from click.testing import Result

from livecam import Explainer, Explanation, LivecamError, annotate
from livecam.explain.heat import Steadiness
from livecam.explain.motion import Carrier, MotionFinder
from livecam.explanation import Box
from livecam.picture.frame import Frame
from livecam.picture.media import Orientation, Region
from livecam.render import overlay
from livecam.scene import Scene
from tests.support.explanations import explanation_of

Livecam = Callable[..., Result]

WIDTH, HEIGHT = 320, 180
WHOLE = Region()
NOISE = np.random.default_rng(1).normal(0, 1, (400, 600)).astype(np.float32)
TEXTURE = sum(sigma * cv2.GaussianBlur(NOISE, (0, 0), sigma) for sigma in (3, 8, 20))  # as coarse and fine as pictures
TEXTURE = cv2.normalize(TEXTURE, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
DEMO = "demo:?size=320x180&fps=10&seconds=1&seed=12"


def frame_of(grey: np.ndarray, index: int = 0, orientation: Orientation | None = None, pts: int | None = None) -> Frame:
    """Of an upright picture, (H, W) uint8."""
    orientation = orientation or Orientation()
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(orientation.coded(grey)), format="gray")
    picture.pts, picture.time_base = index if pts is None else pts, Fraction(1, 10)
    return Frame(picture=picture, index=index, orientation=orientation)


def moved(x: int, y: int) -> np.ndarray:
    """A picture whose content lies so many pixels further right and down than that of `moved(0, 0)`."""
    return TEXTURE[100 - y : 100 - y + HEIGHT, 100 - x : 100 - x + WIDTH]


def still(count: int) -> list[Frame]:
    return [frame_of(moved(0, 0), index) for index in range(count)]


class Model:
    """In place of an explainer: a class for each spot, x, y in fractions of the upright picture, wherever that moves.

    `seen` lists the frames that it was given together.
    """

    def __init__(self, region: Region = WHOLE, spots: Sequence[tuple[float, float]] = ((0.5, 0.5), (0.4, 0.6))) -> None:
        left, top, right, bottom = self._region = region
        x, y = np.meshgrid((np.arange(10) + 0.5) / 10, (np.arange(8) + 0.5) / 8)
        x, y = left + (right - left) * x, top + (bottom - top) * y
        self._maps = [np.exp(-70 * ((x - at_x) ** 2 + (y - at_y) ** 2)).astype(np.float32) for at_x, at_y in spots]
        self.seen: list[list[int]] = []

    def __call__(self, frames: Sequence[Frame]) -> list[Explanation]:
        self.seen.append([frame.index for frame in frames])
        told = explanation_of(*(evidence - 0.1 for evidence in self._maps), region=self._region)
        return [dataclasses.replace(told, frame_index=frame.index) for frame in frames]


def centre_of(weights: np.ndarray, region: Region) -> tuple[float, float]:
    """The centre of gravity in fractions of the upright picture."""
    rows, columns = weights.shape
    y, x = (np.indices(weights.shape) + 0.5) * (weights / weights.sum())
    left, top, right, bottom = region
    return left + (right - left) * x.sum() / columns, top + (bottom - top) * y.sum() / rows


regions = pytest.mark.parametrize(
    "region", [WHOLE, Region(0.2, 0, 0.8, 1), Region(0, -0.4, 1, 1.4)], ids=["stretch", "crop", "pad"]
)


@pytest.mark.parametrize("orientation", [Orientation(), Orientation(True, True), Orientation(False, True, True)])
@regions
@pytest.mark.parametrize("step", [(8, 0), (0, -6), (-5, 4)])
def test_a_carried_map_follows_the_picture(step: tuple[int, int], region: Region, orientation: Orientation) -> None:
    frames = [frame_of(moved(step[0] * n, step[1] * n), n, orientation) for n in range(4)]
    first, *others = Carrier(4).explanations(frames, Model(region))
    for number, carried in enumerate(others, start=1):
        assert carried.region == region
        for one, before in zip(carried.classes, first.classes, strict=True):
            x, y = centre_of(before.heatmap, region)
            expected = (x + step[0] * number / WIDTH, y + step[1] * number / HEIGHT)
            assert centre_of(one.heatmap, region) == pytest.approx(expected, abs=0.015)
            assert 0 <= one.heatmap.min() <= one.heatmap.max() <= 1
            assert one.heatmap.dtype == one.cam.dtype == np.float32
            assert one.cam.min() < 0  # signed as it was


@pytest.mark.parametrize("orientation", [Orientation(), Orientation(False, True, True)])
@regions
def test_carried_masks_boxes_and_points_follow_the_picture(region: Region, orientation: Orientation) -> None:
    model = Model(region)
    left, top, right, bottom = region
    x, y = np.meshgrid((np.arange(128) + 0.5) / 128, (np.arange(96) + 0.5) / 96)
    x, y = left + (right - left) * x, top + (bottom - top) * y
    mask = (x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.15**2
    box = Box(left=0.35, top=0.4, right=0.65, bottom=0.7, index=0, label="cat", score=0.8)

    def explain(frames: Sequence[Frame]) -> list[Explanation]:
        told = model(frames)
        (one, other) = told[0].classes
        one = dataclasses.replace(one, mask=mask, boxes=(box,))
        more = {"classes": (one, other), "boxes": (box,), "detects": True, "point": (0.45, 0.55)}
        return [dataclasses.replace(each, **more) for each in told]

    frames = [frame_of(moved(7 * number, -5 * number), number, orientation) for number in range(4)]
    _, *others = Carrier(4).explanations(frames, explain)
    for number, carried in enumerate(others, start=1):
        across, down = 7 * number / WIDTH, -5 * number / HEIGHT
        one = carried.classes[0]
        assert one.mask.dtype == bool
        assert centre_of(one.mask, region) == pytest.approx((0.5 + across, 0.5 + down), abs=0.015)
        assert one.mask.sum() == pytest.approx(mask.sum(), rel=0.1)
        assert carried.boxes == one.boxes
        found = (one.boxes[0].left, one.boxes[0].top, one.boxes[0].right, one.boxes[0].bottom)
        assert found == pytest.approx((0.35 + across, 0.4 + down, 0.65 + across, 0.7 + down), abs=0.01)
        assert (one.boxes[0].label, one.boxes[0].score) == ("cat", 0.8)
        assert carried.point == pytest.approx((0.45 + across, 0.55 + down), abs=0.01)
        assert (carried.age_frames, carried.age_seconds) == (number, pytest.approx(number / 10))


@regions
def test_each_place_of_the_map_moves_as_its_own_place_in_the_picture(region: Region) -> None:
    frames = []
    for number in range(3):
        picture = moved(0, 0).copy()
        picture[60:130, 130 - 6 * number : 220 - 6 * number] = TEXTURE[300:370, 400:490]
        frames.append(frame_of(picture, number))
    model = Model(region, [(175 / WIDTH, 95 / HEIGHT), (0.3, 0.25)])
    first, _, last = Carrier(3).explanations(frames, model)
    thing, ground = (
        np.subtract(centre_of(after.heatmap, region), centre_of(before.heatmap, region))
        for before, after in zip(first.classes, last.classes, strict=True)
    )
    # The rim of the spot lies on what stands still, and the search at its fastest finds four fifths of the way.
    assert -12 / WIDTH < thing[0] < -6 / WIDTH
    assert thing[1] == pytest.approx(0, abs=0.01)
    assert ground == pytest.approx((0, 0), abs=0.005)


@pytest.mark.parametrize("size", [(1920, 360), (640, 16), (64, 8), (16, 640)])
def test_motion_is_found_in_pictures_of_any_shape(size: tuple[int, int]) -> None:
    pictures = [np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), np.uint8) for seed in range(2)]
    since, now = map(Frame.from_rgb, pictures)
    MotionFinder().motion(since, now)
    assert MotionFinder().motion(since, since) is not None


def test_a_map_of_what_stands_still_stays_as_it_is() -> None:
    first, *others = Carrier(5).explanations(still(5), Model())
    for carried in others:
        for one, before in zip(carried.classes, first.classes, strict=True):
            np.testing.assert_allclose(one.cam, before.cam, atol=1e-6)
            np.testing.assert_allclose(one.heatmap, before.heatmap, atol=1e-6)
        assert carried.predictions == first.predictions


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 10])
def test_ages_are_true_however_the_frames_come(batch: int) -> None:
    pts = [0, 1, 5, 6, 8, 9, 30, 31, 32, 40]
    frames = [frame_of(moved(0, 0), index, pts=pts[index]) for index in range(10)]
    model, carrier = Model(), Carrier(3)
    explanations: list[Explanation] = []
    for begin in range(0, 10, batch):
        explanations += carrier.explanations(frames[begin : begin + batch], model)
    assert [told.frame_index for told in explanations] == list(range(10))
    assert [told.age_frames for told in explanations] == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]
    assert [told.age_seconds for told in explanations] == pytest.approx([0, 0.1, 0.5, 0, 0.2, 0.3, 0, 0.1, 0.2, 0])
    assert sum(model.seen, []) == [0, 3, 6, 9]
    if batch == 10:
        assert model.seen == [[0, 3, 6, 9]]  # together


def test_frames_that_were_dropped_count_in_the_age() -> None:
    frames = [frame_of(moved(0, 0), index) for index in (0, 2, 5, 6, 20)]
    explanations = Carrier(3).explanations(frames, Model())
    assert [told.age_frames for told in explanations] == [0, 2, 0, 1, 0]


def test_frames_without_times_are_of_unknown_age() -> None:
    frames = still(2)
    frames[1].picture.pts = None
    assert [told.age_seconds for told in Carrier(2).explanations(frames, Model())] == [0, None]


@pytest.mark.parametrize("batch", [1, 4, 8])
def test_nothing_is_carried_across_a_cut(batch: int) -> None:
    scenes = [cv2.cvtColor(Scene(seed, width=WIDTH, height=HEIGHT).render(3), cv2.COLOR_RGB2GRAY) for seed in (1, 12)]
    frames = [frame_of(scenes[index >= 3], index) for index in range(8)]
    model, carrier = Model(), Carrier(8)
    explanations = [
        told for begin in range(0, 8, batch) for told in carrier.explanations(frames[begin : begin + batch], model)
    ]
    assert sum(model.seen, []) == [0, 3]
    assert [told.age_frames for told in explanations] == [0, 1, 2, 0, 1, 2, 3, 4]


def test_a_picture_without_contrast_is_no_cut_until_something_appears() -> None:
    rng = np.random.default_rng(0)
    dark = [rng.integers(14, 19, (HEIGHT, WIDTH)).astype(np.uint8) for _ in range(4)]
    model = Model()
    Carrier(10).explanations([frame_of(grey, index) for index, grey in enumerate([*dark, moved(0, 0)])], model)
    assert model.seen == [[0, 4]]


def test_every_frame_is_explained_as_if_there_were_no_carrier() -> None:
    told: list[Explanation] = []
    assert Carrier(1).explanations(still(3), lambda frames: told) is told


class Counted:
    """Counts the calls of a method of something else."""

    def __init__(self, whole: Any, name: str) -> None:
        self.calls = 0
        self._whole, self._name = whole, name

    def __getattr__(self, name: str) -> Any:
        self.calls += name == self._name
        return getattr(self._whole, name)


def test_whoever_follows_the_same_frames_shares_what_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The carrier needs the pairs 0-1, 0-2, 3-4, 3-5 and the steadiness each frame with the next: seven in all."""
    scaler, search = Counted(VideoReformatter(), "reformat"), Counted(cv2.DISOpticalFlow.create(), "calc")
    monkeypatch.setattr("livecam.explain.motion.VideoReformatter", lambda: scaler)
    monkeypatch.setattr("livecam.explain.motion.cv2.DISOpticalFlow.create", lambda preset: search)
    frames, finder = still(6), MotionFinder()
    steady = Steadiness(finder=finder)
    for frame, told in zip(frames, Carrier(3, finder).explanations(frames, Model()), strict=True):
        steady(frame, told)
    assert scaler.calls == len(frames)
    assert search.calls == 7


def test_what_is_found_goes_with_the_frames() -> None:
    finder = MotionFinder()
    first, second = still(2)
    assert finder.motion(first, second) is not None
    gone = [weakref.ref(first), weakref.ref(second)]
    del first, second
    gc.collect()
    assert [frame() for frame in gone] == [None, None]


def test_two_threads_may_share_a_finder() -> None:
    frames = [frame_of(moved(3 * index, index), index) for index in range(12)]
    expected = [MotionFinder().motion(frames[0], frame) for frame in frames]
    finder = MotionFinder()
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda frame: finder.motion(frames[0], frame), frames * 4))
    for motion, alone in zip(found, expected * 4, strict=True):
        assert motion is not None and alone is not None
        np.testing.assert_array_equal(motion.flow, alone.flow)


def run(livecam: Livecam, folder: Path, *options: object, source: object = DEMO) -> tuple[Result, list[dict], dict]:
    """Result, predictions and counts of a run; the maps go to maps.npy."""
    records = ("--predictions", folder / "p.jsonl", "--report", folder / "r.json", "--save-map", folder / "maps.npy")
    result = livecam("annotate", source, "-o", folder / "out.mp4", "--overwrite", *records, *options)
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in (folder / "p.jsonl").read_text().splitlines()]
    return result, lines, json.loads((folder / "r.json").read_text())["frames"]


def test_the_command_line_tells_carried_from_explained(livecam: Livecam, tmp_path: Path) -> None:
    result, whole, counts = run(livecam, tmp_path, "--target", "arrow")
    own = np.load(tmp_path / "maps.npy")
    assert (counts["explained"], counts["carried"]) == (10, 0)
    assert "carried" not in result.stderr
    assert {line["age_frames"] for line in whole} == {0}

    result, lines, counts = run(livecam, tmp_path, "--target", "arrow", "--every", 4)
    assert "10 read, 3 explained, 7 carried, 0 dropped, 10 written, verified" in result.stderr
    assert counts["read"] == 10 == counts["explained"] + counts["carried"]
    assert [line["index"] for line in lines] == list(range(10))
    assert [line["age_frames"] for line in lines] == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    assert [line["age_seconds"] for line in lines] == pytest.approx([0, 0.1, 0.2, 0.3, 0, 0.1, 0.2, 0.3, 0, 0.1])
    maps = np.load(tmp_path / "maps.npy")
    assert maps.shape == own.shape
    for index, line in enumerate(lines):
        source = whole[index - line["age_frames"]]
        for kind in ("explained", "classes"):
            assert [one["label"] for one in line[kind]] == [one["label"] for one in source[kind]]
            scores = [one["score"] for one in source[kind]]
            assert [one["score"] for one in line[kind]] == pytest.approx(scores, abs=1e-4)
        if line["age_frames"]:
            assert not np.array_equal(maps[index], maps[index - 1])
            assert np.corrcoef(maps[index].ravel(), own[index].ravel())[0, 1] > 0.8
        else:
            np.testing.assert_allclose(maps[index], own[index], atol=1e-4 * np.abs(own[index]).max())


def test_a_turned_clip_in_part_seen(livecam: Livecam, clip: Callable[..., Path], tmp_path: Path) -> None:
    source = clip("turned.mp4", frames=3, rotation=90)
    _, lines, counts = run(livecam, tmp_path, "--every", 2, "--fit", "crop", source=source)
    assert (counts["explained"], counts["carried"]) == (2, 1)
    assert [line["age_frames"] for line in lines] == [0, 1, 0]


def test_the_caption_tells_the_age_and_nothing_else_does() -> None:
    picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    own = Model()(still(1))[0]
    drawn = {}
    for age in (0, 1, 2):
        told = dataclasses.replace(own, age_frames=age)
        assert np.array_equal(overlay(picture, told), overlay(picture, own))
        drawn[age] = np.argwhere(overlay(picture, told, caption=True) != overlay(picture, own))[:, 1].max()
    assert drawn[0] < drawn[1] < drawn[2] < WIDTH / 2  # the line ends well within the picture


@pytest.mark.parametrize("every", [0, -1, 1.5, "2"])
def test_what_is_no_number_of_frames_is_refused_before_the_model_is_made(every: object) -> None:
    def explainer() -> Explainer:
        raise AssertionError("made")

    with pytest.raises(LivecamError, match="every is a number of frames from 1 on, not"):
        annotate(DEMO, "null:", explainer, every=every)  # type: ignore[arg-type]

"""The scene generator: scenes are reproducible at any time, and their ground truth agrees with the picture."""

import cv2
import numpy as np
import pytest

from livecam.scene import ACT_SECONDS, OUTLINES, SHAPES, Scene

TIMES = (0.0, 3.7, 61.2)
WIDTH, HEIGHT = 320, 180


def scene(seed: int, shapes: int | tuple[str, ...] = 2) -> Scene:
    return Scene(seed, shapes, WIDTH, HEIGHT)


def labels(scene: Scene, time_seconds: float) -> list[str]:
    return [shape.label for shape in scene.truth(time_seconds)]


def test_a_frame_is_rgb_of_the_size_asked_for() -> None:
    frame = scene(1).render(0.0)
    assert frame.shape == (HEIGHT, WIDTH, 3)
    assert frame.dtype == np.uint8


def test_a_frame_depends_on_seed_and_time_alone() -> None:
    first, second = scene(1), scene(1)
    forwards = [first.render(time) for time in TIMES]
    backwards = [second.render(time) for time in reversed(TIMES)]
    np.testing.assert_array_equal(forwards, backwards[::-1])


def test_another_seed_is_another_scene() -> None:
    assert (scene(1).render(0.0) != scene(2).render(0.0)).mean() > 0.5


def test_no_shapes_means_no_truth() -> None:
    for empty in (scene(1, 0), scene(1, ())):
        assert empty.truth(1.0) == []
        assert empty.masks(1.0).shape == (0, HEIGHT, WIDTH)


def test_given_classes_are_always_shown() -> None:
    for time in TIMES:
        assert labels(scene(3, ("star", "moon", "star")), time) == ["star", "moon", "star"]


@pytest.mark.parametrize("shapes", [1, 2, 3, len(SHAPES)])
def test_changing_classes_are_distinct_and_all_appear(shapes: int) -> None:
    casts = [labels(scene(4, shapes), time) for time in np.arange(0, 9 * ACT_SECONDS, 0.5)]
    assert all(len(set(cast)) == len(cast) for cast in casts)
    assert {label for cast in casts for label in cast} == set(SHAPES)


@pytest.mark.parametrize("label", SHAPES)
def test_a_mask_is_the_inside_of_its_outline(label: str) -> None:
    alone = scene(5, (label,))
    (shape,), (mask,) = alone.truth(2.0), alone.masks(2.0)
    inside = [
        [cv2.pointPolygonTest(shape.outline.astype(np.float32), (x, y), True) for x in range(WIDTH)]
        for y in range(HEIGHT)
    ]
    clear = np.abs(inside) > 1
    np.testing.assert_array_equal(mask[clear], (np.array(inside) > 0)[clear])


def test_the_masks_are_where_the_shapes_are_drawn() -> None:
    shown = scene(6, ("circle", "arrow"))
    changed = (shown.render(2.0) != scene(6, ()).render(2.0)).any(2)
    mask = np.asarray(shown.masks(2.0).any(0))
    assert changed[mask].mean() > 0.97
    around = cv2.dilate(mask.view(np.uint8), np.ones((21, 21))) > 0
    assert not changed[~around].any()


def test_shapes_stay_in_the_picture_and_keep_their_distance() -> None:
    for seed in range(20):
        shown = scene(seed, SHAPES[seed % 5 : seed % 5 + 3])
        outlines = [shape.outline for shape in shown.truth(7.0 * seed)]
        assert all((outline >= 0).all() and (outline < (WIDTH, HEIGHT)).all() for outline in outlines)
        for outline, mask in zip(outlines, shown.masks(7.0 * seed), strict=True):
            assert mask.sum() > 0.8 * cv2.contourArea(outline.astype(np.float32))


def test_shapes_move_without_jumps() -> None:
    shown = scene(7, ("heart", "cross"))
    frames = [np.concatenate([shape.outline for shape in shown.truth(frame / 30)]) for frame in range(300)]
    assert np.abs(np.diff(frames, axis=0)).max() < 0.01 * WIDTH


def test_a_change_of_class_is_not_a_cut() -> None:
    shown = scene(8, 2)
    areas = np.array([shown.masks(frame / 30).sum() for frame in range(int(30 * ACT_SECONDS))])
    assert np.abs(np.diff(areas)).max() < 0.2 * areas.max()
    assert areas.min() > 0


def test_a_squeezed_scene_is_the_squeezed_picture() -> None:
    squeezed = Scene(9, ("moon", "square"), 160, 160, aspect=16 / 9)
    full = Scene(9, ("moon", "square"), 1280, 720)
    picture = cv2.resize(full.render(4.0), (160, 160), interpolation=cv2.INTER_AREA)
    assert np.abs(squeezed.render(4.0).astype(float) - picture).mean() < 6
    for small, large in zip(squeezed.truth(4.0), full.truth(4.0), strict=True):
        np.testing.assert_allclose((small.outline + 0.5) / (160, 160), (large.outline + 0.5) / (1280, 720), atol=1e-9)


def test_outlines_fit_the_unit_circle() -> None:
    for outline in OUTLINES.values():
        assert np.linalg.norm(outline, axis=1).max() <= 1.0 + 1e-9

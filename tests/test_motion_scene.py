"""The scene of motions: only the shape that the truth names moves, as the class says, and only in its time."""

import cv2
import numpy as np
import pytest

from livecam.motion_scene import BACK, EVENT_SECONDS, MOTIONS, Event, MotionScene

WIDTH, HEIGHT = 320, 180
SCENE = MotionScene(5, width=WIDTH, height=HEIGHT)
EVENTS = {event.motion: event for event in map(SCENE.event, range(200))}


def outlines(time_seconds: float, scene: MotionScene = SCENE) -> list[np.ndarray]:
    return [shape.outline for shape in scene.truth(time_seconds)]


def moved(event: Event) -> tuple[np.ndarray, np.ndarray]:
    """The outline of the shape that moves, before and after."""
    assert event.mover is not None
    return outlines(event.start_seconds)[event.mover], outlines(event.end_seconds)[event.mover]


def test_a_frame_depends_on_seed_and_time_alone() -> None:
    times = (0.0, 0.7, 61.2)
    again = MotionScene(5, width=WIDTH, height=HEIGHT)
    forwards = [SCENE.render(time) for time in times]
    np.testing.assert_array_equal(forwards, [again.render(time) for time in reversed(times)][::-1])
    assert (MotionScene(6, width=WIDTH, height=HEIGHT).render(0.0) != forwards[0]).mean() > 0.5


def test_every_motion_comes_and_is_taken_back() -> None:
    assert set(EVENTS) == set(MOTIONS)
    for number in range(0, 60, 2):
        there, back = SCENE.event(number), SCENE.event(number + 1)
        assert (back.motion, back.mover) == (BACK[there.motion], there.mover)
        for before, after in zip(outlines(there.start_seconds), outlines(back.end_seconds), strict=True):
            np.testing.assert_allclose(before, after, atol=1e-9)


@pytest.mark.parametrize(
    ("motion", "direction"),
    [("moves left", (-1, 0)), ("moves right", (1, 0)), ("moves up", (0, -1)), ("moves down", (0, 1))],
)
def test_a_shape_moves_where_its_class_says(motion: str, direction: tuple[int, int]) -> None:
    before, after = moved(EVENTS[motion])
    np.testing.assert_allclose(after - before, np.broadcast_to((after - before)[0], before.shape), atol=1e-9)
    assert (after - before)[0] @ direction > 0.08 * HEIGHT
    assert (after - before)[0] @ direction[::-1] == pytest.approx(0)


def test_a_shape_grows_shrinks_and_turns_on_its_place() -> None:
    ratios = {}
    for motion in ("grows", "shrinks", "turns"):
        before, after = (outline.astype(np.float32) for outline in moved(EVENTS[motion]))
        ratios[motion] = cv2.contourArea(after) / cv2.contourArea(before)
        assert np.abs(after - before).max() > 0.03 * HEIGHT
    assert ratios["grows"] > 1.9
    assert ratios["shrinks"] < 1 / 1.9
    assert ratios["turns"] == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("motion", MOTIONS)
def test_all_else_stands(motion: str) -> None:
    event = EVENTS[motion]
    start, end = event.start_seconds, event.end_seconds
    frames = [SCENE.render(time) for time in (start - 0.4, start, (start + end) / 2, end, end + 0.4)]
    np.testing.assert_array_equal(frames[0], frames[1])
    np.testing.assert_array_equal(frames[3], frames[4])
    near = np.zeros((HEIGHT, WIDTH), np.uint8)
    if event.mover is not None:
        for time in np.linspace(start, end, 20):
            near |= SCENE.masks(time)[event.mover].view(np.uint8)
    changed = (frames[1] != frames[2]).any(2)
    assert changed.any() == (event.mover is not None)
    assert not changed[cv2.dilate(near, np.ones((21, 21))) == 0].any()


def test_a_motion_begins_a_second_after_the_last_one_ended() -> None:
    events = [SCENE.event(number) for number in range(50)]
    for number, (event, following) in enumerate(zip(events, events[1:], strict=False)):
        assert number * EVENT_SECONDS <= event.start_seconds < event.end_seconds < (number + 1) * EVENT_SECONDS
        assert following.start_seconds - event.end_seconds > 1.05


@pytest.mark.parametrize("aspect", [16 / 9, 1, 9 / 16])
def test_each_shape_stays_in_its_quarter_of_the_picture(aspect: float) -> None:
    for seed in range(5):
        scene = MotionScene(seed, width=100, height=100, aspect=aspect)
        for event in map(scene.event, range(10)):
            for time in (event.start_seconds, event.end_seconds):
                for index, outline in enumerate(outlines(time, scene)):
                    quarter = (outline + 0.5) // 50
                    assert (quarter == (index % 2, index // 2)).all()

"""The timeline: the heat of the last seconds lies below its place in the picture, now at the top."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import numpy as np
import pytest

from livecam.picture.frame import Frame
from livecam.picture.media import Orientation, Region
from livecam.render import Renderer, Style, drawn_size, overlay
from livecam.render.timeline import Past
from tests.support.explanations import explanation_of
from tests.support.frames import ROTATED, video_frame

WIDTH, HEIGHT = 160, 100
BELOW = 40
"""The height of the timeline."""


def frame_at(tenths: int, orientation: Orientation | None = None) -> Frame:
    coded = (orientation or Orientation()).swap(WIDTH, HEIGHT)
    frame = video_frame(*coded, pixel_format="yuv444p", orientation=orientation or Orientation())
    frame.picture.pts, frame.picture.time_base = tenths, Fraction(1, 10)
    return frame


def heat_at(column: int, strength: float = 1.0) -> np.ndarray:
    cam = np.zeros((4, 8), np.float32)
    cam[1, column] = strength
    return cam


def drawn(columns: list[int], orientation: Orientation | None = None, **heat: float) -> np.ndarray:
    """Return the timeline, upright, after a tenth of a second with heat in each of these columns, of 8."""
    render = Renderer("yuv444p", Style(view="timeline", caption=False))
    for tenths, column in enumerate(columns):
        frame = frame_at(tenths, orientation)
        picture = render(frame, explanation_of(heat_at(column), **heat))
    return frame.orientation.upright(picture.to_ndarray(format="rgb24"))[HEIGHT:, :WIDTH]


def hot_column(row: np.ndarray) -> int:
    return int(row[:, 0].astype(int).argmax() * 8 // WIDTH)


@pytest.mark.parametrize(
    "orientation", [Orientation(), ROTATED, Orientation(True, True, True), Orientation(False, True)]
)
def test_the_heat_of_the_last_seconds_lies_below_its_column(orientation: Orientation) -> None:
    timeline = drawn([6] * 10 + [2] * 10, orientation)
    assert timeline.shape == (BELOW, WIDTH, 3)
    assert [hot_column(timeline[row]) for row in (0, 4, 8)] == [2, 2, 2]  # the newest second is 10 rows high
    assert [hot_column(timeline[row, :130]) for row in (12, 16, 18)] == [6, 6, 6]
    assert timeline[22:, 30:130].max() < 30  # before the beginning


def test_a_frame_that_is_drawn_again_takes_its_own_place() -> None:
    past = Past()
    for tenths, column in ((0, 1), (1, 2), (1, 6)):
        past.add(frame_at(tenths), explanation_of(heat_at(column)))
    columns, _ = past.sampled()
    assert columns[0].argmax() * 8 // columns.shape[1] == 6
    assert not columns[:, columns.shape[1] * 2 // 8 + 8].any()


def test_the_past_is_forgotten_after_some_seconds_and_where_the_source_begins_again() -> None:
    past = Past()
    for tenths in (*range(200), 5):
        past.add(frame_at(tenths), explanation_of(heat_at(tenths % 8)))
        assert len(past._moments) <= 42
    assert [moment.seconds for moment in past._moments] == [0.5]


def test_bars_are_longer_where_there_is_more_heat() -> None:
    past = Past()
    for tenths, strength in enumerate([0.2] * 10 + [1.0] * 10):
        past.add(frame_at(tenths), explanation_of(heat_at(0, strength), scale=1.0))
    _, means = past.sampled()
    assert means[0] == pytest.approx(5 * means[40], rel=1e-3)


def test_heat_lies_below_the_part_of_the_picture_that_the_model_saw() -> None:
    past = Past()
    told = dataclasses.replace(explanation_of(np.ones((4, 4), np.float32)), region=Region(0.25, 0, 0.75, 1))
    past.add(frame_at(0), told)
    (columns, *_), _ = past.sampled()
    assert np.array_equal(np.nonzero(columns)[0], np.arange(len(columns) // 4, len(columns) * 3 // 4))


def test_a_picture_by_itself_has_no_past() -> None:
    picture = np.full((HEIGHT, WIDTH, 3), 80, np.uint8)
    shown = overlay(picture, explanation_of(heat_at(3)), view="timeline", caption=False)
    assert shown.shape == (HEIGHT + BELOW, WIDTH, 3)
    assert shown[HEIGHT + 3 :, 30:130].max() < 30


def test_a_timeline_is_scaled_down_with_its_picture() -> None:
    assert drawn_size(Style(view="timeline"), 1, 4096, 4000, Orientation(), 4096) == (2994, 4094)

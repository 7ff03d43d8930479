"""Captions and the colour bar: upright, inside of the picture, and large enough to be read."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest

from livecam.names import COLORMAPS, VIEWS
from livecam.picture.media import Orientation
from livecam.picture.planes import planes
from livecam.render import Renderer, Style, overlay
from livecam.render.letters import letter_size, render_line
from livecam.render.palettes import palette, tint
from tests.support.explanations import explanation_of, spot
from tests.support.frames import ROTATED, video_frame

NOTHING = np.zeros((7, 7), np.float32)
PICTURE = np.random.default_rng(1).integers(60, 200, (180, 320, 3), np.uint8)


def captioned(
    picture: np.ndarray, text: str, end: str = "", *, line: int = 0, mark: tuple[int, int, int] | None = None
) -> np.ndarray:
    """A picture with a line of white text on a box through which a third of the picture shines, in closed form.

    Before the text there may be a square in a colour.
    """
    height, width = picture.shape[:2]
    side = len(render_line("", letter_size(width, height), width))
    left = side if mark else 0
    expected = picture.astype(float)

    def write(letters: np.ndarray, x: int, rgb: tuple[int, int, int]) -> None:
        box = expected[line * side :][:side, x : x + letters.shape[1]]
        keeps = 0.35 * (1 - letters[:, :, None] / 255)
        box[:] = box * keeps + letters[:, :, None] / 255 * rgb * (1 - keeps)

    write(render_line(text, letter_size(width, height), width - left, end), left, (255, 255, 255))
    if mark:
        write(np.pad(np.full((side - 2 * (side // 5),) * 2, 255), side // 5), 0, mark)
    return expected


def is_written(drawn: np.ndarray, text: str, right: int, top: int) -> bool:
    """True if a line is found where it should end at this column and begin at this row."""
    letters = render_line(text, letter_size(drawn.shape[1], drawn.shape[0]), right)
    box = drawn[top : top + len(letters), right - letters.shape[1] : right]
    return bool((box[letters == 255] == 255).all() and (box[letters == 0] < 90).all())


def is_same(drawn: np.ndarray, expected: np.ndarray) -> bool:
    return bool(np.abs(drawn - expected).max() <= 2)


def test_the_caption_tells_the_class_its_score_and_the_age_of_the_map() -> None:
    told = explanation_of(NOTHING)
    for age, end in ((0, "  87%"), (1, "  87%  1 frame old"), (3, "  87%  3 frames old")):
        drawn = overlay(PICTURE, dataclasses.replace(told, age_frames=age), caption=True)
        assert is_same(drawn, captioned(PICTURE, "cat", end))


def test_a_score_that_is_a_number_is_captioned_with_its_unit() -> None:
    told = dataclasses.replace(explanation_of(NOTHING), unit="years")
    told = dataclasses.replace(told, classes=(dataclasses.replace(told.classes[0], score=-58.24),))
    assert is_same(overlay(PICTURE, told, caption=True), captioned(PICTURE, "cat", "  -58.2 years"))


def test_panels_are_captioned_by_what_they_are() -> None:
    told = explanation_of(spot(4, 6))
    bare = np.hsplit(overlay(PICTURE, told, view="panels", columns=3), 3)
    drawn = np.hsplit(overlay(PICTURE, told, view="panels", columns=3, caption=True), 3)
    for panel, plain, caption in zip(drawn, bare, (("original",), ("map",), ("cat", "  87%")), strict=True):
        assert is_same(panel, captioned(plain, *caption))


def test_each_tinted_class_has_a_line_with_its_colour_as_long_as_there_is_room() -> None:
    told = explanation_of(NOTHING, NOTHING, NOTHING)
    drawn = overlay(PICTURE[:50], told, view="tints", caption=True)
    expected = captioned(PICTURE[:50], "cat", "  87%", mark=tint(0))
    expected = captioned(expected, "dog", "  87%", line=1, mark=tint(1))
    assert is_same(drawn, expected)
    assert np.array_equal(overlay(PICTURE[:20], told, caption=True), PICTURE[:20])


LETTERS = letter_size(320, 180)
SIDE = len(render_line("", LETTERS, 320))
BAR = slice(180 - 5 * SIDE, 180 - SIDE)
"""The rows of the colour bar in a picture of 320x180."""


@pytest.mark.parametrize(
    ("threshold", "zero", "marked", "share"),
    [
        (0.0, "no evidence", "", 0),
        (0.25, "no evidence", "threshold 2.00", 0.25),
        (-0.25, "threshold -2.00", "no evidence", 0.2),
        ("min", "threshold -4.00", "no evidence", 1 / 3),
    ],
)
def test_the_colour_bar_says_what_full_heat_is_and_marks_the_threshold(
    threshold: float | str, zero: str, marked: str, share: float
) -> None:
    cam = np.array([[-4.0, 0.0, 1.0, 8.0]], np.float32)
    drawn = overlay(PICTURE // 4, explanation_of(cam, threshold=threshold), colorbar=True, opacity=0)
    assert is_written(drawn, "full heat 8.00", 320, BAR.start - SIDE)
    assert is_written(drawn, zero, 320, BAR.stop)
    (lines,) = np.nonzero((drawn[BAR, -SIDE:] == 255).all(axis=(1, 2)))
    if marked:
        middle = BAR.start + lines.mean()
        assert abs(middle - (BAR.stop - share * 4 * SIDE)) < 3
        assert any(is_written(drawn, marked, 320 - SIDE, top) for top in range(BAR.start, BAR.stop - SIDE + 1))
    else:
        assert not len(lines)


def test_without_evidence_full_heat_has_no_value() -> None:
    drawn = overlay(PICTURE, explanation_of(-np.ones((7, 7), np.float32)), colorbar=True)
    assert is_written(drawn, "full heat", 320, BAR.start - SIDE)


@pytest.mark.parametrize("orientation", [Orientation(), ROTATED, Orientation(False, True, True)])
@pytest.mark.parametrize("width", [426, 1280, 3840])
def test_the_caption_is_upright_top_left_and_large_enough(width: int, orientation: Orientation) -> None:
    frame = video_frame(width, width * 9 // 16, orientation=orientation)
    blank = explanation_of(NOTHING, labels=["golden retriever"])
    plain, drawn = (Renderer("yuv420p", Style(caption=caption))(frame, blank) for caption in (False, True))
    luma = [orientation.upright(planes(picture)[0]).astype(int) for picture in (plain, drawn)]
    rows, columns = np.nonzero(luma[1] != luma[0])
    height = min(frame.upright_size)
    assert rows.min() < height / 50
    assert columns.min() < height / 50
    assert rows.max() < height / 8
    bright_rows = np.nonzero((luma[1][: rows.max()] > 220).any(axis=1))[0]
    assert np.ptp(bright_rows) >= max(10, height / 40)


def test_a_label_that_is_too_long_is_shortened_to_fit() -> None:
    frame = video_frame(160, 90)
    told = explanation_of(NOTHING, labels=["a very long label " * 20])
    drawn = planes(Renderer("yuv420p", Style())(frame, told))[0]
    assert (drawn[:24, 150:] > 200).sum() < 200
    Renderer("yuv420p", Style())(video_frame(16, 16), told)


@pytest.mark.parametrize("width", [40, 90, 160])
def test_an_end_that_is_too_long_is_shortened_too(width: int) -> None:
    letters = render_line("Labrador retriever", 13, width, end="  39%, layercam at layer 3")
    assert letters.shape[1] <= width
    assert not letters[:, width - 13 // 2 :].any()  # a margin, and no letter that is cut


def test_of_a_long_line_the_end_is_kept() -> None:
    long, longer = (render_line("a very long label " * times, 13, 160, end="  87%") for times in (5, 6))
    assert long.shape[1] <= 160
    assert np.array_equal(long, longer)
    assert not np.array_equal(long[:, -34:], render_line("a very long label " * 5, 13, 160, end="  12%")[:, -34:])


@pytest.mark.parametrize("colormap", COLORMAPS)
def test_the_colour_bar_shows_the_palette_from_bottom_to_top(colormap: str) -> None:
    drawn = overlay(PICTURE, explanation_of(NOTHING), blend="uniform", colormap=colormap, colorbar=True)
    bar = drawn[BAR, -4].astype(int)
    table = palette(colormap).rgb.astype(int)
    distances = [np.abs(table - color).sum(axis=1) for color in bar]
    levels = [distance.argmin() for distance in distances if distance.min() < 9]
    assert len(levels) > 36
    assert levels[0] > 240
    assert levels[-1] < 15


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1)])
@pytest.mark.parametrize("view", VIEWS)
def test_a_picture_without_room_gets_no_text_and_no_bar(view: str, size: tuple[int, int]) -> None:
    picture = np.full((*size[::-1], 3), 90, np.uint8)
    plain, full = (
        overlay(picture, explanation_of(NOTHING), view=view, caption=on, colorbar=on) for on in (False, True)
    )
    assert np.array_equal(plain, full)


@pytest.mark.parametrize("size", [(320, 180), (1280, 720), (180, 320), (64, 48)])
@pytest.mark.parametrize("view", VIEWS)
def test_text_and_bar_keep_inside_and_can_be_read(view: str, size: tuple[int, int]) -> None:
    """Bright letters at least 9 pixels high on every panel that is captioned."""
    width, height = size
    picture = np.full((height, width, 3), 90, np.uint8)
    told = explanation_of(spot(5, 7), spot(4, 7), labels=["French bulldog", "food"])
    drawn = overlay(picture, told, view=view, columns=3, caption=True, contour=True, colorbar=True)
    bare = overlay(picture, told, view=view, columns=3, contour=True, colorbar=True)
    assert view == "timeline" or drawn.shape[0] % height == 0
    text_rows = np.nonzero((drawn != bare).any(axis=(1, 2)))[0]
    bright = np.nonzero((drawn[: text_rows.max() + 1].min(axis=2) > 150).any(axis=1))[0]
    assert np.ptp(text_rows) < (height if view == "tints" else height / 2)
    assert view == "tints" or np.ptp(bright) >= 9


def test_what_cannot_fit_is_not_measured() -> None:
    label = "".join(chr(0x4E00 + number) for number in range(10_000))  # each letter has to be made
    begin_seconds = time.process_time()
    letters = render_line(label, 30, 1280, "  87%")
    assert time.process_time() - begin_seconds < 0.3
    assert letters.shape[1] > 1280 - 2 * 30
    assert (letters == render_line(label[:100], 30, 1280, "  87%")).all()
    narrow = "il.,'| " * 60
    assert render_line(narrow, 30, 1280).shape[1] > 1280 - 30


def test_what_would_control_a_terminal_is_shown() -> None:
    assert np.array_equal(render_line("a\x1b[2J\nb", 20, 400), render_line(r"a\x1b[2J\nb", 20, 400))

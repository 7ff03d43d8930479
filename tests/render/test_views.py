"""The views: what is in each panel, where it lies, and that text and lines stay inside."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import Result

from livecam import LivecamError
from livecam.names import VIEWS
from livecam.picture.color import BT709, Color
from livecam.picture.media import Orientation, Region
from livecam.picture.planes import planes
from livecam.render import Renderer, Style, drawn_size, overlay, views
from livecam.render.canvas import Canvas
from livecam.render.layout import lay_out
from livecam.render.palettes import fading, palette, tint
from tests.support.clips import facts_of
from tests.support.explanations import explanation_of, spot
from tests.support.frames import ROTATED, rgb, video_frame

PICTURE = np.random.default_rng(1).integers(60, 200, (9, 16, 3), np.uint8).repeat(20, 0).repeat(20, 1)
HEIGHT, WIDTH = PICTURE.shape[:2]


def test_an_overlay_of_untouched_pixels_is_exact() -> None:
    told = explanation_of(spot(2, 3))
    assert np.array_equal(overlay(PICTURE, told, opacity=0), PICTURE)
    assert np.array_equal(overlay(PICTURE, told, view="side-by-side")[:, :WIDTH], PICTURE)
    assert np.array_equal(overlay(PICTURE, explanation_of(-np.ones((6, 8), np.float32))), PICTURE)


def test_a_panel_of_an_odd_size_is_not_scaled() -> None:
    odd = PICTURE[:97, :161]
    drawn = overlay(odd, explanation_of(spot(2, 3)), view="side-by-side", opacity=0)
    assert drawn.shape == (98, 324, 3)
    assert np.array_equal(drawn[:97, :161], odd)
    assert np.array_equal(drawn[:97, 162:323], odd)


def test_the_raw_view_has_a_block_for_each_cell() -> None:
    told = explanation_of(np.arange(48, dtype=np.float32).reshape(6, 8))
    drawn = overlay(PICTURE, told, view="raw", colormap="viridis")
    expected = palette("viridis").rgb[np.round(told.heatmap * 255).astype(int)]
    blocks = cv2.resize(expected, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST_EXACT)
    assert np.array_equal(drawn, blocks)


def test_the_heatmap_view_is_smooth_and_black_where_the_model_did_not_look() -> None:
    told = explanation_of(np.ones((6, 8), np.float32), region=Region(0.25, 0, 0.75, 1))
    drawn = overlay(PICTURE, told, view="heatmap")
    assert not drawn[:, : WIDTH // 4].any()
    assert (drawn[:, WIDTH // 4 : WIDTH * 3 // 4] == palette("jet").rgb[255]).all()
    steps = np.abs(np.diff(overlay(PICTURE, explanation_of(spot(2, 3)), view="heatmap").astype(int), axis=1))
    assert steps.max() < 60


def test_panels_are_the_original_the_map_and_the_overlay() -> None:
    told = explanation_of(spot(2, 3))
    drawn = overlay(PICTURE, told, view="panels", columns=3)
    assert drawn.shape == (HEIGHT, 3 * WIDTH, 3)
    assert np.array_equal(drawn[:, :WIDTH], PICTURE)
    assert np.array_equal(drawn[:, WIDTH : 2 * WIDTH], overlay(PICTURE, told, view="heatmap"))
    assert np.array_equal(drawn[:, 2 * WIDTH :], overlay(PICTURE, told))


def test_each_class_has_a_panel_in_reading_order() -> None:
    told = explanation_of(*(spot(row, row) for row in range(5)), labels=list("abcde"))
    drawn = overlay(PICTURE, told, view="classes", opacity=0.7)
    assert drawn.shape == (2 * HEIGHT, 3 * WIDTH, 3)
    for number in range(5):
        left = number * WIDTH if number < 3 else (number - 3) * WIDTH + WIDTH // 2  # the last row is centred
        panel = drawn[:HEIGHT] if number < 3 else drawn[HEIGHT:]
        panel = panel[:, left : left + WIDTH]
        alone = overlay(PICTURE, explanation_of(spot(number, number)), opacity=0.7)
        assert np.array_equal(panel, alone)
    assert not drawn[HEIGHT:, : WIDTH // 2].any()
    assert not drawn[HEIGHT:, -WIDTH // 2 :].any()


def test_tints_show_each_class_in_a_colour_of_its_own() -> None:
    told = explanation_of(spot(1, 1), spot(4, 6))
    drawn = overlay(PICTURE, told, view="tints", opacity=0.6).astype(int)
    for number, (row, column) in enumerate(((1, 1), (4, 6))):
        y, x = round((row + 0.5) * HEIGHT / 6), round((column + 0.5) * WIDTH / 8)
        to_tint = np.abs(drawn[y, x] - tint(number)).sum()
        assert to_tint < np.abs(PICTURE[y, x].astype(int) - tint(number)).sum() * 0.45
    assert np.array_equal(drawn[-1, 0], PICTURE[-1, 0])


def test_tints_show_classes_that_are_all_in_one_place() -> None:
    """By outlines, of which those drawn first are the widest."""
    for size in ((320, 180), (1280, 720)):
        picture = cv2.resize(PICTURE, size)
        drawn = overlay(picture, explanation_of(*[spot(3, 4)] * 3), view="tints")
        shown = [(drawn == tint(number)).all(axis=2).sum() for number in range(3)]
        assert min(shown) > sum(size) / 5


def test_eight_classes_have_colours_of_their_own() -> None:
    assert len({tint(number) for number in range(8)}) == 8
    assert tint(8) == tint(0)


def test_the_views_of_all_classes_are_known() -> None:
    assert {view for view in VIEWS if Style(view=view).shows_all_classes} == {"classes", "tints"}


@pytest.mark.parametrize("orientation", [Orientation(), ROTATED])
@pytest.mark.parametrize("view", VIEWS)
def test_the_size_of_a_drawn_picture_is_known_beforehand(view: str, orientation: Orientation) -> None:
    style, frame = Style(view=view), video_frame(97, 54, pixel_format="yuv444p", orientation=orientation)
    for classes, largest_side in ((1, None), (5, None), (5, 128)):
        drawn = Renderer("yuv444p", style, largest_side=largest_side)(
            frame, explanation_of(*[spot(1, 1)] * classes, labels="abcde")
        )
        assert drawn_size(style, classes, 97, 54, orientation, largest_side) == (drawn.width, drawn.height)


def test_below_a_threshold_the_picture_stays_as_it_is() -> None:
    ramp = np.tile(np.linspace(0.1, 1, 8, dtype=np.float32), (6, 1))
    plain, cut = (overlay(PICTURE, explanation_of(ramp, threshold=threshold)) for threshold in (0.0, 0.5))
    assert not np.array_equal(plain[:, : WIDTH // 3], PICTURE[:, : WIDTH // 3])
    assert np.array_equal(cut[:, : WIDTH // 3], PICTURE[:, : WIDTH // 3])
    assert not np.array_equal(cut[:, -WIDTH // 4 :], PICTURE[:, -WIDTH // 4 :])


def test_the_contour_goes_around_the_hottest_region() -> None:
    cam = np.zeros((6, 8), np.float32)
    cam[2:4, 3:5] = 1
    plain, lined = (overlay(PICTURE, explanation_of(cam), contour=contour) for contour in (False, True))
    rows, columns = np.nonzero((plain != lined).any(axis=2))
    assert 0.25 * HEIGHT < rows.min() < 0.4 * HEIGHT < 0.6 * HEIGHT < rows.max() < 0.75 * HEIGHT
    assert 0.3 * WIDTH < columns.min() < 0.42 * WIDTH < 0.58 * WIDTH < columns.max() < 0.7 * WIDTH
    assert np.array_equal(plain[HEIGHT // 2, WIDTH // 2], lined[HEIGHT // 2, WIDTH // 2])


def test_the_contour_is_a_white_line_on_a_dark_one_where_the_heat_is_half_of_full_heat() -> None:
    ramp = np.tile(np.linspace(0, 1, 9, dtype=np.float32), (6, 1))
    lined = overlay(PICTURE, explanation_of(ramp), contour=True, opacity=0)
    row = lined[HEIGHT // 2, : WIDTH - 10]
    (columns,) = np.nonzero((row != PICTURE[HEIGHT // 2, : WIDTH - 10]).any(axis=1))
    assert abs(columns.mean() - WIDTH / 2) < 3
    assert row[columns[[0, -1]]].max() == 0
    assert row[columns].min(axis=1).max() == 255
    assert np.array_equal(overlay(PICTURE, explanation_of(-ramp), contour=True), PICTURE)


def test_a_contour_ends_at_the_border_of_the_picture() -> None:
    ramp = np.tile(np.linspace(0, 1, 9, dtype=np.float32), (6, 1))
    lined = overlay(PICTURE, explanation_of(ramp), contour=True, opacity=0)
    changed = (lined != PICTURE).any(axis=2)
    assert changed[:, WIDTH // 2 - 5 : WIDTH // 2 + 5].any(axis=1).all()
    assert not changed[:, WIDTH * 3 // 4 :].any()


def test_why_there_is_no_contour_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    frame = video_frame(96, 54)
    for view, labels in (("overlay", "'cat'"), ("classes", "'dog'"), ("tints", "'dog'")):
        draw = Renderer("yuv420p", Style(view=view, contour=True))
        told = explanation_of(
            np.ones((7, 7), np.float32) * (2 if "dog" in labels else 1), np.ones((7, 7), np.float32), scale=3
        )
        for _ in range(2):
            draw(frame, told)
        (message,) = caplog.messages
        assert message.startswith(f"no contour of {labels} in frame 0: its heat stays below half of full heat")
        caplog.clear()


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv444p"])
def test_the_contour_is_at_the_same_place_in_luma_and_chroma(pixel_format: str) -> None:
    frame = video_frame(320, 180, pixel_format=pixel_format)
    cam = np.zeros((6, 8), np.float32)
    cam[2:4, 3:5] = 1
    drawn = Renderer(pixel_format, Style(contour=True, caption=False, opacity=0))(frame, explanation_of(cam))
    borders = []
    for before, after in zip(planes(frame.picture), planes(drawn), strict=True):
        rows, columns = np.nonzero(before != after)
        down, across = 180 / before.shape[0], 320 / before.shape[1]
        borders.append([rows.min() * down, rows.max() * down, columns.min() * across, columns.max() * across])
    assert np.ptp(borders, axis=0).max() <= 4


@pytest.mark.parametrize("orientation", [Orientation(), ROTATED, Orientation(False, True, True), Orientation(True)])
@pytest.mark.parametrize("view", ["side-by-side", "classes"])
def test_panels_of_a_turned_video_are_in_reading_order_when_upright(view: str, orientation: Orientation) -> None:
    frame = video_frame(96, 54, pixel_format="yuv444p", orientation=orientation)
    told = explanation_of(spot(0, 0), spot(5, 7), spot(0, 7))
    drawn = Renderer("yuv444p", Style(view=view, columns=3, caption=False, opacity=1.0))(frame, told)
    upright = orientation.upright(rgb(drawn, (1, 1))).astype(int)
    width, height = frame.upright_size
    assert upright.shape[1::-1] == ((2 if view == "side-by-side" else 3) * width, height)
    panels = [upright[:, left : left + width] for left in range(0, upright.shape[1], width)]
    if view == "side-by-side":
        source = orientation.upright(rgb(frame.picture, (1, 1))).astype(int)
        assert np.abs(panels[0] - source).mean() < 2
        panels = panels[1:]
    hot = [np.abs(panel - palette("jet").rgb[255]).sum(axis=2) for panel in panels]
    for panel, (row, column) in zip(hot, ((0, 0), (5, 7), (0, 7)), strict=False):
        y, x = np.unravel_index(panel.argmin(), panel.shape)
        assert (y > height / 2, x > width / 2) == (row > 3, column > 4)


@pytest.mark.parametrize("orientation", [Orientation(), ROTATED, Orientation(False, True, True), Orientation(True)])
def test_panels_fill_rows_of_about_the_shape_of_the_picture(orientation: Orientation) -> None:
    """Each in its place when upright; those of a last row that is not full are in its middle."""
    for panels, columns, rows, places in (
        (2, 2, 1, [(0, 0), (1, 0)]),
        (3, 2, 2, [(0, 0), (1, 0), (0.5, 1)]),
        (4, 2, 2, [(0, 0), (1, 0), (0, 1), (1, 1)]),
        (5, 3, 2, [(0, 0), (1, 0), (2, 0), (0.5, 1), (1.5, 1)]),
    ):
        layout = lay_out(panels, 96, 54, orientation)
        width, height = orientation.swap(96, 54)
        assert orientation.swap(*layout.size) == (columns * width, rows * height)
        for number, ((x, y), (column, row)) in enumerate(zip(layout.origins, places, strict=True)):
            coded = np.zeros(layout.size[::-1], np.uint8)
            coded[y : y + 54, x : x + 96] = 1
            found = np.argwhere(orientation.upright(coded))[0]
            assert found.tolist() == pytest.approx([row * height, column * width], abs=1), number


def test_many_panels_are_made_smaller_to_stay_playable() -> None:
    upright = Orientation()
    assert lay_out(1, 7680, 4321, upright, 4096).size == (7680, 4321)
    assert lay_out(3, 640, 360, upright, 4096, columns=3).size == (1920, 360)
    assert lay_out(3, 4000, 3001, upright, columns=3).size == (12000, 3002)
    for panels, width, height in ((3, 1920, 1080), (10, 1920, 1080), (10, 181, 321), (2, 3840, 2160)):
        layout = lay_out(panels, width, height, upright, 4096)
        assert max(layout.size) <= 4096
        assert layout.panel_size[0] % 2 == layout.panel_size[1] % 2 == 0
        assert layout.frame_size[0] / layout.frame_size[1] == pytest.approx(width / height, rel=0.02)
        assert len(set(layout.origins)) == panels


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_of_a_video_is_a_whole_video(
    livecam: Callable[..., Result], clip: Callable[..., Path], tmp_path: Path, view: str
) -> None:
    """Of an odd size, turned by its display matrix, with 8 classes of which most are not there."""
    source = clip("in.mp4", frames=6, size=(162, 91), pixel_format="yuv444p", rotation=90)
    output, report = tmp_path / "out.mp4", tmp_path / "r.json"
    extras = ("--contour", "--colorbar", "--threshold", "auto", "--smooth", 1, "--engine", "eager")
    result = livecam("annotate", source, "-o", output, "--view", view, "--top", 8, "--report", report, *extras)
    assert result.exit_code == 0, result.output
    before, after = facts_of(source), facts_of(output)
    assert after.times == before.times
    assert after.rotation == before.rotation
    assert json.loads(report.read_text())["verified"] is True


def test_every_view_can_be_named_on_the_command_line() -> None:
    assert tuple(views.VIEWS) == VIEWS


def test_styles_that_make_no_sense_are_refused() -> None:
    for style, message in (
        ({"view": "cube"}, "view is one of overlay"),
        ({"opacity": 1.5}, "opacity is from 0 to 1"),
        ({"columns": 0}, "columns is at least 1"),
        ({"blend": "add"}, "blend is one of evidence, uniform"),
        ({"colormap": "mud"}, "colormap is one of jet"),
    ):
        with pytest.raises(LivecamError, match=message):
            Style(**style)  # type: ignore[arg-type]


@pytest.mark.parametrize("cells", [(slice(2, 4), slice(3, 6)), (slice(0, 1), slice(7, 8))])
def test_what_cannot_be_seen_of_a_map_is_left_out_without_a_trace(
    cells: tuple[slice, slice], monkeypatch: pytest.MonkeyPatch
) -> None:
    levels = np.zeros((8, 8), np.uint8)
    levels[cells] = 255

    def drawn() -> list[np.ndarray]:
        ground = [np.full(shape, 90, np.uint8) for shape in ((64, 96), (32, 48), (32, 48))]
        planes = [np.empty_like(plane) for plane in ground]
        canvas = Canvas(ground, planes, "yuv420p", Color(BT709, False), Orientation())
        canvas.blend(levels, Region(), fading("jet", 0.5))
        canvas.settle()
        return planes

    trimmed = drawn()
    monkeypatch.setattr("livecam.render.canvas.trimmed", lambda levels, places, *_: (levels, places))
    assert all(map(np.array_equal, trimmed, drawn()))
    assert any(plane.max() != plane.min() for plane in trimmed)

"""Pictures drawn on planes, against the blend in RGB."""

from __future__ import annotations

import dataclasses
import itertools
import subprocess
import sys
from fractions import Fraction

import cv2
import numpy as np
import pytest

from livecam.explanation import Explanation
from livecam.picture.color import Color
from livecam.picture.frame import Frame
from livecam.picture.media import Orientation, Region
from livecam.picture.planes import planes
from livecam.render import Renderer, Style, overlay
from livecam.render.canvas import Canvas, Palette
from livecam.render.palettes import palette
from tests.support.explanations import explanation_of
from tests.support.frames import ROTATED, TAGS, rgb, video_frame

WHOLE = Region()


def explanation(cam: np.ndarray | None = None, region: Region = WHOLE, label: str = "cat") -> Explanation:
    if cam is None:
        cam = np.random.default_rng(3).normal(size=(7, 7)).astype(np.float32)
    return explanation_of(cam, labels=[label], region=region)


def blended_in_rgb(image: np.ndarray, heatmap: np.ndarray, opacity: float) -> np.ndarray:
    """What the tutorials do: resize, JET, weighted sum; here with the map's cubic smoothing."""
    fine = cv2.resize(heatmap, None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC).clip(0, 1)
    large = cv2.resize(fine, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR)
    colors = cv2.applyColorMap(np.round(large * 255).astype(np.uint8), cv2.COLORMAP_JET)[:, :, ::-1]
    return image * (1 - opacity) + colors * opacity


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv444p"])
@pytest.mark.parametrize("tags", TAGS)
def test_blending_planes_equals_blending_rgb(tags: str, pixel_format: str) -> None:
    frame = video_frame(pixel_format=pixel_format, tags=TAGS[tags])
    told = explanation()
    drawn = rgb(Renderer(pixel_format, Style(blend="uniform", caption=False))(frame, told), TAGS[tags]).astype(float)
    expected = blended_in_rgb(rgb(frame.picture, TAGS[tags]), told.heatmap, 0.5)
    assert np.abs(drawn - expected).mean() <= 3


def test_a_uniform_overlay_of_a_picture_is_the_blend_in_rgb() -> None:
    image = rgb(video_frame().picture, (1, 1))
    told = explanation()
    for opacity in (0.2, 0.5, 1.0):
        drawn = overlay(image, told, blend="uniform", opacity=opacity)
        difference = np.abs(drawn - blended_in_rgb(image, told.heatmap, opacity))
        assert difference.mean() < 1
        assert difference.max() <= 6  # a rounded level of the heatmap is up to five of a colour
    assert overlay(image, told, opacity=0).tolist() == image.tolist()
    assert overlay(image, told, colormap="viridis").tolist() != overlay(image, told).tolist()


def test_in_a_uniform_blend_faint_evidence_is_faintly_drawn() -> None:
    """Below half of full heat the opacity falls with the peak, so that the colours do not come and go all at once."""
    image = rgb(video_frame().picture, (1, 1))
    told = explanation()
    for peak, opacity in ((0.5, 0.6), (0.25, 0.3), (0.1, 0.12)):
        faint = dataclasses.replace(told.classes[0], heatmap=told.heatmap * np.float32(peak))
        drawn = overlay(image, dataclasses.replace(told, classes=(faint,)), blend="uniform", opacity=0.6)
        assert np.abs(drawn - blended_in_rgb(image, faint.heatmap, opacity)).mean() < 1


def flat(heat: float) -> Explanation:
    """The heat is the same everywhere."""
    told = explanation(np.ones((7, 7), np.float32))
    one = dataclasses.replace(told.classes[0], heatmap=np.full((7, 7), heat, np.float32))
    return dataclasses.replace(told, classes=(one,))


def test_a_blend_by_evidence_is_the_more_opaque_the_hotter() -> None:
    """From exactly nothing to the opacity that was asked for, and never less opaque where it is hotter."""
    black, white = np.zeros((54, 96, 3), np.uint8), np.full((54, 96, 3), 255, np.uint8)
    shares = []
    for heat in np.linspace(0, 1, 52):
        # White stays by as much above black as is kept of the picture.
        below, above = (overlay(ground, flat(heat), opacity=0.6)[27, 48].astype(int) for ground in (black, white))
        shares.append(1 - (above - below).mean() / 255)
    assert shares[0] == 0
    assert shares[-1] == pytest.approx(0.6, abs=0.01)
    assert np.diff(shares).min() > -0.005
    assert max(shares[:6]) < 0.03  # a tenth of full heat tints nothing
    assert min(shares[40:]) > 0.59  # strong heat is as vivid as in a uniform blend


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv444p", "gbrp"])
def test_where_there_is_no_heat_a_blend_by_evidence_leaves_the_pixels_of_the_frame(pixel_format: str) -> None:
    left_half = np.zeros((8, 8), np.float32)
    left_half[:, :4] = 1
    frame = video_frame(pixel_format=pixel_format)
    drawn = Renderer(pixel_format, Style(caption=False))(frame, explanation(left_half))
    for before, after in zip(planes(frame.picture), planes(drawn), strict=True):
        width = before.shape[1]
        assert np.array_equal(after[:, width * 3 // 4 :], before[:, width * 3 // 4 :])
        assert not np.array_equal(after[:, : width // 4], before[:, : width // 4])


def test_time_and_colour_tags_are_the_frame_s() -> None:
    frame = video_frame(tags=(9, 1))
    frame.picture.pts, frame.picture.time_base, frame.picture.duration = 7, Fraction(1, 25), 2
    frame.picture.color_primaries, frame.picture.color_trc = 9, 16
    for pixel_format in ("yuv420p", "yuv444p"):
        drawn = Renderer(pixel_format, Style())(frame, explanation())
        assert (drawn.pts, drawn.time_base, drawn.duration) == (7, Fraction(1, 25), 2)
        assert (drawn.colorspace, drawn.color_range, drawn.color_primaries, drawn.color_trc) == (9, 1, 9, 16)


@pytest.mark.parametrize("cells", [7, 14, 28])
def test_colours_looked_up_on_a_coarser_grid_are_those_of_every_pixel(cells: int) -> None:
    """Off only where the colour map bends, and there not by much."""
    image = rgb(video_frame(1280, 720).picture, (1, 1))
    levels = np.random.default_rng(3).integers(0, 256, (cells, cells)).astype(np.uint8)
    levels = cv2.resize(levels, None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC)
    there = cv2.resize(levels, (1280, 720), interpolation=cv2.INTER_LINEAR)
    by_level = np.linspace(0, 0.6, 256, dtype=np.float32)
    for opacity, weight in ((0.6, 0.6), (1.0, 1.0), (by_level, by_level[there][:, :, None])):
        drawn = np.empty((3, 720, 1280), np.uint8)
        canvas = Canvas(image.transpose(2, 0, 1)[[1, 2, 0]], list(drawn), "gbrp", Color(1, True), Orientation())
        canvas.blend(levels, WHOLE, Palette(palette("jet").rgb, opacity))
        expected = image * (1 - weight) + palette("jet").rgb[there] * weight
        difference = np.abs(drawn[[2, 0, 1]].transpose(1, 2, 0) - expected)
        assert difference.mean() < 1
        assert difference.max() < 32


def test_what_is_padded_repeats_what_is_drawn() -> None:
    drawn = planes(Renderer("yuv420p", Style(opacity=0.8, caption=False))(video_frame(193, 109), explanation()))[0]
    assert drawn.shape == (110, 194)
    assert np.array_equal(drawn[:, 193], drawn[:, 192])
    assert np.array_equal(drawn[109], drawn[108])


@pytest.mark.parametrize("size", [(192, 108), (193, 109)])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv444p"])
def test_without_opacity_the_pixels_are_the_input_s(pixel_format: str, size: tuple[int, int]) -> None:
    frame = video_frame(*size, pixel_format=pixel_format)
    drawn = Renderer(pixel_format, Style(opacity=0, caption=False))(frame, explanation())
    for before, after in zip(planes(frame.picture), planes(drawn), strict=True):
        height, width = before.shape
        assert np.array_equal(after[:height, :width], before)
        assert np.array_equal(after[height:, :width], before[-1:].repeat(after.shape[0] - height, axis=0))


def test_without_evidence_the_picture_stays_as_it_is() -> None:
    frame = video_frame()
    drawn = Renderer("yuv420p", Style(opacity=0.5, caption=False))(frame, explanation(-np.ones((7, 7), np.float32)))
    assert all(np.array_equal(a, b) for a, b in zip(planes(frame.picture), planes(drawn), strict=True))


def test_the_frame_itself_is_never_written_to() -> None:
    frame = video_frame()
    before = [plane.copy() for plane in planes(frame.picture)]
    Renderer("yuv420p", Style(opacity=0.7))(frame, explanation())
    assert all(np.array_equal(a, b) for a, b in zip(before, planes(frame.picture), strict=True))


def test_the_map_is_drawn_where_the_model_looked() -> None:
    """A crop of the middle: its left and right stay as they are. A padded input: the map reaches beyond the picture."""
    frame = video_frame()
    hot = np.ones((7, 7), np.float32)
    drawn = planes(
        Renderer("yuv420p", Style(blend="uniform", opacity=1, caption=False))(
            frame, explanation(hot, Region(0.25, 0, 0.75, 1))
        )
    )
    changed = np.abs(drawn[0].astype(int) - planes(frame.picture)[0]) > 0
    assert not changed[:, :48].any()
    assert not changed[:, 144:].any()
    assert changed[:, 48:144].mean() > 0.95
    ramp = np.repeat(np.arange(1, 9, dtype=np.float32)[:, None], 8, axis=1)
    tall = planes(
        Renderer("yuv420p", Style(blend="uniform", opacity=1, caption=False))(
            frame, explanation(ramp, Region(0, -0.5, 1, 1.5))
        )
    )
    whole = planes(Renderer("yuv420p", Style(blend="uniform", opacity=1, caption=False))(frame, explanation(ramp)))
    assert np.ptp(tall[1].astype(int).mean(axis=1)) < np.ptp(whole[1].astype(int).mean(axis=1))


@pytest.mark.parametrize(
    "region", [WHOLE, Region(0.25, 0, 0.75, 1), Region(0, -0.5, 1, 1.5), Region(-0.2, 0.1, 0.7, 0.6)]
)
@pytest.mark.parametrize("flags", list(itertools.product([False, True], repeat=3)))
def test_a_map_is_stretched_over_its_region_of_the_upright_picture(
    flags: tuple[bool, bool, bool], region: Region
) -> None:
    orientation = Orientation(*flags)
    told = explanation(region=region)
    frame = video_frame(120, 80, pixel_format="gbrp", tags=(1, 2), orientation=orientation)
    image = orientation.upright(rgb(frame.picture, (1, 2)))
    height, width = image.shape[:2]
    left, top = round(region.left * width), round(region.top * height)
    right, bottom = round(region.right * width), round(region.bottom * height)
    ground = np.zeros((max(bottom, height) - min(top, 0), max(right, width) - min(left, 0), 3))
    x, y = -min(left, 0), -min(top, 0)
    ground[y : y + height, x : x + width] = image
    covered = ground[y + top : y + bottom, x + left : x + right]
    covered[:] = blended_in_rgb(covered, told.heatmap, 0.5)
    drawn = orientation.upright(rgb(Renderer("gbrp", Style(blend="uniform", caption=False))(frame, told), (1, 2)))
    assert np.abs(drawn - ground[y : y + height, x : x + width]).max() <= 6


def test_on_a_rotated_video_the_map_turns_along() -> None:
    corner = np.zeros((8, 8), np.float32)
    corner[0, 0] = 1  # top left, when upright
    frame = video_frame(orientation=ROTATED)
    picture = Renderer("yuv420p", Style(opacity=1, caption=False))(frame, explanation(corner))
    upright = ROTATED.upright(rgb(picture, (1, 1))).astype(int)
    assert upright.shape == (192, 108, 3)
    redness = upright[:, :, 0] - upright[:, :, 2]
    row, column = np.unravel_index(redness.argmax(), redness.shape)
    assert row < 192 / 4
    assert column < 108 / 4


def test_other_formats_are_drawn_as_eight_bit_planes() -> None:
    for pixel_format in ("yuv420p10le", "nv12", "gray", "rgb24", "yuvj420p"):
        picture = video_frame().picture.reformat(format=pixel_format)
        drawn = Renderer("yuv420p", Style(opacity=0, caption=False))(Frame(picture=picture), explanation())
        assert (drawn.format.name, drawn.width, drawn.height) == ("yuv420p", 192, 108)
        difference = drawn.to_ndarray(format="gray").astype(int) - picture.to_ndarray(format="gray").astype(int)
        assert np.abs(difference).mean() < 3


def test_drawing_on_the_host_does_not_import_torch() -> None:
    code = "import livecam.render, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

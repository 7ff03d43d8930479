"""Planes on a device: the same pictures and the same inputs as on the host."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from livecam.explain.explainer import Explainer
from livecam.explain.preprocess import Preprocessor, input_from_planes
from livecam.explanation import Explanation
from livecam.models import Preprocessing
from livecam.names import VIEWS
from livecam.picture.color import Color
from livecam.picture.frame import Frame
from livecam.picture.media import Orientation, Region
from livecam.picture.planes import PLANAR, planes
from livecam.picture.transfer import Transfer
from livecam.render import Renderer, Style
from livecam.sources import open_source
from tests.render.test_render import ROTATED, TAGS, video_frame
from tests.support.explanations import explanation_of

CPU = Transfer(torch.device("cpu"))
MAPS = [np.random.default_rng(seed).normal(size=(7, 7)).astype(np.float32) for seed in range(3)]


def both(frame: Frame, told: Explanation, transfer: Transfer = CPU, **style: object) -> list[list[np.ndarray]]:
    """The planes drawn on the host and on the device, as (h, w) int."""
    pixel_format = frame.picture.format.name
    uploaded = transfer.upload(planes(frame.picture))
    drawn = [Renderer(pixel_format, Style(**style))(frame, told, where) for where in (None, uploaded)]  # type: ignore[arg-type]
    return [[plane.astype(int) for plane in planes(picture)] for picture in drawn]


def assert_same(host: Sequence[np.ndarray], device: Sequence[np.ndarray]) -> None:
    for one, other in zip(host, device, strict=True):
        difference = np.abs(one - other)
        assert difference.mean() < 1
        assert difference.max() < 24  # where a colour map bends


@pytest.mark.parametrize("pixel_format", PLANAR)
@pytest.mark.parametrize("view", VIEWS)
def test_every_view_is_the_same_on_both(view: str, pixel_format: str) -> None:
    """With and without what comes down to the host: text, lines and the bar."""
    frame = video_frame(pixel_format=pixel_format)
    told = explanation_of(*MAPS)
    for extras in (False, True):
        assert_same(*both(frame, told, view=view, caption=extras, contour=extras, colorbar=extras))


@pytest.mark.parametrize("size", [(192, 108), (193, 109)])
@pytest.mark.parametrize("orientation", [Orientation(), ROTATED, Orientation(False, True, True)])
@pytest.mark.parametrize("region", [Region(), Region(0.2, 0, 0.8, 1), Region(0, -0.4, 1, 1.4)])
@pytest.mark.parametrize("threshold", [0.0, 0.4])
def test_turned_odd_cut_and_partly_opaque_pictures_are_the_same_on_both(
    size: tuple[int, int], orientation: Orientation, region: Region, threshold: float
) -> None:
    frame = video_frame(*size, orientation=orientation)
    told = explanation_of(*MAPS, region=region, threshold=threshold)
    for view in ("overlay", "panels", "tints"):
        assert_same(*both(frame, told, view=view))


@pytest.mark.parametrize("size", [(192, 108), (193, 109)])
def test_what_is_not_drawn_on_is_the_frame_s_to_the_pixel(size: tuple[int, int]) -> None:
    frame = video_frame(*size)
    before = [plane.copy() for plane in planes(frame.picture)]
    told = explanation_of(*MAPS, region=Region(0.5, 0, 1, 1))
    _, drawn = both(frame, told, opacity=0.7, caption=False)
    for original, after, source in zip(before, drawn, planes(frame.picture), strict=True):
        height, width = original.shape
        assert np.array_equal(after[:height, : width // 2 - 1], original[:, : width // 2 - 1])
        assert np.array_equal(source, original)
    for host, device in zip(*both(frame, told, opacity=0), strict=True):
        assert np.array_equal(host, device)


def test_a_picture_that_has_to_be_converted_first_is_drawn_on_the_host() -> None:
    frame = video_frame(pixel_format="yuv444p")
    uploaded = CPU.upload(planes(frame.picture))
    for wanted, style in (("yuv420p", Style()), ("yuv444p", Style(view="panels"))):
        draw = Renderer(wanted, style, largest_side=400)
        pictures = [planes(draw(frame, explanation_of(*MAPS), where)) for where in (None, uploaded)]
        assert all(np.array_equal(one, other) for one, other in zip(*pictures, strict=True))


def test_drawing_on_the_host_does_not_import_torch() -> None:
    code = "import livecam.render, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_planes_come_back_as_they_went_up() -> None:
    frame = video_frame(193, 109)
    sent = planes(frame.picture)
    uploaded = CPU.upload(sent).here()
    back = [np.zeros_like(plane) for plane in sent]
    CPU.download(uploaded, back)
    assert all(np.array_equal(one, other) for one, other in zip(sent, back, strict=True))


def made_input(frame: Frame, size: tuple[int, int]) -> np.ndarray:
    """(h, w, 3) int, from planes."""
    uploaded = CPU.upload(planes(frame.picture))
    (made,) = input_from_planes([uploaded], frame.picture.format.name, Color.of(frame.picture), *size)
    assert made.dtype == torch.uint8
    return made.numpy().astype(int)


def scaled_in_yuv(frame: Frame, size: tuple[int, int]) -> np.ndarray:
    """The same by swscale, all but the step to RGB, in which it is up to three levels off."""
    height, width = size
    color = Color.of(frame.picture)
    space, levels = color.swscale_space, color.swscale_range
    small = frame.picture.reformat(
        width, height, "yuv444p", space, space, "BILINEAR", src_color_range=levels, dst_color_range=levels
    )
    matrix, offset = color.rgb_from_yuv()
    return np.clip(np.round(np.stack(planes(small), axis=2) @ matrix.T + offset), 0, 255)


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv444p"])
@pytest.mark.parametrize("tags", TAGS)
def test_the_input_made_on_the_device_is_that_of_the_host(tags: str, pixel_format: str) -> None:
    frame = video_frame(641, 361, pixel_format=pixel_format, tags=TAGS[tags])
    for size in ((224, 224), (160, 288), (400, 700)):
        made = made_input(frame, size)
        assert np.abs(made - scaled_in_yuv(frame, size)).mean() < 0.6
        assert np.abs(made - Preprocessor(Preprocessing(size=size))(frame)[0]).mean() < 3


def test_the_input_of_the_demo_scene_is_that_of_the_host() -> None:
    source = open_source("demo:?size=1280x720&seconds=0.1")
    for frame in source.frames(lambda packet: None):
        made = made_input(frame, (224, 224))
        assert np.abs(made - scaled_in_yuv(frame, (224, 224))).mean() < 0.6
        assert np.abs(made - Preprocessor(Preprocessing(size=(224, 224)))(frame)[0]).mean() < 3
    source.close()


def test_the_input_of_rgb_planes_is_that_of_the_host() -> None:
    packed = Frame.from_rgb(np.random.default_rng(2).integers(0, 256, (91, 163, 3), np.uint8))
    frame = Frame(picture=packed.picture.reformat(format="gbrp"))
    expected, _ = Preprocessor(Preprocessing(size=(64, 48)))(frame)
    assert np.abs(made_input(frame, (64, 48)) - expected).mean() < 1


def test_white_and_grey_arrive_as_they_are() -> None:
    for level in (0, 128, 255):
        color = Color(1, full_range=False)
        values = color.yuv_from_rgb(np.full((1, 3), level, np.uint8))[0]
        shapes = [(36, 64), (18, 32), (18, 32)]
        flat = CPU.upload([np.full(shape, value, np.uint8) for value, shape in zip(values, shapes, strict=True)])
        assert (input_from_planes([flat], "yuv420p", color, 8, 8) == level).all()


def test_colours_come_back_from_yuv() -> None:
    colors = np.random.default_rng(5).integers(0, 256, (100, 3)).astype(np.uint8)
    for tag in (1, 6, 9):
        for full_range in (False, True):
            color = Color(tag, full_range)
            matrix, offset = color.rgb_from_yuv()
            back = color.yuv_from_rgb(colors) @ matrix.T + offset
            assert np.abs(back - colors).max() < 3


def test_frames_are_explained_from_their_uploaded_planes() -> None:
    source = open_source("demo:?size=320x180&seconds=0.1&shapes=1")
    frames = list(source.frames(lambda packet: None))
    source.close()
    explainer = Explainer("shapes", engine="eager", precision="fp32")
    uploaded = [CPU.upload(planes(frame.picture)) for frame in frames]
    for one, other in zip(explainer.explain(frames), explainer.explain(frames, uploaded=uploaded), strict=True):
        assert one.index == other.index
        assert abs(one.score - other.score) < 0.1
        assert not np.array_equal(one.cam, other.cam)  # of another input, which is a little lighter


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_cuda_draws_and_feeds_the_same_through_memory_that_is_used_again() -> None:
    """More frames at once than there is page-locked memory for, each with its own pixels."""
    transfer = Transfer(torch.device("cuda"))
    frames = [video_frame(193 + 2 * number, 109) for number in range(8)]
    uploaded = [transfer.upload(planes(frame.picture)) for frame in frames]
    for frame, there in zip(frames, uploaded, strict=True):
        color = Color.of(frame.picture)
        fed = [
            input_from_planes([where], "yuv420p", color, 64, 64).cpu().int()
            for where in (there, CPU.upload(planes(frame.picture)))
        ]
        assert (fed[0] - fed[1]).abs().max() <= 1
        for view in VIEWS:
            assert_same(*both(frame, explanation_of(*MAPS), transfer, view=view))

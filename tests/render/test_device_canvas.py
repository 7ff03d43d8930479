"""Drawing on a device: the same pictures as on the host, with few kernel launches, copies and waits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from livecam.explanation import Explanation
from livecam.names import VIEWS
from livecam.picture.frame import Frame
from livecam.picture.media import Orientation, Region
from livecam.picture.planes import PLANAR, planes
from livecam.picture.transfer import Transfer
from livecam.render import Renderer, Style
from tests.support.cuda_stand_in import CudaStandIn
from tests.support.explanations import explanation_of
from tests.support.fake_gpu import Watch, fake_gpu, fake_planes
from tests.support.frames import ROTATED, uploads, video_frame

CPU = Transfer(torch.device("cpu"))
SECOND = torch.device("cuda", 1)
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
        draw = Renderer(wanted, style, largest_side=300)
        pictures = [planes(draw(frame, explanation_of(*MAPS), where)) for where in (None, uploaded)]
        assert all(np.array_equal(one, other) for one, other in zip(*pictures, strict=True))


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p"])
@pytest.mark.parametrize(
    ("view", "blends", "panels"), [("overlay", 1, 1), ("heatmap", 1, 1), ("tints", 3, 1), ("panels", 2, 2)]
)
def test_drawing_is_few_launches_and_one_copy_each_way(
    cuda: CudaStandIn, view: str, blends: int, panels: int, pixel_format: str
) -> None:
    """Five for each blend of luma and of chroma, and the black below a map that is shown alone."""
    frame = video_frame(pixel_format=pixel_format)
    (sent,) = uploads([frame], Transfer(SECOND))
    draw = Renderer(pixel_format, Style(view=view))
    with cuda.counted():
        draw(frame, explanation_of(*MAPS, threshold=0.4), sent)
    launches = [kernel for kernel in cuda.kernels if kernel != "fill_"]
    assert len(launches) <= blends * 5 * (1 if pixel_format == "yuv444p" else 2)
    assert cuda.kernels.count("fill_") <= 3
    assert (cuda.uploads, cuda.downloads, cuda.devices) == ([True] * blends, [True] * panels, {1})


def test_drawing_waits_only_for_what_comes_down(cuda: CudaStandIn) -> None:
    frame = video_frame()
    (sent,) = uploads([frame], Transfer(SECOND))
    draw = Renderer("yuv420p", Style())
    with cuda.counted():
        draw(frame, explanation_of(*MAPS), sent)
    assert cuda.waits == 1


def test_page_locked_memory_is_used_again_and_each_picture_keeps_its_pixels(cuda: CudaStandIn) -> None:
    frames = [video_frame(193 + 2 * number, 109) for number in range(8)]
    told = explanation_of(*MAPS)
    sent, plain = uploads(frames, Transfer(SECOND)), uploads(frames, Transfer(torch.device("cpu")))
    for view in ("overlay", "tints", "panels"):
        draw = Renderer("yuv420p", Style(view=view))
        for frame, on_cuda, on_cpu in zip(frames, sent, plain, strict=True):
            drawn = [planes(draw(frame, told, where)) for where in (on_cuda, on_cpu)]
            assert all(np.array_equal(one, other) for one, other in zip(*drawn, strict=True))


@pytest.mark.parametrize("view", ["overlay", "heatmap", "raw", "tints"])
def test_pictures_are_drawn_without_a_constant_on_the_host_or_a_wait(view: str) -> None:
    frame = video_frame()
    told = explanation_of(*MAPS, threshold=0.4)
    with fake_gpu() as transfer:
        there = fake_planes(frame, transfer)
        with Watch() as watch:
            Renderer("yuv420p", Style(view=view, caption=False))(frame, told, there)
    assert (watch.devices, watch.waits) == ({"cuda"}, [])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_cuda_draws_the_same_through_memory_that_is_used_again() -> None:
    """More frames at once than there is page-locked memory for, each with its own pixels."""
    transfer = Transfer(torch.device("cuda"))
    for frame in [video_frame(193 + 2 * number, 109) for number in range(8)]:
        for view in VIEWS:
            assert_same(*both(frame, explanation_of(*MAPS), transfer, view=view))

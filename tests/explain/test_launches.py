"""What a frame costs on a GPU beside the model: launches, copies and waits, counted with a stand-in for CUDA."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from livecam.explain import preprocess
from livecam.explain.preprocess import Preprocessor
from livecam.models import Preprocessing
from livecam.picture.color import Color
from livecam.picture.frame import Frame
from livecam.picture.planes import planes
from livecam.picture.transfer import DevicePlanes, Transfer, transfer_to, uploaded
from livecam.render import Renderer, Style
from tests.render.test_render import video_frame
from tests.support.cuda_stand_in import WAITS, CudaStandIn
from tests.support.explanations import explanation_of

SECOND = torch.device("cuda", 1)
MAPS = [np.random.default_rng(seed).normal(size=(7, 7)).astype(np.float32) for seed in range(3)]


def uploads(frames: Sequence[Frame], transfer: Transfer) -> list[DevicePlanes]:
    return [transfer.upload(planes(frame.picture)) for frame in frames]


def devices(cuda: CudaStandIn) -> set[int]:
    return {device for _, device in cuda.launches}


def test_a_picture_goes_up_in_one_copy_that_nobody_waits_for(cuda: CudaStandIn) -> None:
    transfer = transfer_to(SECOND)
    with cuda.counted():
        sent = uploaded(video_frame().picture, transfer)
    assert sent is not None
    assert (cuda.uploads, cuda.kernels, cuda.waits, devices(cuda)) == ([True], [], 0, {1})


def test_what_is_not_drawn_on_a_device_is_not_sent_to_it(cuda: CudaStandIn) -> None:
    picture = video_frame().picture
    assert transfer_to(torch.device("cpu")) is None
    assert uploaded(picture, None) is None
    assert uploaded(picture.reformat(format="yuv420p10le"), transfer_to(SECOND)) is None


@pytest.mark.parametrize(("frames", "most"), [(1, 7), (4, 8), (16, 8)])
def test_the_inputs_of_a_batch_are_made_together(cuda: CudaStandIn, frames: int, most: int) -> None:
    batch = [video_frame() for _ in range(frames)]
    sent = uploads(batch, Transfer(SECOND))
    preprocess = Preprocessor(Preprocessing(size=(64, 48)))
    preprocess.from_planes(batch, sent)
    with cuda.counted():
        preprocess.from_planes(batch, sent)
    assert len(cuda.kernels) <= most
    assert (cuda.uploads, cuda.downloads, cuda.waits, devices(cuda)) == ([], [], 0, {1})


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
    assert (cuda.uploads, cuda.downloads, devices(cuda)) == ([True] * blends, [True] * panels, {1})


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


def test_a_batch_of_many_kinds_gives_what_each_gives_alone() -> None:
    transfer = Transfer(torch.device("cpu"))
    sizes = [(192, 108), (192, 108), (101, 77), (192, 108)]
    frames = [video_frame(*size) for size in sizes] + [video_frame(pixel_format="gbrp"), video_frame()]
    sent = uploads(frames, transfer)
    preprocess = Preprocessor(Preprocessing(size=(64, 48)))
    together = preprocess.from_planes(frames, sent)
    assert together is not None
    alone = [preprocess.from_planes([frame], [there]) for frame, there in zip(frames, sent, strict=True)]
    assert torch.equal(together, torch.cat(alone))  # type: ignore[arg-type]
    assert preprocess.from_planes(frames, [*sent[:-1], None]) is None


class Watch(TorchDispatchMode):
    """Operations that a GPU would have to be waited for, and copies from the host, among fake tensors on it."""

    def __init__(self) -> None:
        super().__init__()
        self.devices: set[str] = set()
        self.waits: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        outputs = func(*args, **(kwargs or {}))
        found = {each.device.type for each in tree_leaves((args, kwargs, outputs)) if isinstance(each, Tensor)}
        self.devices |= found
        if func.overloadpacket.__name__ in WAITS or len(found) > 1:
            self.waits.append(str(func))
        return outputs


class FakeTransfer(Transfer):
    """To a GPU whose tensors have shapes, dtypes and a device but no values."""

    def __init__(self) -> None:
        super().__init__(torch.device("cpu"))
        self.device = torch.device("cuda", 0)

    def send(self, arrays: Sequence[np.ndarray]) -> list[Tensor]:
        return [torch.empty(array.shape, device=self.device) for array in arrays]

    def download(self, memory: Tensor, into: Sequence[np.ndarray]) -> None:
        assert (memory.device, memory.dtype, len(memory)) == (self.device, torch.uint8, sum(each.size for each in into))


@contextmanager
def fake_gpu() -> Iterator[FakeTransfer]:
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield FakeTransfer()
    preprocess._to_rgb.cache_clear()  # of what has no values


def fake(frame: Frame, transfer: Transfer) -> DevicePlanes:
    shapes = [plane.shape for plane in planes(frame.picture)]
    memory = torch.empty(sum(h * w for h, w in shapes), dtype=torch.uint8, device=transfer.device)
    return DevicePlanes(memory, shapes, transfer)  # type: ignore[arg-type]


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p", "gbrp"])
def test_inputs_are_made_without_a_constant_on_the_host_or_a_wait(pixel_format: str) -> None:
    frame = video_frame(pixel_format=pixel_format)
    with fake_gpu() as transfer:
        there = [fake(frame, transfer) for _ in range(3)]
        color = Color.of(frame.picture)
        preprocess.input_from_planes(there, pixel_format, color, 64, 48)  # brings the matrix there, once
        with Watch() as watch:
            made = preprocess.input_from_planes(there, pixel_format, color, 64, 48)
    assert (made.shape, made.dtype, made.device.type) == ((3, 64, 48, 3), torch.uint8, "cuda")
    assert (watch.devices, watch.waits) == ({"cuda"}, [])


@pytest.mark.parametrize("view", ["overlay", "heatmap", "raw", "tints"])
def test_pictures_are_drawn_without_a_constant_on_the_host_or_a_wait(view: str) -> None:
    frame = video_frame()
    told = explanation_of(*MAPS, threshold=0.4)
    with fake_gpu() as transfer:
        there = fake(frame, transfer)
        with Watch() as watch:
            Renderer("yuv420p", Style(view=view, caption=False))(frame, told, there)
    assert (watch.devices, watch.waits) == ({"cuda"}, [])

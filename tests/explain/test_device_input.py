"""The model's input made on a device: equal to that of the host, with few kernel launches and no waiting."""

from __future__ import annotations

import av
import numpy as np
import pytest
import torch

from livecam.explain import preprocess
from livecam.explain.explainer import Explainer
from livecam.explain.preprocess import Preprocessor, input_from_planes
from livecam.models import Preprocessing
from livecam.picture.color import Color
from livecam.picture.frame import Frame
from livecam.picture.planes import planes
from livecam.picture.transfer import Transfer
from livecam.sources import open_source
from tests.support.cuda_stand_in import CudaStandIn
from tests.support.fake_gpu import Watch, fake_gpu, fake_planes
from tests.support.frames import TAGS, uploads, video_frame

CPU = Transfer(torch.device("cpu"))
SECOND = torch.device("cuda", 1)


def made_input(frame: Frame, size: tuple[int, int]) -> np.ndarray:
    """(h, w, 3) int, from planes."""
    uploaded = CPU.upload(planes(frame.picture))
    (made,) = input_from_planes([uploaded], frame.picture.format.name, Color.of(frame.picture), Preprocessing(size))
    assert made.dtype == torch.uint8
    return made.numpy().astype(int)


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv444p"])
@pytest.mark.parametrize("tags", TAGS)
def test_the_input_made_on_the_device_is_that_of_the_host(tags: str, pixel_format: str) -> None:
    frame = video_frame(641, 361, pixel_format=pixel_format, tags=TAGS[tags])
    for size in ((224, 224), (160, 288), (400, 700)):
        assert np.abs(made_input(frame, size) - Preprocessor(Preprocessing(size=size))(frame)[0]).mean() < 0.6


def test_a_bicubic_input_made_on_the_device_is_that_of_the_host() -> None:
    source = open_source("demo:?size=1280x720&seconds=0.1")
    bilinear, bicubic = (Preprocessing((224, 224), interpolation=name) for name in ("bilinear", "bicubic"))
    for frame in source.frames(lambda packet: None):
        (uploaded,) = uploads([frame], CPU)
        assert uploaded is not None
        (made,) = input_from_planes([uploaded], frame.picture.format.name, Color.of(frame.picture), bicubic).int()
        of_host, other = (Preprocessor(each)(frame)[0].astype(int) for each in (bicubic, bilinear))
        assert np.abs(made.numpy() - of_host).mean() < min(np.abs(made.numpy() - other).mean(), 0.6)
    source.close()


def test_the_input_of_the_demo_scene_is_that_of_the_host() -> None:
    source = open_source("demo:?size=1280x720&seconds=0.1")
    for frame in source.frames(lambda packet: None):
        of_host, _ = Preprocessor(Preprocessing(size=(224, 224)))(frame)
        assert np.abs(made_input(frame, (224, 224)) - of_host).mean() < 0.6
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
        flat = [np.full(shape, value, np.uint8) for value, shape in zip(values, shapes, strict=True)]
        assert (input_from_planes([CPU.upload(flat)], "yuv420p", color, Preprocessing((8, 8))) == level).all()
        picture = av.VideoFrame.from_ndarray(np.concatenate([plane.reshape(-1, 64) for plane in flat]), "yuv420p")
        picture.colorspace, picture.color_range = TAGS["BT.709"]
        of_host, _ = Preprocessor(Preprocessing((8, 8)))(Frame(picture=picture))
        assert np.abs(of_host.astype(int) - level).max() <= 1


def test_frames_are_explained_from_their_uploaded_planes() -> None:
    source = open_source("demo:?size=320x180&seconds=0.1&shapes=1")
    frames = list(source.frames(lambda packet: None))
    source.close()
    explainer = Explainer("shapes", engine="eager", precision="fp32")
    uploaded = [CPU.upload(planes(frame.picture)) for frame in frames]
    for one, other in zip(explainer.explain(frames), explainer.explain(frames, uploaded=uploaded), strict=True):
        assert one.index == other.index
        assert abs(one.score - other.score) < 0.1
        assert not np.array_equal(one.cam, other.cam)  # of an input that was rounded in another way


@pytest.mark.parametrize(("frames", "most"), [(1, 7), (4, 8), (16, 8)])
def test_the_inputs_of_a_batch_are_made_together(cuda: CudaStandIn, frames: int, most: int) -> None:
    batch = [video_frame() for _ in range(frames)]
    sent = uploads(batch, Transfer(SECOND))
    preprocess = Preprocessor(Preprocessing(size=(64, 48)))
    preprocess.from_planes(batch, sent)
    with cuda.counted():
        preprocess.from_planes(batch, sent)
    assert len(cuda.kernels) <= most
    assert (cuda.uploads, cuda.downloads, cuda.waits, cuda.devices) == ([], [], 0, {1})


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


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p", "gbrp"])
def test_inputs_are_made_without_a_constant_on_the_host_or_a_wait(pixel_format: str) -> None:
    frame = video_frame(pixel_format=pixel_format)
    with fake_gpu() as transfer:
        there = [fake_planes(frame, transfer) for _ in range(3)]
        color, size = Color.of(frame.picture), Preprocessing((64, 48))
        preprocess.input_from_planes(there, pixel_format, color, size)  # brings the matrix there, once
        with Watch() as watch:
            made = preprocess.input_from_planes(there, pixel_format, color, size)
    preprocess._to_rgb.cache_clear()  # of a matrix without values
    assert (made.shape, made.dtype, made.device.type) == ((3, 64, 48, 3), torch.uint8, "cuda")
    assert (watch.devices, watch.waits) == ({"cuda"}, [])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_cuda_makes_the_same_input_through_memory_that_is_used_again() -> None:
    """More frames at once than there is page-locked memory for, each with its own pixels."""
    frames = [video_frame(193 + 2 * number, 109) for number in range(8)]
    for frame, there in zip(frames, uploads(frames, Transfer(torch.device("cuda"))), strict=True):
        color = Color.of(frame.picture)
        (here,) = uploads([frame], CPU)
        fed = [
            input_from_planes([where], "yuv420p", color, Preprocessing((64, 64))).cpu().int() for where in (there, here)
        ]
        assert (fed[0] - fed[1]).abs().max() <= 1

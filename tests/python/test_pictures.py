"""Whatever holds a picture is explained as the plain (H, W, 3) uint8 array of its values, or refused in one line."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from livecam import Explanation, LivecamError
from livecam.picture.frame import Frame
from livecam.python.pictures import frame_of
from tests.support.clips import make_clip
from tests.support.stills import scene
from tests.support.tiny import tiny

RGB = np.asarray(scene())
GREY = RGB[:, :, 1]
OPACITY = np.indices(GREY.shape)[1].astype(np.uint8)
TENSOR = torch.from_numpy(RGB.copy())


def pixels_of(picture: Any) -> np.ndarray:
    return frame_of(picture).picture.to_ndarray(format="rgb24")


@pytest.mark.parametrize(
    "same",
    [
        RGB[::-1, ::-1][::-1, ::-1],
        RGB.transpose(2, 0, 1),
        np.asfortranarray(RGB),
        RGB / 255,
        (RGB / 255).astype(np.float16),
        (RGB / 255).astype(">f4"),
        RGB.astype(">u2") * 257,
        TENSOR,
        TENSOR.permute(2, 0, 1),
        TENSOR.permute(2, 0, 1) / 255,
        (TENSOR / 255).requires_grad_(),
        Image.fromarray(RGB),
        Image.fromarray(RGB).convert("RGBA"),
        Frame.from_rgb(RGB),
    ],
)
def test_the_same_values_are_the_same_picture(same: Any) -> None:
    assert np.array_equal(pixels_of(same), RGB)


@pytest.mark.parametrize(
    "same",
    [
        GREY,
        GREY[:, :, None],
        GREY[None],
        GREY / 255,
        torch.from_numpy(GREY.copy()),
        torch.from_numpy(GREY / 255)[None],
        Image.fromarray(GREY),
        Image.fromarray(GREY).convert("LA"),
        Image.fromarray(GREY).convert("P"),
        Image.fromarray(GREY.astype(np.uint16) * 257),
        Image.fromarray((GREY / 255).astype(np.float32)),
    ],
)
def test_grey_pictures(same: Any) -> None:
    assert np.array_equal(pixels_of(same), GREY[:, :, None].repeat(3, axis=2))


def test_bfloat16_is_as_exact_as_it_can_be() -> None:
    assert np.abs(pixels_of((TENSOR / 255).bfloat16()) - RGB.astype(int)).max() <= 1


def test_opacity_and_files_are_those_of_the_reader(tmp_path: Path) -> None:
    array = np.dstack([RGB, OPACITY])
    Image.fromarray(array).save(tmp_path / "glass.png")
    expected = pixels_of(tmp_path / "glass.png")
    assert np.abs(expected - (RGB * (OPACITY / 255)[..., None] + 255 - OPACITY[..., None])).max() <= 1
    for same in (str(tmp_path / "glass.png"), Image.fromarray(array), array, array / 255, array.transpose(2, 0, 1)):
        assert np.array_equal(pixels_of(same), expected)


def test_a_picture_stands_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    scene().save(tmp_path / "turned.png", exif=exif)
    expected = np.rot90(RGB, -1)
    assert np.array_equal(pixels_of(tmp_path / "turned.png"), expected)
    with Image.open(tmp_path / "turned.png") as image:
        assert np.array_equal(pixels_of(image), expected)
    assert frame_of(tmp_path / "turned.png").path == tmp_path / "turned.png"


def test_where_both_ends_can_be_channels_they_are_last_in_arrays_and_first_in_tensors() -> None:
    values = np.arange(3 * 5 * 3, dtype=np.uint8).reshape(3, 5, 3)
    assert np.array_equal(pixels_of(values), values)
    assert np.array_equal(pixels_of(torch.from_numpy(values)), values.transpose(1, 2, 0))


@pytest.mark.parametrize(
    ("picture", "told"),
    [
        (RGB * 1.0, "floats goes from 0 to 1, not from 19 to 242; convert it to uint8"),
        (RGB / 127.5 - 1, "not from -0.851 to 0.898; .* or call explainer.cam if it is normalised"),
        (np.full((4, 4, 3), np.nan), "not from nan to nan"),
        (Image.fromarray(GREY).convert("F"), "not from 36 to 226"),
        (Image.fromarray(GREY).convert("I"), "not of int32; convert it to uint8"),
        (GREY.astype(np.uint16), "16 bits goes up to 65535, not to 226"),
        (RGB.astype(int), "not of int64"),
        (GREY > 9, "not of bool"),
        (TENSOR.to(torch.complex64), "not of complex64"),
        (np.zeros((0, 4, 3), np.uint8), r"not \(0, 4, 3\)"),
        (np.zeros((9, 9, 2), np.uint8), r"\(H, W, channels\) .* not \(9, 9, 2\)"),
        (np.zeros((1, 1, 4, 4, 3), np.uint8), r"not \(1, 1, 4, 4, 3\)"),
        (Image.new("RGB", (0, 5)), r"not uint8 \(5, 0, 3\)"),
        (Image.fromarray(OPACITY).convert("LA").convert("La"), "mode La cannot be read .*; convert it to RGB"),
        ("nope.jpg", "nope.jpg does not exist"),
        ("0", "0 is no single picture; use explainer.stream for videos, cameras"),
        ("demo:", "demo: is no single picture"),
        ("photos/*.jpg", "no single picture"),
        ("http://me:secret@127.0.0.1/a.jpg", "^http://127.0.0.1/a.jpg is no single picture"),
        (None, "not NoneType"),
        ([[0, 1], [2, 3]], "not list"),
    ],
)
def test_what_is_no_picture_or_may_mean_several_is_refused(picture: Any, told: str) -> None:
    with pytest.raises(LivecamError, match=told) as caught:
        frame_of(picture)
    assert "\n" not in str(caught.value)


def test_a_video_is_for_stream(tmp_path: Path) -> None:
    for wrong in (make_clip(tmp_path / "clip.mp4", frames=1), tmp_path):
        with pytest.raises(LivecamError, match="is no single picture; use explainer.stream for videos"):
            frame_of(wrong)


def test_several_pictures_give_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    explainer = tiny()
    monkeypatch.setattr(type(explainer), "usual_batch", 2)
    alone = explainer(RGB)
    assert isinstance(alone, Explanation)
    batch = np.stack([RGB, RGB[::-1], RGB])
    for several in (batch, batch.transpose(0, 3, 1, 2), torch.from_numpy(batch), list(batch), (RGB, GREY, scene())):
        explained = explainer(several)
        assert len(explained) == 3
        for one in (explained[0], explained[2]):
            np.testing.assert_allclose(one.cam, alone.cam, rtol=1e-5, atol=1e-7)
    assert len(explainer(RGB[None])) == 1
    assert explainer([]) == []


def test_pictures_of_one_pixel_and_read_only_ones() -> None:
    explainer = tiny()
    one = np.full((1, 1, 3), 200, np.uint8)
    assert np.array_equal(explainer(one).cam, explainer(np.full((64, 64, 3), 200, np.uint8)).cam)
    frozen = RGB.copy()
    frozen.flags.writeable = False
    assert np.array_equal(explainer(frozen).cam, explainer(RGB).cam)


def test_each_thread_gets_the_explanation_of_its_own_picture() -> None:
    explainer, pictures = tiny(engine="eager"), [RGB, RGB[:, ::-1]] * 20
    expected = [explainer(picture).cam for picture in pictures[:2]]
    with ThreadPoolExecutor(4) as threads:
        explained = list(threads.map(explainer, pictures))
    for number, one in enumerate(explained):
        assert np.array_equal(one.cam, expected[number % 2])

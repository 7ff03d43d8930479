"""The pixel formats that livecam draws on, and the planes of frames."""

from __future__ import annotations

import av
import numpy as np
import pytest

from livecam import LivecamError
from livecam.picture.frame import Frame
from livecam.picture.planes import drawn_format, padded_size, planar_format, planes


@pytest.mark.parametrize(
    ("video", "drawn"),
    [
        *(("yuv420p", "yuv420p"), ("yuvj420p", "yuv420p"), ("nv12", "yuv420p"), ("yuv420p10le", "yuv420p")),
        *(("yuv422p10le", "yuv422p"), ("yuyv422", "yuv422p"), ("yuv444p", "yuv444p"), ("yuv440p", "yuv444p")),
        *(("gray", "yuv420p"), ("gray10le", "yuv420p"), ("rgb24", "yuv444p"), ("gbrp", "yuv444p")),
    ],
)
def test_a_video_is_drawn_in_the_format_that_keeps_its_colour_detail(video: str, drawn: str) -> None:
    assert planar_format(av.VideoFormat(video)) == drawn


def test_full_range_planes_are_drawn_on_as_they_are_and_others_are_converted() -> None:
    formats = {name: drawn_format(av.VideoFrame(16, 16, name)) for name in ("yuvj422p", "gbrp", "yuv420p10le", "rgb24")}
    assert formats == {"yuvj422p": "yuv422p", "gbrp": "gbrp", "yuv420p10le": None, "rgb24": None}


def test_sizes_are_padded_to_whole_pixels_of_the_chroma() -> None:
    sizes = {name: padded_size(161, 97, name) for name in ("yuv420p", "yuv422p", "yuv444p", "gbrp")}
    assert sizes == {"yuv420p": (162, 98), "yuv422p": (162, 97), "yuv444p": (161, 97), "gbrp": (161, 97)}


def test_an_array_becomes_a_frame_without_a_copy() -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    frame = Frame.from_rgb(image)
    image[5, 7, 1] = 200
    assert planes(frame.picture)[0].max() == 200
    assert frame.upright_size == (64, 48)


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (np.zeros((48, 64, 3)), r"float64 \(48, 64, 3\)"),
        (np.zeros((48, 64), np.uint8), r"uint8 \(48, 64\)"),
        (np.zeros((48, 64, 4), np.uint8), r"uint8 \(48, 64, 4\)"),
        (np.zeros((0, 64, 3), np.uint8), r"uint8 \(0, 64, 3\)"),
        ([[[0, 0, 0]]], "list"),
    ],
)
def test_what_is_no_picture_is_refused(image: object, told: str) -> None:
    with pytest.raises(LivecamError, match=rf"a picture is a \(H, W, 3\) uint8 RGB array, not {told}"):
        Frame.from_rgb(image)  # type: ignore[arg-type]

"""Conversion of colours to YUV and back."""

from __future__ import annotations

import av
import numpy as np
import pytest

from livecam.picture.color import Color


def test_colours_come_back_from_yuv() -> None:
    colors = np.random.default_rng(5).integers(0, 256, (100, 3)).astype(np.uint8)
    for tag in (1, 6, 9):
        for full_range in (False, True):
            color = Color(tag, full_range)
            matrix, offset = color.rgb_from_yuv()
            back = color.yuv_from_rgb(colors) @ matrix.T + offset
            assert np.abs(back - colors).max() < 3


@pytest.mark.parametrize(
    ("size", "space"), [((1280, 720), 1), ((640, 720), 1), ((720, 576), 6), ((640, 360), 6), ((1280, 360), 1)]
)
def test_a_picture_without_a_colour_space_has_the_usual_one_of_its_size(size: tuple[int, int], space: int) -> None:
    assert Color.of(av.VideoFrame(*size, "yuv420p")) == Color(space, full_range=False)


def test_the_tags_of_a_picture_are_believed() -> None:
    picture = av.VideoFrame(64, 48, "yuv420p")
    picture.colorspace, picture.color_range = 9, 2
    assert Color.of(picture) == Color(9, full_range=True)
    assert Color.of(av.VideoFrame(64, 48, "yuvj420p")).full_range


def test_pictures_in_rgb_become_tagged_y_u_and_v() -> None:
    picture = av.VideoFrame(64, 48, "rgb24")
    picture.colorspace = 0
    assert Color.space_tag(picture) == 6
    picture.colorspace = 9
    assert Color.space_tag(picture) == 9

"""What is decoded becomes upright SDR pictures of one size: its values, its times, and what is told of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from livecam.picture.color import Color
from livecam.picture.media import media_of
from livecam.picture.planes import planes
from livecam.sources import open_source
from livecam.sources.filters import Filters
from livecam.sources.reconnecting import ReconnectingSource
from tests.support.clips import number_in, numbered_picture
from tests.support.conditioning import BT709, BT2020, COLORS, PATCHES, TIME_BASE, picture_of, shown, through, timed
from tests.support.reading import first_of, frames_of
from tests.support.streams import QUICK, recordings

Clip = Callable[..., Path]


def test_what_needs_nothing_is_passed_on(caplog: pytest.LogCaptureFixture) -> None:
    pictures = [picture_of(COLORS, number) for number in range(4)]
    _, out = through(pictures)
    assert all(before is after for before, after in zip(pictures, out, strict=True))
    assert caplog.messages == []


@pytest.mark.parametrize(
    "later",
    [
        {"full": True},
        {"space": BT709},
        {"space": BT2020},
        {"pixel_format": "yuv444p"},
        {"pixel_format": "yuv422p", "full": True, "space": BT709},
        {"pixel_format": "yuvj420p", "full": True},
        {"pixel_format": "nv12"},
        {"pixel_format": "yuv420p10le", "full": True},
    ],
    ids=lambda later: ",".join(f"{value}" for value in later.values()),
)
@pytest.mark.parametrize("first", [{}, {"full": True, "space": BT709}, {"pixel_format": "yuvj422p", "full": True}])
def test_later_pictures_look_like_the_first(
    first: dict[str, object], later: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    kinds = [first, first, later, later, first, later]
    pictures = [picture_of(COLORS, number, **kind) for number, kind in enumerate(kinds)]  # type: ignore[arg-type]
    media, out = through(pictures)
    for picture in out:
        assert (picture.color_range, picture.colorspace) == (media.color_range, media.color_space)
        centres = shown(picture)[8, 8::16]
        assert np.abs(centres - PATCHES[0]).max() < 3
    assert caplog.messages == ["it changes its pixel format or colour space: converted to those of the first picture"]


def test_an_untagged_picture_means_what_it_is_tagged_as(caplog: pytest.LogCaptureFixture) -> None:
    pictures = [picture_of(COLORS, number, space=6) for number in range(3)]
    pictures[0].color_range = pictures[0].colorspace = 0
    pictures[0].colorspace, pictures[1].colorspace = 2, 5
    _, out = through(pictures)
    assert all(before is after for before, after in zip(pictures, out, strict=True))
    assert caplog.messages == []


SIZES = [
    ((64, 48), (20, 0, 120, 90)),
    ((320, 180), (0, 0, 160, 90)),
    ((90, 160), (55, 0, 50, 90)),
    ((320, 90), (0, 22, 160, 46)),
]


@pytest.mark.parametrize(("size", "place"), SIZES)
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p", "rgb24"])
def test_another_shape_gets_black_borders(
    size: tuple[int, int], place: tuple[int, int, int, int], pixel_format: str, caplog: pytest.LogCaptureFixture
) -> None:
    sizes = [(160, 90), size, size, (160, 90)]
    _, out = through(
        [
            picture_of(numbered_picture(number, *each), number, pixel_format=pixel_format)
            if pixel_format != "rgb24"
            else timed(av.VideoFrame.from_ndarray(numbered_picture(number, *each), format="rgb24"), number)
            for number, each in enumerate(sizes)
        ]
    )
    x, y, width, height = place
    for number, picture in enumerate(out):
        rgb = shown(picture)
        inside = rgb if number in (0, 3) else rgb[y : y + height, x : x + width]
        assert number_in(inside) == number
        assert (inside.max(axis=(0, 2)) > 60).all()
        if number in (1, 2):
            outside = rgb.copy()
            outside[max(y - 4, 0) : y + height + 4, max(x - 4, 0) : x + width + 4] = 0  # chroma is blurred
            assert outside.max() <= 2
    borders = "" if place[2:] == (160, 90) else ", with black borders"
    assert caplog.messages == [f"it changes from 160x90 to {size[0]}x{size[1]}: scaled to the first size{borders}"]


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p10le", "yuvj444p", "nv12", "yuyv422", "gray", "rgb565le"])
@pytest.mark.parametrize("sizes", [((63, 47), (131, 31)), ((1, 1), (640, 2)), ((64, 48), (63, 31))])
def test_borders_around_every_format_and_size(sizes: Sequence[tuple[int, int]], pixel_format: str) -> None:
    pictures = [av.VideoFrame(*size, pixel_format) for size in sizes]
    through([timed(picture, number) for number, picture in enumerate(pictures)])


@pytest.mark.parametrize(("location", "red"), [(0, 167), (1, 167), (2, 184), (3, 167)])
def test_chroma_is_sampled_where_the_output_says(location: int, red: int) -> None:
    """Where no location is said, players assume the left one of two pixels."""
    rgb = np.zeros((32, 64, 3), np.uint8)
    rgb[:, 31:] = (255, 0, 0)
    picture = timed(av.VideoFrame.from_ndarray(rgb, format="rgb24"), 0)
    color = Color(BT709, False)
    media = media_of(picture, time_base=TIME_BASE, chroma_location=location)
    media = dataclasses.replace(media, pixel_format="yuv420p", color_space=BT709, color_range=1)
    filters = Filters(picture, color)
    filters.fit(media, color, 64, 32)
    filters.finish()
    (converted,) = [*filters.put(picture), *filters.put(None)]
    assert abs(int(planes(converted)[2][8, 15]) - red) < 6


@pytest.mark.parametrize(("codec", "b_frames"), [("libx264", 0), ("libx264", 2), ("mpeg4", 0)])
def test_another_shape_of_the_pixels_gets_borders(
    clip: Clip, tmp_path: Path, caplog: pytest.LogCaptureFixture, codec: str, b_frames: int
) -> None:
    facts = {"frames": 6, "size": (160, 96), "codec": codec, "b_frames": b_frames}
    square = clip("square.ts", aspect=Fraction(1), **facts)
    narrow = clip("narrow.ts", aspect=Fraction(3, 4), pts=range(6, 12), **facts)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(square.read_bytes() + narrow.read_bytes())
    frames = frames_of(open_source(joined))
    assert len(frames) == 12
    for number, frame in enumerate(frames):
        rgb = shown(frame.picture)
        is_narrow = number >= 6
        assert (rgb[:72, :16].mean() < 5) == (rgb[:72, -16:].mean() < 5) == is_narrow
        assert number_in(rgb[:, 20:-20] if is_narrow else rgb) == number % 6
    assert f"{joined} changes from 160x96 to 120x96: scaled to the first size, with black borders" in caplog.messages


def test_another_rotation_is_told_once(clip: Clip, caplog: pytest.LogCaptureFixture) -> None:
    rotations = (90, 0, 90)
    clips = (clip(f"{n}.mp4", frames=3, rate=1, rotation=turn) for n, turn in enumerate(rotations))
    with ReconnectingSource("it", next(connections := recordings(*clips)), connections.__next__, **QUICK) as source:
        frames = first_of(source, 7)
    assert {frame.orientation.transposed for frame in frames} == {True}
    notes = [line for line in caplog.messages if "rotated" in line]
    assert notes == ["it is rotated differently later: all of it is shown like its first picture"]

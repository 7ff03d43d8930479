"""Animated pictures and numbered pictures are videos: each picture at its own time, composed, on white."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image, ImageDraw

from livecam.errors import InputError
from livecam.sources import LiveOptions, open_live, open_source
from tests.support.clips import facts_of, number_in, numbered_picture
from tests.support.reading import first_of, frames_of, number_of

pytestmark = pytest.mark.usefixtures("quick_shapes")

Livecam = Callable[..., Result]
DURATIONS_MS = (20, 40, 100, 30, 500, 70)
BEGINS_SECONDS = (0, 0.02, 0.06, 0.16, 0.19, 0.69)
KINDS: dict[str, dict[str, object]] = {
    "gif": {"disposal": 2},
    "png": {},
    "webp": {"lossless": True},
    "avif": {"quality": 100},
}
PLAIN = ("--weights", "none", "--engine", "eager")


def disc(number: int) -> Image.Image:
    """A red disc that moves over nothing, so that what it leaves has to be taken away."""
    image = Image.new("RGBA", (96, 64), (0, 0, 0, 0))
    ImageDraw.Draw(image).ellipse((number * 14, 16, number * 14 + 15, 31), fill=(255, 0, 0, 255))
    return image


def animation(path: Path, **options: object) -> Path:
    images = [disc(number) for number in range(len(DURATIONS_MS))]
    images[0].save(path, save_all=True, append_images=images[1:], duration=list(DURATIONS_MS), **options)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_an_animation_is_played_once_as_browsers_show_it(tmp_path: Path, kind: str) -> None:
    frames = frames_of(open_source(animation(tmp_path / f"disc.{kind}", loop=0, **KINDS[kind])))
    assert [frame.pts_seconds for frame in frames] == pytest.approx(BEGINS_SECONDS)
    for frame, duration_ms in zip(frames, DURATIONS_MS, strict=True):
        assert frame.picture.duration * frame.picture.time_base == Fraction(duration_ms, 1000)
        rgb = frame.picture.to_ndarray(format="rgb24").astype(int)
        assert np.abs(rgb[24, 14 * frame.index + 7] - (255, 0, 0)).max() < 12
        others = [14 * number + 7 for number in range(6) if number != frame.index]
        assert np.abs(rgb[24, others] - 255).max() < 12  # white


def test_a_picture_that_claims_no_time_is_shown_as_long_as_in_browsers(tmp_path: Path) -> None:
    images = [disc(number) for number in range(3)]
    images[0].save(tmp_path / "fast.gif", save_all=True, append_images=images[1:], duration=[0, 10, 20])
    times = [frame.pts_seconds for frame in frames_of(open_source(tmp_path / "fast.gif"))]
    assert times == pytest.approx([0, 0.1, 0.2])


def test_the_picture_for_programs_without_apng_is_not_shown(tmp_path: Path) -> None:
    images = [Image.new("RGB", (32, 32), color) for color in ("blue", "red", "lime")]
    images[0].save(tmp_path / "a.png", save_all=True, append_images=images[1:], default_image=True, duration=50)
    frames = frames_of(open_source(tmp_path / "a.png"))
    assert [frame.picture.to_ndarray(format="rgb24")[9, 9].argmax() for frame in frames] == [0, 1]


def test_a_part_of_an_animation(tmp_path: Path) -> None:
    path = animation(tmp_path / "disc.gif", disposal=2)
    frames = frames_of(open_source(path, start_seconds=0.06, duration_seconds=0.2))
    assert [frame.pts_seconds for frame in frames] == pytest.approx([0, 0.1, 0.13])
    with pytest.raises(InputError, match="no picture in the requested part"):
        open_source(path, start_seconds=9)


def test_the_output_decides_if_an_animation_is_a_video(
    livecam: Livecam, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    animation(Path("disc.gif"), disposal=2)
    for arguments in (("-o", "named.mp4"), ()):
        assert livecam("annotate", "disc.gif", *arguments, *PLAIN).exit_code == 0
    for output in ("named.mp4", "disc_livecam.mp4"):
        facts = facts_of(Path(output))
        assert [float(time) for time in facts.times] == pytest.approx(BEGINS_SECONDS, abs=1e-3)
        assert facts.pixel_format == "yuv420p"
    for arguments in (("disc.gif", "-o", "still.png"), ("disc.gif", "disc.gif", "-o", "folder")):
        result = livecam("annotate", *arguments, *PLAIN)
        assert (result.exit_code, "holds 6 pictures; the first is explained" in result.stderr) == (0, True)
    assert Path("folder/disc.png").exists()


def test_an_animation_is_watched_live_and_a_picture_is_not(tmp_path: Path) -> None:
    with open_live(str(animation(tmp_path / "disc.webp")), LiveOptions(loop=True)) as source:
        assert [frame.index for frame in first_of(source, 8)] == list(range(8))
    disc(0).save(tmp_path / "still.gif")
    with pytest.raises(InputError, match="still picture"):
        open_live(str(tmp_path / "still.gif"), LiveOptions())


@pytest.mark.parametrize("kind", ["gif", "png"])
def test_a_damaged_animation_is_read_as_far_as_it_goes(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    noise = random.Random(1)
    images = [Image.frombytes("L", (64, 48), noise.randbytes(64 * 48)) for _ in range(6)]
    path = tmp_path / f"cut.{kind}"
    images[0].save(path, save_all=True, append_images=images[1:], duration=100)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    source = open_source(path)
    assert len(frames_of(source)) in (2, 3)
    assert source.unreadable > 0
    assert f"{path} ends early: {source.unreadable} frames are missing at its end" in caplog.messages


def test_an_animation_that_claims_a_billion_pictures_ends_with_its_last(tmp_path: Path) -> None:
    data = animation(tmp_path / "disc.png").read_bytes()
    at = data.index(b"acTL")
    chunk = b"acTL" + struct.pack(">II", 10**9, 0)
    path = tmp_path / "billion.png"
    path.write_bytes(data[:at] + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[at + 16 :])
    source = open_source(path)
    assert len(frames_of(source)) == 6
    assert source.unreadable == 10**9 - 6


@pytest.fixture
def numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pictures 8 to 12, with their numbers spelled in them."""
    monkeypatch.chdir(tmp_path)
    for number in range(8, 13):
        Image.fromarray(numbered_picture(number, 160, 96)).save(f"img_{number:04d}.png")
    return tmp_path


def test_numbered_pictures_are_a_video(livecam: Livecam, numbered: Path) -> None:
    assert livecam("annotate", "img_%04d.png", "--opacity", 0.1, "--no-caption", *PLAIN).exit_code == 0
    facts = facts_of(Path("img_livecam.mp4"))
    assert [number_in(picture) for picture in facts.pictures] == [8, 9, 10, 11, 12]
    assert facts.times == [Fraction(number, 25) for number in range(5)]
    assert livecam("annotate", "img_%04d.png", "--fps", "30000/1001", "-o", "ntsc.mp4", *PLAIN).exit_code == 0
    assert facts_of(Path("ntsc.mp4")).times == [Fraction(number * 1001, 30000) for number in range(5)]


def test_only_the_numbers_that_the_pattern_makes_are_taken(numbered: Path) -> None:
    for name in ("img_1.jpg", "img_9.jpg", "img_10.jpg", "img_011.jpg", "img_x.jpg", "img_12.jpeg"):
        Image.fromarray(numbered_picture(1, 64, 48)).save(name)
    for pattern, names in {
        "img_%d.jpg": (1, 9, 10),
        "img_%03d.jpg": (11,),
        "./img_%04d.png": (8, 9, 10, 11, 12),
    }.items():
        source = open_source(pattern)
        assert [frame.index for frame in frames_of(source)] == list(range(len(names))), pattern
    for pattern in ("img_%02d.png", "img_%04d.tif", "nowhere/img_%04d.png"):
        with pytest.raises(InputError, match=r"no file is named like .*; check the folder, the ending and the digits"):
            open_source(pattern)


def test_gaps_damage_and_other_sizes_are_told(numbered: Path, caplog: pytest.LogCaptureFixture) -> None:
    Path("img_0009.png").unlink()
    Path("img_0011.png").write_bytes(b"nothing to see")
    Image.fromarray(numbered_picture(12, 80, 96)).save("img_0012.png")
    source = open_source("img_%04d.png", fps=10)
    frames = frames_of(source)
    assert [(number_of(frame), frame.pts_seconds) for frame in frames[:2]] == [(8, 0), (10, pytest.approx(0.2))]
    assert [frame.picture.width for frame in frames] == [160] * 3
    assert source.unreadable == 1
    said = "\n".join(caplog.messages)
    assert "img_%04d.png has gaps after 8: the pictures there are shown longer" in said
    assert "img_0011.png is not a picture that can be read" in said
    assert "img_%04d.png changes from 160x96 to 80x96: scaled to the first size, with black borders" in said


def test_a_rate_is_for_numbered_pictures(numbered: Path) -> None:
    for name in ("demo:", "img_0008.png"):
        with pytest.raises(InputError, match="fps is for numbered pictures; leave it out for"):
            open_source(name, fps=10)
    with open_live("img_%04d.png", LiveOptions(fps=Fraction(50))) as source:
        assert source.media.rate == 50

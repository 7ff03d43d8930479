"""Files made to exhaust memory or time end in one line, and large videos that people have are read."""

from __future__ import annotations

import io
import resource
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest
from click.testing import Result
from PIL import Image

from livecam.cli.errors import one_line
from livecam.errors import InputError
from livecam.sources import open_source
from tests.support.reading import frames_of

Livecam = Callable[..., Result]


def jpeg(width: int, height: int, claimed: tuple[int, int] | None = None) -> bytes:
    """A JPEG whose header claims another size."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(file, "JPEG")
    data = file.getvalue()
    at = data.index(b"\xff\xc0") + 5
    return data if claimed is None else data[:at] + struct.pack(">HH", *reversed(claimed)) + data[at + 4 :]


def motion_jpeg(path: Path, pictures: list[bytes], size: tuple[int, int]) -> Path:
    with av.open(str(path), "w") as container:
        video = container.add_stream("mjpeg", rate=5)
        video.width, video.height, video.pix_fmt = *size, "yuvj420p"
        for number, data in enumerate(pictures):
            packet = av.Packet(data)
            packet.stream, packet.pts, packet.dts, packet.time_base = video, number, number, Fraction(1, 5)
            packet.is_keyframe = True
            container.mux(packet)
    return path


def gif(path: Path, width: int, height: int) -> Path:
    """A small animation whose header claims another size."""
    images = [Image.new("L", (8, 8), grey) for grey in (0, 128, 255)]
    images[0].save(path, save_all=True, append_images=images[1:])
    data = path.read_bytes()
    path.write_bytes(data[:6] + struct.pack("<HH", width, height) + data[10:])
    return path


def y4m(path: Path, width: int, height: int) -> Path:
    path.write_bytes(f"YUV4MPEG2 W{width} H{height} F25:1 Ip A1:1 C420jpeg\nFRAME\n".encode() + bytes(10_000))
    return path


@pytest.mark.parametrize("name", ["bomb.avi", "bomb.mkv", "bomb.mp4", "bomb.y4m", "bomb.gif"])
def test_pictures_that_would_exhaust_the_memory_are_refused(livecam: Livecam, tmp_path: Path, name: str) -> None:
    size, path = (12_000, 11_000), tmp_path / name
    if name.endswith("gif"):
        gif(path, *size)
    elif name.endswith("y4m"):
        y4m(path, *size)
    else:
        motion_jpeg(path, [jpeg(16, 16, claimed=size)] * 2, size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = livecam("annotate", path, "-o", tmp_path / "out.mp4", "--engine", "eager")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1), result.stderr
    assert "have 12000x11000 pixels, more than 70 megapixels; if there is memory for that, allow more" in result.stderr
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # KiB


def test_an_animation_larger_than_any_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has too many pixels, like files made to exhaust the memory"):
        open_source(gif(tmp_path / "bomb.gif", 65_535, 65_535))


def test_what_people_have_is_read_and_the_limit_can_be_moved(livecam: Livecam, tmp_path: Path) -> None:
    large = motion_jpeg(tmp_path / "large.mkv", [jpeg(8192, 8192)], (8192, 8192))
    with open_source(large) as source:
        assert source.media.width == 8192
    result = livecam("annotate", large, "-o", "null:", "--max-megapixels", "67")
    assert (result.exit_code, "more than 67 megapixels" in result.stderr) == (1, True)
    with pytest.raises(InputError, match="max_megapixels is for videos; leave it out for"):
        open_source("demo:", max_megapixels=1)


def test_pictures_that_grow_beyond_the_limit_later_are_left_out_and_counted(tmp_path: Path) -> None:
    small, large = jpeg(160, 96), jpeg(320, 192)
    path = motion_jpeg(tmp_path / "grows.mkv", [small, small, large, small], (160, 96))
    assert len(frames_of(open_source(path))) == 4
    source = open_source(path, max_megapixels=0.02)
    assert (len(frames_of(source)), source.unreadable) == (3, 1)


def test_an_exhausted_memory_is_told_in_one_line() -> None:
    for error in (MemoryError(), av.error.MemoryError(12, "Cannot allocate memory")):
        assert one_line(error).startswith("livecam: the memory is not enough; ")

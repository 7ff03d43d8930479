"""Sound and picture stay together in what comes out, also of damaged files: beeps coincide with flashes."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from click.testing import Result

from tests.support.flashes import FLASHES, FPS, Change, make_flash_clip, offsets_of_beeps

pytestmark = pytest.mark.usefixtures("quick_shapes")

Livecam = Callable[..., Result]

HALF_A_FRAME_SECONDS = 0.5 / FPS
ENDS_IN = {".ts": "mp4", ".mpg": "mp4", ".avi": "mkv", ".mkv": "mp4", ".mp4": "mkv", ".flv": "mov"}
"""The container to write, by that of the source: another one, so that all is muxed anew."""
CODECS = {
    "mp2.ts": ("libx264", "mp2"),
    "aac.ts": ("libx264", "aac"),
    "mp2.mpg": ("mpeg2video", "mp2"),
    "pcm.avi": ("mpeg4", "pcm_s16le"),
    "mp3.avi": ("mpeg4", "libmp3lame"),
    "opus.mkv": ("libx264", "libopus"),
    "aac.mkv": ("libx264", "aac"),
    "aac.mp4": ("libx264", "aac"),
    "mp3.flv": ("flv1", "libmp3lame"),
}


def sound_clip(folder: Path, name: str, **facts: object) -> Path:
    codec, audio = CODECS[name]
    return make_flash_clip(folder / name, codec=codec, audio=audio, **facts)  # type: ignore[arg-type]


def copied(source: Path, folder: Path) -> Path:
    return Path(shutil.copy(source, folder))


def check_together(livecam: Livecam, source: Path, expected_seconds: float, *, least: int, options: tuple = ()) -> None:
    """Annotate a file, and check that at least so many beeps come as long after their flashes as expected."""
    output = source.with_name(f"out.{ENDS_IN[source.suffix]}")
    quiet = ("--opacity", 0, "--no-caption", "--engine", "eager")
    result = livecam("annotate", source, "-o", output, *quiet, *options)
    assert output.exists(), result.output
    offsets = offsets_of_beeps(output)
    assert len(offsets) >= least, (offsets, result.output)
    assert max(abs(offset - expected_seconds) for offset in offsets) < HALF_A_FRAME_SECONDS, (offsets, result.output)


Sound = Callable[[str], tuple[Path, float]]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    """Return a sound file, and the offset between its sound and picture: what its encoders and container add."""

    @functools.cache
    def made(name: str) -> tuple[Path, float]:
        source = sound_clip(tmp_path_factory.mktemp("sound"), name)
        return source, offsets_of_beeps(source)[0]

    return made


@pytest.mark.parametrize("name", CODECS)
def test_a_sound_file(livecam: Livecam, sound: Sound, tmp_path: Path, name: str) -> None:
    source, offset = sound(name)
    check_together(livecam, copied(source, tmp_path), offset, least=len(FLASHES))


@pytest.mark.parametrize("name", CODECS)
def test_a_part(livecam: Livecam, sound: Sound, tmp_path: Path, name: str) -> None:
    source = sound_clip(tmp_path, name, key_frames=50)
    check_together(livecam, source, sound(name)[1], least=4, options=("--start", 1.5, "--duration", 3))


@pytest.mark.parametrize("name", CODECS)
def test_a_file_that_breaks_off(livecam: Livecam, sound: Sound, tmp_path: Path, name: str) -> None:
    if name == "aac.mp4":
        pytest.skip("an MP4 without its index cannot be read")
    whole, offset = sound(name)
    source = copied(whole, tmp_path)
    source.write_bytes(source.read_bytes()[: source.stat().st_size * 7 // 10])
    check_together(livecam, source, offset, least=3)


@pytest.mark.parametrize("name", [name for name in CODECS if not name.endswith("mp4")])
def test_a_file_with_noise_in_the_middle(livecam: Livecam, sound: Sound, tmp_path: Path, name: str) -> None:
    whole, offset = sound(name)
    source = copied(whole, tmp_path)
    content = bytearray(source.read_bytes())
    middle = len(content) * 45 // 100
    content[middle : middle + len(content) // 12] = bytes((7 * n * n + n) % 251 for n in range(len(content) // 12))
    source.write_bytes(content)
    check_together(livecam, source, offset, least=3)


@pytest.mark.parametrize("name", [name for name in CODECS if not name.endswith("mp4")])
def test_a_file_that_lacks_its_middle(livecam: Livecam, sound: Sound, tmp_path: Path, name: str) -> None:
    whole, offset = sound(name)
    source = copied(whole, tmp_path)
    content = source.read_bytes()
    source.write_bytes(content[: len(content) * 4 // 10] + content[len(content) * 5 // 10 :])
    check_together(livecam, source, offset, least=3)


@pytest.mark.parametrize("name", ["mp2.ts", "aac.ts"])  # MPEG program streams do not store each picture's time
def test_a_recording_that_begins_between_key_frames(livecam: Livecam, sound: Sound, tmp_path: Path, name: str) -> None:
    source = sound_clip(tmp_path, name, key_frames=20)
    offset = sound(name)[1]
    content = source.read_bytes()
    source.write_bytes(content[len(content) // 5 // 188 * 188 :])
    check_together(livecam, source, offset, least=4)


@pytest.mark.parametrize("name", ["mp2.ts", "aac.ts", "mp2.mpg"])
def test_two_recordings_joined(livecam: Livecam, sound: Sound, tmp_path: Path, name: str) -> None:
    whole, offset = sound(name)
    source = copied(whole, tmp_path)
    source.write_bytes(source.read_bytes() * 2)
    check_together(livecam, source, offset, least=2 * len(FLASHES) - 1)


@pytest.mark.parametrize("name", ["mp2.ts", "aac.ts", "mp2.mpg"])
def test_a_clock_of_33_bits_that_wraps(livecam: Livecam, sound: Sound, tmp_path: Path, name: str) -> None:
    offset = sound(name)[1]
    source = sound_clip(tmp_path, name, start_seconds=(1 << 33) // 90_000 - 2)
    check_together(livecam, source, offset, least=len(FLASHES) - 1)


@pytest.mark.parametrize("name", ["aac.mkv", "opus.mkv", "aac.mp4"])
@pytest.mark.parametrize("kind", ["video", "audio"])
def test_doubled_times(livecam: Livecam, sound: Sound, tmp_path: Path, name: str, kind: str) -> None:
    """Every tenth packet of one stream has the time of the one before; none of them begins a flash."""
    offset = sound(name)[1]
    source = sound_clip(tmp_path, name, change=doubled(kind))
    check_together(livecam, source, offset, least=len(FLASHES))


def doubled(kind: str) -> Change:
    """Return a change that gives every tenth packet of a kind of stream the time of the packet before."""
    seen: list[tuple[int, int]] = []

    def change(packet: av.Packet) -> av.Packet:
        if packet.stream.type == kind:
            seen.append((packet.pts, packet.dts))
            if len(seen) % 10 == 9:
                packet.pts, packet.dts = (time + (packet.stream.container.format.name == "mp4") for time in seen[-2])
        return packet

    return change

"""PCM in MP4 and MOV: what follows a pause in it, such as that of a damaged packet, keeps its time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import pytest
from click.testing import Result

from tests.support.flashes import Change, beep_times, make_flash_clip

pytestmark = pytest.mark.usefixtures("quick_shapes")

Livecam = Callable[..., Result]


def without_some_sound(first: int, last: int) -> Change:
    """Return a change that leaves out some packets of sound."""
    numbers = iter(range(1_000_000))
    return lambda packet: packet if packet.stream.type == "video" or not first <= next(numbers) <= last else None


@pytest.mark.parametrize(("ending", "codec"), [("mp4", "pcm_s16le"), ("mov", "pcm_s24le"), ("mp4", "pcm_f32le")])
def test_a_pause_is_filled_with_silence(livecam: Livecam, tmp_path: Path, ending: str, codec: str) -> None:
    source = make_flash_clip(tmp_path / "source.mkv", audio=codec, change=without_some_sound(100, 140))
    output = tmp_path / f"out.{ending}"
    result = livecam("annotate", source, "-o", output, "--engine", "eager")
    assert "has pauses, which the output cannot hold: filled with silence" in result.stderr
    assert beep_times(output) == pytest.approx(beep_times(source), abs=1e-3)


@pytest.mark.parametrize("ending", ["mp4", "mov"])
def test_sound_without_pauses_is_copied(livecam: Livecam, tmp_path: Path, ending: str) -> None:
    """Matroska rounds its times to milliseconds, which is no pause."""
    source = make_flash_clip(tmp_path / "source.mkv", audio="pcm_s16le")
    output = tmp_path / f"out.{ending}"
    result = livecam("annotate", source, "-o", output, "--engine", "eager")
    assert "silence" not in result.stderr
    assert sound_in(output) == sound_in(source)


def test_sound_of_avi_that_only_counts_its_channels_is_copied(livecam: Livecam, tmp_path: Path) -> None:
    source = make_flash_clip(tmp_path / "source.avi", codec="mpeg4", audio="pcm_s16le")
    livecam("annotate", source, "-o", tmp_path / "out.mp4", "--engine", "eager")
    assert sound_in(tmp_path / "out.mp4") == sound_in(source)


def sound_in(path: Path) -> bytes:
    """Return all bytes of a file's sound."""
    with av.open(str(path)) as container:
        return b"".join(bytes(packet) for packet in container.demux(audio=0))

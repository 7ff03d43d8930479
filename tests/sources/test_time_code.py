"""The time code of a recording is that of the first picture that is written."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest
from click.testing import Result

from livecam.sources.time_code import after

pytestmark = pytest.mark.usefixtures("quick_shapes")

Clip = Callable[..., Path]
Livecam = Callable[..., Result]
NTSC, NTSC_60 = Fraction(30000, 1001), Fraction(60000, 1001)


@pytest.mark.parametrize(
    ("time_code", "frames", "rate", "later"),
    [
        ("10:00:00:00", 0, Fraction(25), "10:00:00:00"),
        ("10:00:00:20", 30, Fraction(25), "10:00:02:00"),
        ("23:59:59:24", 1, Fraction(25), "00:00:00:00"),
        ("00:00:59:29", 1, NTSC, "00:01:00:00"),
        ("00:00:59;29", 1, NTSC, "00:01:00;02"),
        ("00:09:59;29", 1, NTSC, "00:10:00;00"),
        ("00:01:00;02", 1798, NTSC, "00:02:00;02"),
        ("00:00:00;00", 17982, NTSC, "00:10:00;00"),
        ("01:00:00;00", 107892, NTSC, "02:00:00;00"),
        ("00:00:59;59", 1, NTSC_60, "00:01:00;04"),
        ("00:00:00:00", 1, None, ""),
        ("at noon", 1, Fraction(25), ""),
    ],
)
def test_frames_are_added_to_a_time_code(time_code: str, frames: int, rate: Fraction | None, later: str) -> None:
    assert after(time_code, frames, rate) == later


def with_time_code(clip: Clip, ending: str, time_code: str) -> Path:
    plain = clip("plain.mkv", frames=60, b_frames=2)
    target = plain.with_name(f"clip.{ending}")
    with av.open(str(plain)) as container, av.open(str(target), "w") as copy:
        video = copy.add_stream_from_template(container.streams[0], opaque=True)
        video.codec_context.framerate = 25
        video.metadata["timecode"] = time_code
        for packet in container.demux():
            if packet.size:
                packet.stream = video
                copy.mux(packet)
    return target


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("source", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize(("start", "first"), [(0, "10:00:00:20"), (1.6, "10:00:02:10")])
def test_a_time_code_is_written_again(
    livecam: Livecam, clip: Clip, source: str, ending: str, start: float, first: str
) -> None:
    recording = with_time_code(clip, source, "10:00:00:20")
    output = recording.with_name(f"out.{ending}")
    result = livecam("annotate", recording, "-o", output, "--start", start)
    assert result.exit_code == 0, result.output
    assert "not carried over" not in result.stderr
    with av.open(str(output)) as container:
        tags = {key.lower(): tag for key, tag in container.streams.video[0].metadata.items()}
        assert tags["timecode"] == first
        assert len(container.streams.data) == (ending != "mkv")

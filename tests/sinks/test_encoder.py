"""Encoders get what they and the players take; what they refuse, and what changes, is told."""

from __future__ import annotations

import io
import logging
import os
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest

from livecam.errors import OutputError
from livecam.picture.media import Media
from livecam.sinks import EncoderOptions, open_sink
from livecam.sinks.encoder import add_encoder, notes_on
from livecam.sources import open_source
from livecam.system.cores import leave_real_time
from tests.support.clips import facts_of
from tests.support.copying import copied

pytestmark = pytest.mark.usefixtures("quick_shapes")

Clip = Callable[..., Path]


def level(path: Path) -> int:
    """FFmpeg's number of the level of H.264: 42 is 4.2."""
    with av.open(str(path)) as container:
        return container.streams.video[0].codec_context.level


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("denominator", [90000, 1200000, 65537])
def test_mpeg4_gets_a_unit_of_time_that_it_has(clip: Clip, tmp_path: Path, denominator: int, ending: str) -> None:
    step = denominator // 25
    source = clip("clip.mp4", time_base=Fraction(1, denominator), pts=[step * n for n in range(12)])
    before, after = facts_of(source), facts_of(copied(source, tmp_path / f"out.{ending}", "mpeg4"))
    assert len(after.times) == 12
    for was, now in zip(before.times, after.times, strict=True):
        assert abs(was - now) <= Fraction(1, 2000 if ending == "mkv" else 2 * 60000)


@pytest.mark.parametrize(
    ("codec", "ending", "reason"),
    [
        ("mpeg2video", "mkv", "MPEG-1/2 does not support 90000/1 fps"),
        ("mjpeg", "mov", "Non full-range YUV is non-standard"),
        ("h263", "mov", "width and height must be a multiple of 4"),
        ("dnxhd", "mov", "video parameters incompatible with DNxHD"),
    ],
)
def test_the_reason_of_an_encoder_that_refuses_is_told(
    clip: Clip, tmp_path: Path, codec: str, ending: str, reason: str
) -> None:
    source = clip("clip.ts", frames=2)
    with pytest.raises(OutputError, match=rf"{codec} does not take 160x90 \w+ \({reason}.*\); choose another --codec"):
        copied(source, tmp_path / f"out.{ending}", codec)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="only Linux has real-time threads")
@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root may have real-time threads")
def test_no_thread_of_an_encoder_goes_before_other_programs(clip: Clip, tmp_path: Path) -> None:
    with open_source(clip("clip.mp4")) as source:
        sink = open_sink(tmp_path / "out.mkv", source.media, encoder=EncoderOptions(codec="libsvtav1"))
        try:
            threads = [int(path.name) for path in Path("/proc/self/task").iterdir()]
            assert {os.sched_getscheduler(thread) for thread in threads} == {os.SCHED_OTHER}
        finally:
            leave_real_time()
            sink.abort()


def test_the_reason_is_told_of_a_preset_too(clip: Clip, tmp_path: Path) -> None:
    with open_source(clip(frames=2)) as source, pytest.raises(OutputError, match="--preset 77 .Error setting preset"):
        open_sink(tmp_path / "out.mp4", source.media, encoder=EncoderOptions(preset="77"))


def without_rate(clip: Clip, path: Path, pts_ms: list[int], *, codec: str = "libvpx-vp9") -> Path:
    """A clip as browsers record it: its container counts milliseconds, and gives nothing else for a rate."""
    source = clip(
        "timed.mkv", codec=codec, size=(320, 180), frames=len(pts_ms), pts=pts_ms, time_base=Fraction(1, 1000)
    )
    with av.open(str(source)) as container, av.open(str(path), "w", container_options={"live": "1"}) as copy:
        stream = copy.add_stream_from_template(container.streams.video[0], opaque=True)
        stream.codec_context.framerate = 1000
        for packet in container.demux(video=0):
            if packet.size:
                packet.stream, packet.duration = stream, 1
                copy.mux(packet)
    return path


@pytest.mark.parametrize(("name", "codec"), [("clip.webm", "libvpx-vp9"), ("clip.mkv", "libx264")])
def test_a_rate_that_only_says_how_time_is_counted_raises_no_level(
    clip: Clip, tmp_path: Path, name: str, codec: str
) -> None:
    source = without_rate(clip, tmp_path / name, [0, 17, 34, 67, 101, 117, 133, 167], codec=codec)
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        assert (stream.average_rate or stream.guessed_rate) > 200
    output = copied(source, tmp_path / "out.mp4")
    assert level(output) == 13
    assert len(facts_of(output).times) == 8


@pytest.mark.parametrize(("rate", "expected"), [(25, 12), (240, 31)])
def test_a_true_rate_makes_the_level(clip: Clip, tmp_path: Path, rate: int, expected: int) -> None:
    source = clip("clip.mp4", rate=rate, size=(320, 180), frames=30)
    assert level(copied(source, tmp_path / "out.mp4")) == expected


@pytest.mark.parametrize(
    ("source", "codec", "ending", "written", "note"),
    [
        (("ffv1", "bgr0"), "libx264", "mp4", "yuv420p", "the output is 4:2:0: colours have less resolution .* bgr0"),
        (("libx264rgb", "rgb24"), "libx265", "mov", "yuv420p", "the output is 4:2:0: colours have less resolution"),
        (("ffv1", "bgr0"), "ffv1", "mkv", "yuv444p", ""),
        (("libx264", "yuv444p"), "libx264", "mp4", "yuv444p", "the output is 4:4:4 like the input, which browsers"),
        (("mjpeg", "yuvj422p"), "libx264", "mkv", "yuv422p", "the output is 4:2:2 like the input, which browsers"),
        (("libx264", "yuv444p"), "mpeg4", "mp4", "yuv420p", "the output is 4:2:0: colours have less resolution"),
        (
            ("libx264", "yuv422p10le"),
            "libx264",
            "mp4",
            "yuv422p",
            "the output has 8 bits a channel, the input yuv422p10le",
        ),
        (("libx264", "yuv420p"), "libx264", "mp4", "yuv420p", ""),
        (("ffv1", "gray"), "libx264", "mp4", "yuv420p", ""),
    ],
)
def test_colours_are_written_as_players_take_them_or_told(
    clip: Clip,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    source: tuple[str, str],
    codec: str,
    ending: str,
    written: str,
    note: str,
) -> None:
    color = (2, 5, 2, 2) if source[0] == "mjpeg" else None
    path = clip("clip.mkv", codec=source[0], pixel_format=source[1], color=color, frames=4)
    with caplog.at_level(logging.WARNING, "livecam"):
        output = copied(path, tmp_path / f"out.{ending}", codec)
    with av.open(str(output)) as container:
        assert container.streams.video[0].codec_context.pix_fmt.replace("yuvj", "yuv") == written
    if note:
        assert len([message for message in caplog.messages if "the output" in message]) == 1 + ("10le" in source[1])
        assert any(re.search(note, message) for message in caplog.messages)
    else:
        assert not [message for message in caplog.messages if "the output" in message]


@pytest.mark.parametrize("frames", [1, 2])
def test_hevc_of_a_picture_or_two_is_written(clip: Clip, tmp_path: Path, frames: int) -> None:
    """x265 subtracts a number that it never set, which goes wrong now and then."""
    source = clip(frames=frames)
    for number in range(8):
        assert len(facts_of(copied(source, tmp_path / f"out{number}.mp4", "libx265")).times) == frames


@pytest.mark.parametrize(
    ("size", "rate", "codec", "level"),
    [
        ((4608, 2592), 25, "libx264", "6.0"),
        ((1280, 720), 600, "libx264", "6.0"),
        ((1280, 720), 60, "libx264", ""),
        ((4608, 2592), 25, "mpeg4", ""),
    ],
)
def test_a_level_that_few_players_have_is_told(size: tuple[int, int], rate: int, codec: str, level: str) -> None:
    width, height = size
    media = Media(width=width, height=height, pixel_format="yuv420p", time_base=Fraction(1, rate), rate=Fraction(rate))
    with av.open(io.BytesIO(), "w", format="mp4") as container:
        notes = notes_on(add_encoder(container, media, EncoderOptions(codec), codec), media)
    assert [f"H.264 level {level}, because" in note for note in notes] == ([True] if level else [])

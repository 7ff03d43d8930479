"""Annotating changes the pixels and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from click.testing import Result

from tests.support.clips import Facts, facts_of, number_in
from tests.support.packets import remuxed

pytestmark = pytest.mark.usefixtures("quick_shapes")

Clip = Callable[..., Path]
Livecam = Callable[..., Result]

BT709, BT601 = (1, 1, 1, 1), (1, 6, 6, 6)
FULL = (2, 1, 1, 1)
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "variable rate": {"time_base": Fraction(1, 600), "pts": [0, 20, 45, 50, 100, 101, 160, 200, 260, 261, 270, 400]},
    "late start": {"time_base": Fraction(1, 90000), "pts": [210003 + 3003 * n for n in range(12)]},
    "29.97": {"rate": Fraction(30000, 1001)},
    "b-frames": {"b_frames": 2, "frames": 30},
    "rotated 90": {"rotation": 90},
    "rotated 180": {"rotation": 180},
    "wide pixels": {"aspect": Fraction(4, 3)},
    "10 bit": {"pixel_format": "yuv420p10le"},
    "4:4:4": {"pixel_format": "yuv444p"},
    "4:2:2": {"pixel_format": "yuv422p"},
    "full range": {"color": FULL},
    "BT.709": {"color": BT709},
    "BT.601": {"color": BT601},
    "mixed colours": {"color": (2, 6, 5, 1)},
    "odd size": {"size": (321, 181), "pixel_format": "yuv444p"},
    "audio": {"audio": ["aac"]},
    "two audio tracks": {"audio": ["aac", "aac"]},
}
CONTAINERS: dict[str, dict[str, Any]] = {
    "mp4": {"audio": ["aac"], "b_frames": 2},
    "mov": {"audio": ["aac"], "b_frames": 2},
    "mkv": {"audio": ["aac"], "b_frames": 2, "subtitles": True},
    "webm": {"audio": ["libopus"], "codec": "libvpx-vp9"},
    "avi": {"audio": ["libmp3lame"], "codec": "mpeg4"},
    "ts": {"audio": ["libmp3lame"], "b_frames": 2},
}

COUNTED_FROM_ANYWHERE = ("ts",)
"""Their clocks begin with any time; the output begins at 0."""


def annotated(livecam: Livecam, source: Path, ending: str, *options: object) -> tuple[Facts, Facts, Result]:
    output = source.with_name(f"out.{ending}")
    report = source.with_name("report.json")
    result = livecam(
        "annotate", source, "-o", output, "--weights", "none", "--opacity", 0.3, "--report", report, *options
    )
    assert result.exit_code == 0, result.output
    before, after = facts_of(source), facts_of(output)
    frames = json.loads(report.read_text())["frames"]
    assert frames["read"] == frames["explained"] == frames["written"] == len(before.times)
    assert json.loads(report.read_text())["verified"] is True
    assert [path.name for path in source.parent.glob("*.part*")] == []
    return before, after, result


def assert_same_times(before: Facts, after: Facts, ending: str) -> None:
    if ending == "mkv":  # Matroska counts in milliseconds
        assert after.times == [Fraction(round(time * 1000), 1000) for time in before.times]
    else:
        assert after.times == before.times


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
@pytest.mark.parametrize("case", CASES)
def test_all_but_the_pixels_stays(livecam: Livecam, clip: Clip, case: str, ending: str) -> None:
    source = clip("clip.mp4", **CASES[case])
    before, after, result = annotated(livecam, source, ending)
    assert_same_times(before, after, ending)
    assert (after.rotation, after.aspect, after.color) == (before.rotation, before.aspect, before.color)
    assert [(name, [data for _, data in packets]) for name, packets in after.copied] == [
        (name, [data for _, data in packets]) for name, packets in before.copied
    ]
    assert after.size == before.size
    assert after.pixel_format.replace("yuvj", "yuv") == before.pixel_format.replace("10le", "").replace("yuvj", "yuv")
    assert [number_in(picture) for picture in after.pictures] == list(range(len(before.pictures)))
    assert ("8 bits" in result.stderr) == (case == "10 bit")


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
@pytest.mark.parametrize("container", CONTAINERS)
def test_every_container_is_read(livecam: Livecam, clip: Clip, container: str, ending: str) -> None:
    source = clip(f"clip.{container}", **CONTAINERS[container])
    before, after, _ = annotated(livecam, source, ending)
    audio_before, audio_after = before.copied[0], after.copied[0]
    begin = min(before.times[0], audio_before[1][0][0]) if container in COUNTED_FROM_ANYWHERE else 0
    before.times = [time - begin for time in before.times]
    assert_same_times(before, after, ending)
    assert [number_in(picture) for picture in after.pictures] == list(range(len(before.pictures)))
    assert audio_after[0] == audio_before[0]
    assert [data for _, data in audio_after[1]] == [data for _, data in audio_before[1]]
    for (time_before, _), (time_after, _) in zip(audio_before[1], audio_after[1], strict=True):
        assert abs(time_after - time_before + begin) < Fraction(1, 1000)


def test_odd_sizes_in_420_are_padded_by_one_line(livecam: Livecam, clip: Clip) -> None:
    source = clip("clip.mkv", size=(321, 181), codec="ffv1")
    before, after, _ = annotated(livecam, source, "mp4", "--no-caption")
    assert (before.size, after.size) == ((321, 181), (322, 182))
    report = json.loads(source.with_name("report.json").read_text())
    assert report["output"]["picture_size"] == [321, 181]
    assert report["output"]["coded_size"] == [322, 182]


def test_subtitles_chapters_and_metadata_are_carried_over(livecam: Livecam, clip: Clip) -> None:
    chapters = [
        {"id": n, "start": 200 * n, "end": 200 * n + 200, "time_base": Fraction(1, 1000), "metadata": {"title": title}}
        for n, title in enumerate(["one", "two"])
    ]
    source = clip("clip.mkv", subtitles=True, chapters=chapters, metadata={"title": "A clip", "artist": "Somebody"})
    before, after, _ = annotated(livecam, source, "mkv")
    assert after.copied == before.copied
    assert before.copied[0][1]
    assert after.chapters == before.chapters == [(0, 0.2, "one"), (0.2, 0.4, "two")]
    source_in_mp4 = source.with_name("in.mp4")
    annotated(livecam, source, "mp4")
    source.with_name("out.mp4").rename(source_in_mp4)
    _, after, _ = annotated(livecam, source_in_mp4, "mp4")
    assert after.chapters == before.chapters
    assert {key.lower(): value for key, value in after.metadata.items()}.items() >= {
        "title": "A clip",
        "artist": "Somebody",
    }.items()


def reordered(source: Path, target: Path, order: list[int], attachment: bytes = b"") -> Path:
    """The same packets with the streams in another order, perhaps with an attachment, in another container."""
    with av.open(str(source)) as container, av.open(str(target), "w") as copy:
        streams = {i: copy.add_stream_from_template(container.streams[i], opaque=True) for i in order}
        if attachment:
            copy.add_attachment("font.ttf", "application/x-truetype-font", attachment)
        for packet in container.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                copy.mux(packet)
    return target


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_the_video_need_not_be_the_first_stream(livecam: Livecam, clip: Clip, ending: str) -> None:
    plain = clip("plain.mp4", audio=["aac"], b_frames=2, frames=30)
    source = reordered(plain, plain.with_name(f"swapped.{ending}"), [1, 0])
    _, after, _ = annotated(livecam, source, ending)
    assert [number_in(picture) for picture in after.pictures] == list(range(30))


def test_attachments_stay_in_matroska_and_are_named_elsewhere(livecam: Livecam, clip: Clip) -> None:
    plain = clip("plain.mp4")
    source = reordered(plain, plain.with_name("fonts.mkv"), [0], attachment=b"not really a font")
    annotated(livecam, source, "mkv")
    with av.open(str(source.with_name("out.mkv"))) as container:
        (kept,) = [stream for stream in container.streams if stream.type == "attachment"]
        assert (kept.name, kept.data) == ("font.ttf", b"not really a font")
    _, _, result = annotated(livecam, source, "mp4")
    assert "left out: .mp4 files cannot hold stream 1 (attachment" in result.stderr


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_aac_in_mpeg_ts_gets_the_headers_that_the_output_wants(livecam: Livecam, clip: Clip, ending: str) -> None:
    source = clip("clip.ts", audio=["aac"], frames=25)
    before, after, _ = annotated(livecam, source, ending)
    payload = [data[7:] for _, data in before.copied[0][1]]  # MPEG-TS has seven bytes of header in front of each
    assert [data for _, data in after.copied[0][1]] == payload
    with av.open(str(source.with_name(f"out.{ending}"))) as container:
        assert sum(1 for _ in container.decode(audio=0)) > 20


@pytest.mark.parametrize(("codec", "pixel_format"), [("ffv1", "bgr0"), ("ffv1", "gray"), ("libx264rgb", "rgb24")])
def test_rgb_and_grey_sources_keep_their_colours(livecam: Livecam, clip: Clip, codec: str, pixel_format: str) -> None:
    source = clip("clip.mkv", codec=codec, pixel_format=pixel_format, frames=3)
    before, after, _ = annotated(livecam, source, "mp4", "--no-caption", "--opacity", 0, "--crf", 5)
    for one, other in zip(before.pictures, after.pictures, strict=True):
        assert np.abs(one.astype(int) - other).mean() < 6


def test_a_part_has_all_its_audio_where_the_file_stores_it_late(livecam: Livecam, clip: Clip, tmp_path: Path) -> None:
    plain = clip("plain.mp4", frames=100, audio=["aac"])
    # Fragments of two seconds: picture first, its sound afterwards.
    options = {"movflags": "empty_moov+default_base_moof", "frag_duration": "2000000"}
    source = remuxed(plain, tmp_path / "late.mp4", **options)
    output = tmp_path / "out.mp4"
    assert livecam("annotate", source, "-o", output, "--weights", "none", "--duration", 1.5).exit_code == 0
    assert facts_of(output).copied[0][1][-1][0] > 1.4


def test_a_stream_that_the_output_cannot_hold_is_named(livecam: Livecam, clip: Clip) -> None:
    _, after, result = annotated(livecam, clip("clip.mkv", audio=["wavpack"]), "mp4")
    assert after.copied == []
    assert "left out: .mp4 files cannot hold stream 1 (audio, wavpack)" in result.stderr


def test_text_that_the_output_cannot_hold_is_converted_and_named(livecam: Livecam, clip: Clip) -> None:
    before, after, result = annotated(livecam, clip("clip.mkv", subtitles=True), "webm")
    assert after.copied == [("webvtt", before.copied[0][1])]
    assert "note: stream 1 (subtitle, subrip) is converted to webvtt" in result.stderr


def test_an_avi_with_b_frames_plays_in_order(livecam: Livecam, clip: Clip) -> None:
    source = clip("clip.avi", b_frames=2, frames=20)
    output = source.with_name("out.mp4")
    assert livecam("annotate", source, "-o", output, "--weights", "none", "--opacity", 0.3).exit_code == 0
    after = facts_of(output)
    assert [number_in(picture) for picture in after.pictures] == list(range(20))
    assert np.unique(np.diff(after.times)).tolist() == [Fraction(1, 25)]


def test_a_part_begins_at_zero_with_its_audio(livecam: Livecam, clip: Clip) -> None:
    source = clip("clip.mp4", frames=50, audio=["aac"])
    output = source.with_name("out.mp4")
    result = livecam(
        "annotate", source, "-o", output, "--weights", "none", "--opacity", 0.3, "--start", 0.4, "--duration", 1
    )
    assert result.exit_code == 0, result.output
    after = facts_of(output)
    assert [number_in(picture) for picture in after.pictures] == list(range(10, 35))
    assert after.times == [Fraction(n, 25) for n in range(25)]
    (_, packets) = after.copied[0]
    assert 0 <= packets[0][0] < 0.03
    assert 0.9 < packets[-1][0] < 1

"""Subtitles of text are converted to what the output holds: each line with its words, its time and its duration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import pytest

from livecam.sinks import Sink, open_sink
from livecam.sources import open_source

Clip = Callable[..., Path]
Line = tuple[int, int, str]
"""Begin and end in milliseconds, and the words."""

LINES = [(200, 700, "first"), (700, 900, "at once"), (1240, 1800, "ätsch & so")]
HELD = {"mkv": ["subrip", "ass", "webvtt"], "mp4": ["mov_text"], "webm": ["webvtt"]}
BECOMES = {"mp4": "mov_text", "mov": "mov_text", "mkv": "subrip", "webm": "webvtt"}


def subtitled(clip: Clip, name: str, codec: str, lines: Sequence[Line] = LINES) -> Path:
    """A clip of two seconds with lines of text in a format."""
    plain = clip(f"plain-{name}", frames=50, codec="libvpx-vp9" if name.endswith("webm") else "libx264")
    target = plain.with_name(name)
    decoder = av.CodecContext.create("subrip", "r")
    decoder.open()
    with av.open(str(plain)) as container, av.open(str(target), "w") as copy:
        video, text = copy.add_stream_from_template(container.streams[0], opaque=True), copy.add_stream(codec)
        text.codec_context.time_base = Fraction(1, 1000)
        text.codec_context.subtitle_header = decoder.subtitle_header
        text.metadata["language"] = "eng"
        for number, (begin, end, words) in enumerate(lines):
            dialogue = av.subtitles.subtitle.SubtitleSet.create(f"{number},0,Default,,0,0,0,,{words}".encode(), 0, 0)
            packet = text.codec_context.encode_subtitle(dialogue)
            packet.stream, packet.time_base = text, Fraction(1, 1000)
            packet.pts, packet.dts, packet.duration = begin, begin, end - begin
            copy.mux(packet)
        for packet in container.demux():
            if packet.size:
                packet.stream = video
                copy.mux(packet)
    return target


def written(source: Path, output: Path) -> Sink:
    with open_source(source) as frames:
        sink = open_sink(output, frames.media)
        for frame in frames.frames(sink.copy):
            sink.write(frame.picture, frame)
        assert sink.finish() is True
    return sink


def lines_of(path: Path) -> list[Line]:
    lines = []
    with av.open(str(path)) as container:
        for packet in container.demux(subtitles=0):
            begin, end = (
                round(1000 * time * packet.time_base)
                for time in (packet.pts or 0, (packet.pts or 0) + (packet.duration or 0))
            )
            lines += [(begin, end, line.dialogue.decode()) for line in (packet.decode() if packet.size else [])]
    return lines


def codec_of(path: Path) -> str:
    with av.open(str(path)) as container:
        return container.streams.subtitles[0].codec_context.codec.canonical_name


@pytest.mark.parametrize("ending", BECOMES)
@pytest.mark.parametrize(("source", "codec"), [(ending, codec) for ending, codecs in HELD.items() for codec in codecs])
def test_text_is_in_every_output_at_its_time(
    clip: Clip, tmp_path: Path, caplog: pytest.LogCaptureFixture, source: str, codec: str, ending: str
) -> None:
    told, output = subtitled(clip, f"clip.{source}", codec), tmp_path / f"out.{ending}"
    assert lines_of(told) == LINES
    sink = written(told, output)
    assert lines_of(output) == LINES
    is_kept = codec in HELD.get(ending, [BECOMES[ending]])
    assert codec_of(output) == (codec if is_kept else BECOMES[ending])
    note = f"stream 1 (subtitle, {codec}) is converted to {BECOMES[ending]}"
    assert caplog.messages == ([] if is_kept else [note])
    assert sink.report()["output"]["copied_packets"] == {"1": len(LINES)}
    with av.open(str(output)) as container:
        assert container.streams.subtitles[0].metadata["language"] == "eng"


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_lines_that_begin_together_are_all_there(clip: Clip, tmp_path: Path, ending: str) -> None:
    lines = [(200, 700, "above"), (200, 700, "below"), (900, 1100, "later")]
    sink = written(subtitled(clip, "clip.mkv", "ass", lines), tmp_path / f"out.{ending}")
    assert [words for _, _, words in lines_of(tmp_path / f"out.{ending}")] == ["above", "below", "later"]
    assert sink.report()["output"]["mended_packets"] == {"1": 1 if ending == "mp4" else 0}


def test_long_pauses_between_lines_are_pauses(clip: Clip, tmp_path: Path) -> None:
    """Longer than a fragment of the file in the making, at the end of which a line must not be drawn out."""
    lines = [(begin, begin + 100, f"at {begin}") for begin in (0, 700, 1900)]
    written(subtitled(clip, "clip.mkv", "subrip", lines), tmp_path / "out.mp4")
    assert lines_of(tmp_path / "out.mp4") == lines


def test_pictures_of_text_are_named_and_left_out(clip: Clip, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    plain, source = clip("plain.mkv", frames=5), tmp_path / "clip.mkv"
    with av.open(str(plain)) as container, av.open(str(source), "w") as copy:
        video, text = copy.add_stream_from_template(container.streams[0], opaque=True), copy.add_mux_stream("pgssub")
        picture = av.Packet(bytes(30))
        picture.stream, picture.time_base, picture.pts, picture.dts = text, Fraction(1, 1000), 0, 0
        copy.mux(picture)
        for packet in container.demux():
            if packet.size:
                packet.stream = video
                copy.mux(packet)
    written(source, tmp_path / "out.mp4")
    assert caplog.messages[:1] == [
        "left out: .mp4 files cannot hold stream 1 (subtitle, hdmv_pgs_subtitle); .mkv files can"
    ]

"""Copied streams: what an output cannot hold and what is damaged is left out, counted and told; the rest is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest

from livecam.sinks import Sink, open_sink
from livecam.sources import open_source
from tests.support.clips import facts_of

Clip = Callable[..., Path]
Change = Callable[[av.Packet], None]
DAMAGED = 5
"""The copied packet that is changed."""


def written(source: Path, output: Path, change: Change | None = None) -> Sink:
    """A finished sink for all of a clip, of which one copied packet was changed."""
    with open_source(source) as frames:
        sink = open_sink(output, frames.media)
        packets: list[av.Packet] = []

        def copy(packet: av.Packet) -> None:
            packets.append(packet)
            if change and len(packets) == DAMAGED + 1:
                change(packet)
            sink.copy(packet)

        for frame in frames.frames(copy):
            sink.write(frame.picture, frame)
        assert sink.finish() is True
    return sink


def counts(sink: Sink) -> tuple[int, int, int]:
    """The packets of stream 1 that were copied, mended and left out."""
    output: dict[str, Any] = sink.report()["output"]
    return tuple(output[f"{kind}_packets"]["1"] for kind in ("copied", "mended", "left_out"))


def with_time_of_one_before(packet: av.Packet) -> None:
    packet.pts = packet.dts = packet.pts - round(1024 / 48000 / packet.time_base)


def without_time(packet: av.Packet) -> None:
    packet.pts = packet.dts = None


def long_ago(packet: av.Packet) -> None:
    packet.pts = packet.dts = packet.pts - round(5 / packet.time_base)


def corrupt(packet: av.Packet) -> None:
    packet.is_corrupt = True


@pytest.mark.parametrize(("source", "ending"), [("mkv", "mp4"), ("mp4", "mov"), ("ts", "mp4"), ("mov", "mkv")])
def test_a_packet_with_the_time_of_another_comes_after_it(
    clip: Clip, tmp_path: Path, caplog: pytest.LogCaptureFixture, source: str, ending: str
) -> None:
    plain, output = clip(f"clip.{source}", frames=25, audio=["aac"]), tmp_path / f"out.{ending}"
    sink = written(plain, output, with_time_of_one_before)
    before, after = facts_of(plain).copied[0][1], facts_of(output).copied[0][1]
    assert counts(sink) == (len(before), 1, 0)
    times = [time for time, _ in after]
    assert times == sorted(set(times))
    assert len(times) == len(before)
    assert float(times[DAMAGED] - times[DAMAGED - 1]) < 0.002
    assert caplog.messages == [f"stream 1 (audio, aac): of {len(before)} packets, 1 moved to a later time"]


@pytest.mark.parametrize("change", [without_time, long_ago, corrupt])
@pytest.mark.parametrize(("source", "ending"), [("mkv", "mp4"), ("ts", "mkv")])
def test_a_packet_that_is_of_no_use_is_left_out(
    clip: Clip, tmp_path: Path, caplog: pytest.LogCaptureFixture, source: str, ending: str, change: Change
) -> None:
    plain, output = clip(f"clip.{source}", frames=25, audio=["libmp3lame"]), tmp_path / f"out.{ending}"
    sink = written(plain, output, change)
    before, after = facts_of(plain).copied[0][1], facts_of(output).copied[0][1]
    del before[DAMAGED]
    assert counts(sink) == (len(before), 0, 1)
    assert [data for _, data in after] == [data for _, data in before]
    assert caplog.messages == [f"stream 1 (audio, mp3): of {len(before) + 1} packets, 1 left out"]


@pytest.mark.parametrize("number", [0, DAMAGED])
@pytest.mark.parametrize(
    ("codec", "source", "ending"),
    [("aac", "ts", "mp4"), ("aac", "ts", "mkv"), ("ac3", "mkv", "mp4"), ("ac3", "ts", "mkv"), ("eac3", "mkv", "mov")],
)
def test_a_packet_without_its_header_is_left_out(
    clip: Clip, tmp_path: Path, codec: str, source: str, ending: str, number: int
) -> None:
    """Each packet of AC-3, and of AAC in MPEG-TS, has one, without which it cannot be read."""
    plain = clip(f"clip.{source}", frames=25, audio=[codec])
    before = facts_of(plain).copied[0][1]
    with open_source(plain) as frames:
        sink = open_sink(tmp_path / f"out.{ending}", frames.media)
        packets: list[av.Packet] = []
        for frame in frames.frames(packets.append):
            sink.write(frame.picture, frame)
        for packet in [*packets[:number], with_data(packets[number], bytes(100)), *packets[number + 1 :]]:
            sink.copy(packet)
        assert sink.finish() is True
    assert counts(sink) == (len(before) - 1, 0, 1)


def with_data(packet: av.Packet, data: bytes) -> av.Packet:
    """A packet of the same stream and time."""
    other = av.Packet(data)
    other.stream, other.time_base, other.duration = packet.stream, packet.time_base, packet.duration
    other.pts, other.dts = packet.pts, packet.dts
    return other


def with_second_track(source: Path, target: Path) -> Path:
    """The same clip, with a second track of sound announced that has no packets."""
    with av.open(str(source)) as container, av.open(str(target), "w") as copy:
        streams = [copy.add_stream_from_template(s, opaque=True) for s in [*container.streams, container.streams[1]]]
        for packet in container.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                copy.mux(packet)
    return target


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize(
    ("source", "why"),
    [("ts", "no packets near the beginning, or none"), ("mkv", "has no packets")],
)
def test_a_track_without_packets_is_named_and_left_out(
    clip: Clip, tmp_path: Path, caplog: pytest.LogCaptureFixture, source: str, ending: str, why: str
) -> None:
    plain = clip("plain.mp4", frames=25, audio=["aac"])
    output = tmp_path / f"out.{ending}"
    written(with_second_track(plain, tmp_path / f"clip.{source}"), output)
    assert len(facts_of(output).times) == 25
    assert [name for name, _ in facts_of(output).copied] == ["aac"]
    (note,) = caplog.messages
    assert "stream 2 (audio, aac)" in note
    assert why in note


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("begins_after_seconds", [1, 12])
def test_sound_that_begins_late_is_in_time_and_so_is_all_other(
    clip: Clip, tmp_path: Path, ending: str, begins_after_seconds: int
) -> None:
    """Where a fragment of the file in the making ends there, and the durations of the input are not exact."""
    plain = clip("plain.mp4", frames=60, rate=4, audio=["aac"])
    source, output = with_second_track(plain, tmp_path / "clip.mkv"), tmp_path / f"out.{ending}"
    late: list[av.Packet] = []
    with open_source(source) as frames:
        sink, tracks = open_sink(output, frames.media), frames.media.copied_streams

        def copy(packet: av.Packet) -> None:
            if packet.pts * packet.time_base >= begins_after_seconds:
                late.append(with_data(packet, bytes(packet)))
                late[-1].stream = tracks[1]
                sink.copy(late[-1])
            sink.copy(packet)

        for frame in frames.frames(copy):
            sink.write(frame.picture, frame)
        assert sink.finish() is True
    (_, early_packets), (_, late_packets) = facts_of(output).copied
    assert late_packets == early_packets[-len(late) :]
    assert early_packets == facts_of(source).copied[0][1]


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("length_seconds", [1, 15])
def test_after_a_gap_sound_is_in_time(clip: Clip, tmp_path: Path, ending: str, length_seconds: int) -> None:
    source, output = clip("clip.mkv", frames=80, rate=4, audio=["aac"]), tmp_path / f"out.{ending}"
    with open_source(source) as frames:
        sink = open_sink(output, frames.media)

        def copy(packet: av.Packet) -> None:
            if not 2 < packet.pts * packet.time_base < 2 + length_seconds:
                sink.copy(packet)

        for frame in frames.frames(copy):
            sink.write(frame.picture, frame)
        assert sink.finish() is True
    before, after = facts_of(source).copied[0][1], facts_of(output).copied[0][1]
    assert after == [(time, data) for time, data in before if not 2 < time < 2 + length_seconds]


@pytest.mark.parametrize(
    ("codec", "source", "ending"),
    [("libopus", "mkv", "mov"), ("flac", "mkv", "mov"), ("wavpack", "mkv", "mp4"), ("aac", "mp4", "webm")],
)
def test_a_codec_that_the_output_cannot_hold_is_named_and_left_out(
    clip: Clip, tmp_path: Path, caplog: pytest.LogCaptureFixture, codec: str, source: str, ending: str
) -> None:
    output = tmp_path / f"out.{ending}"
    written(clip(f"clip.{source}", frames=5, audio=[codec]), output)
    assert len(facts_of(output).times) == 5
    assert facts_of(output).copied == []
    name = codec.removeprefix("lib")
    assert caplog.messages == [f"left out: .{ending} files cannot hold stream 1 (audio, {name}); .mkv files can"]

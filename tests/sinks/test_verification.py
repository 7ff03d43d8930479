"""Verification: a file that is not what was written to it is told apart, for each way in which it can differ."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest

from livecam.sinks.verification import Track, flaw_of

Clip = Callable[..., Path]
Change = Callable[[list[av.Packet]], list[av.Packet]]
"""Takes the packets of a clip, returns those to write."""

COUNT = 30


def tracks_of(path: Path) -> list[Track]:
    """What is in a file, as if it had been written."""
    with av.open(str(path)) as container:
        tracks = [Track("the video"), *(Track(f"stream {s.index}") for s in list(container.streams)[1:])]
        for packet in container.demux():
            if packet.size:
                tracks[packet.stream_index].add(packet)
    return tracks


def changed(source: Path, change: Change, streams: int = 2, ending: str = "") -> Path:
    """The same file with other packets."""
    target = source.with_stem("changed") if not ending else source.with_suffix(ending)
    options = {"avoid_negative_ts": "disabled", "movie_timescale": "1440000"}
    with av.open(str(source)) as container, av.open(str(target), "w", container_options=options) as copy:
        kept = list(container.streams)[:streams]
        copies = [copy.add_stream_from_template(stream, opaque=True) for stream in kept]
        for packet in change([packet for packet in container.demux(kept) if packet.size]):
            packet.stream = copies[packet.stream_index]
            copy.mux(packet)
    return target


def moved(stream: int | None, seconds: Fraction, last: int | None = None) -> Change:
    """Move the packets of a stream, or of all, or only the `last` of them."""

    def change(packets: list[av.Packet]) -> list[av.Packet]:
        for packet in [p for p in packets if stream in (None, p.stream_index)][-(last or 0) :]:
            packet.pts += round(seconds / packet.time_base)
            packet.dts += round(seconds / packet.time_base)
        return packets

    return change


def same(packets: list[av.Packet]) -> list[av.Packet]:
    return packets


def without_one(stream: int) -> Change:
    def change(packets: list[av.Packet]) -> list[av.Packet]:
        del packets[[number for number, p in enumerate(packets) if p.stream_index == stream][COUNT // 2]]
        return packets

    return change


@pytest.fixture(params=["mp4", "mov", "mkv"])
def sound(clip: Clip, request: pytest.FixtureRequest) -> Path:
    """A file without a flaw."""
    return clip(f"clip.{request.param}", frames=COUNT, audio=["aac"])


@pytest.mark.parametrize("change", [same, moved(None, Fraction(1))])
def test_a_file_that_is_what_was_written_has_no_flaw(sound: Path, change: Change) -> None:
    """Also if all its streams were moved by the same."""
    assert flaw_of(changed(sound, change), tracks_of(sound)) == ""


@pytest.mark.parametrize(
    ("change", "flaw"),
    [
        (without_one(0), "29 instead of 30 packets of the video are in it"),
        (without_one(1), "packets of stream 1 are in it"),
        (moved(0, Fraction(1, 25), last=1), "the video is up to 0.040 s away from its time"),
        (moved(0, Fraction(-1, 50), last=1), "the video is up to 0.020 s away from its time"),
        (moved(1, Fraction(1, 10)), "stream 1 is up to 0."),
        (moved(0, Fraction(1, 10)), "stream 1 is up to 0."),
    ],
)
def test_a_packet_that_is_not_in_its_place_is_a_flaw(sound: Path, change: Change, flaw: str) -> None:
    assert flaw in flaw_of(changed(sound, change), tracks_of(sound))


def test_a_stream_that_is_missing_is_a_flaw(sound: Path) -> None:
    assert flaw_of(changed(sound, same, streams=1), tracks_of(sound)) == "1 instead of 2 streams are in it"


def test_two_pictures_at_one_time_are_a_flaw(clip: Clip) -> None:
    """Only Matroska can hold them."""
    source = clip("clip.mkv", frames=COUNT)
    assert "the video is up to 0.040 s away" in flaw_of(
        changed(source, moved(0, Fraction(-1, 25), last=1), 1), tracks_of(source)
    )


def test_packets_without_a_time_are_a_flaw(clip: Clip) -> None:
    source = clip("clip.mkv", frames=5)
    plain = changed(source, same, ending=".h264")
    assert flaw_of(plain, tracks_of(source)) == "a packet of the video has no time"


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
def test_times_that_begin_again_are_a_flaw(clip: Clip, tmp_path: Path, codec: str) -> None:
    once, twice = clip("once.ts", frames=COUNT, codec=codec), tmp_path / "twice.ts"
    twice.write_bytes(once.read_bytes() * 2)
    assert flaw_of(twice, tracks_of(once)) == "the times of the video do not rise"


def with_duration(path: Path, seconds: float) -> Path:
    """Write another duration into the header: in milliseconds in Matroska, in the unit of a track in MP4."""
    content = bytearray(path.read_bytes())
    if path.suffix == ".mkv":
        place, duration = content.index(b"\x44\x89\x88") + 3, struct.pack(">d", seconds * 1000)
    else:
        place = content.index(b"mdhd") + 20
        duration = round(seconds * int.from_bytes(content[place - 4 : place], "big")).to_bytes(4, "big")
    content[place : place + len(duration)] = duration
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("ending", "seconds"), [("mkv", 0.5), ("mkv", 3600), ("mp4", 0.5), ("mov", 0.5)])
def test_a_duration_that_is_not_that_of_the_packets_is_a_flaw(clip: Clip, ending: str, seconds: float) -> None:
    source = clip(f"clip.{ending}", frames=COUNT)
    wanted = tracks_of(source)
    flaw = f"it says that it lasts {seconds:.2f} s, and 1.20 s of video are in it"
    assert flaw_of(with_duration(source, seconds), wanted) == flaw

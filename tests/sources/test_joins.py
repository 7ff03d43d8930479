"""Joined recordings: parts follow one another, and sound and picture move together."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest

from livecam.sources.joins import Joins
from livecam.sources.video import VideoSource
from tests.support.reading import number_of

Clip = Callable[..., Path]
HALF_A_FRAME = 0.02


def read(path: Path) -> tuple[list[tuple[int, float]], list[tuple[bytes, float]]]:
    """The numbers and times of pictures, and the data and times of packets of sound."""
    packets: list[av.Packet] = []
    with VideoSource(str(path)) as source:
        pictures = [(number_of(frame), frame.pts_seconds or 0.0) for frame in source.frames(packets.append)]
        assert source.unreadable == 0
    return pictures, [(bytes(packet), float(packet.pts * packet.time_base)) for packet in packets]


@pytest.mark.parametrize(
    ("name", "codec", "b_frames", "sound"),
    [
        ("clip.ts", "libx264", 2, "aac"),
        ("clip.ts", "mpeg2video", 2, "mp2"),
        ("clip.ts", "libx265", 2, "ac3"),
        ("clip.mpg", "mpeg2video", 2, "mp2"),
        ("clip.vob", "mpeg2video", 0, "ac3"),
    ],
)
@pytest.mark.parametrize("parts", [2, 3])
def test_parts_follow_one_another_with_their_sound(
    clip: Clip, name: str, codec: str, b_frames: int, sound: str, parts: int
) -> None:
    path = clip(name, codec=codec, b_frames=b_frames, frames=50, audio=[sound])
    pictures, packets = read(path)
    path.write_bytes(path.read_bytes() * parts)
    joined_pictures, joined_packets = read(path)
    assert [number for number, _ in joined_pictures] == [number for number, _ in pictures] * parts
    assert [data for data, _ in joined_packets] == [data for data, _ in packets] * parts
    times = [seconds for _, seconds in joined_pictures]
    assert all(0.03 < later - earlier < 0.2 for earlier, later in zip(times, times[1:], strict=False))
    for part in range(parts):
        shift_of_pictures = joined_pictures[part * len(pictures)][1] - pictures[0][1]
        shift_of_sound = joined_packets[part * len(packets)][1] - packets[0][1]
        assert abs(shift_of_pictures - shift_of_sound) < HALF_A_FRAME


def test_a_jump_far_ahead_is_a_join(clip: Clip, caplog: pytest.LogCaptureFixture) -> None:
    first = clip("first.ts", frames=30)
    later = clip("later.ts", frames=30, time_base=Fraction(1, 90000), pts=[90000 * 3600 + 3600 * n for n in range(30)])
    first.write_bytes(first.read_bytes() + later.read_bytes())
    pictures, _ = read(first)
    assert [seconds - pictures[0][1] for _, seconds in pictures] == pytest.approx([n / 25 for n in range(60)])
    assert f"{first} consists of joined recordings: the times start again at 1.2 s" in caplog.messages


def test_the_clock_of_a_transport_stream_wraps_around(clip: Clip, caplog: pytest.LogCaptureFixture) -> None:
    begin = 2**33 - 90000  # a second before
    pts = [begin + 3600 * n for n in range(75)]
    pictures, _ = read(clip("clip.ts", frames=75, time_base=Fraction(1, 90000), pts=pts))
    assert [number for number, _ in pictures] == list(range(75))
    assert [seconds - pictures[0][1] for _, seconds in pictures] == pytest.approx([n / 25 for n in range(75)])
    assert caplog.messages == []


@pytest.mark.parametrize("wrong_seconds", [-0.5, -1.3])
@pytest.mark.parametrize("name", ["clip.mkv", "clip.ts", "clip.mp4"])
def test_a_single_wrong_time_is_no_join(clip: Clip, name: str, wrong_seconds: float) -> None:
    with av.open(str(clip(name, frames=50, audio=["aac"]))) as container:
        joins = Joins(container)
        sound = [packet for packet in container.demux(audio=0) if packet.size]
        wrong = sound[70]
        wrong.pts += round(wrong_seconds / wrong.time_base)
        wrong.dts = wrong.pts
        before = [packet.pts for packet in sound]
        for packet in sound:
            joins.place(packet)
    after = [packet.pts for packet in sound]
    assert (after[:70], after[71:]) == (before[:70], before[71:])
    assert joins.found_seconds == []

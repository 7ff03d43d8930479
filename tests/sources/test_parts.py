"""Parts of videos: they begin at the very picture, whatever the container can seek to, and their sound with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import pytest

from livecam.sources import open_source
from tests.support.kinds import every_kind, facts_of_kind
from tests.support.packets import remuxed, without
from tests.support.reading import frames_of, number_of

Clip = Callable[..., Path]


@pytest.fixture
def kind(clip: Clip, request: pytest.FixtureRequest) -> Path:
    return clip(frames=100, key_every=40, **facts_of_kind(*request.param))


@every_kind
def test_a_part_begins_at_its_very_picture(kind: Path) -> None:
    for first in (13, 85):
        frames = frames_of(source := open_source(kind, start_seconds=first / 25, duration_seconds=0.2))
        assert [number_of(frame) for frame in frames] == list(range(first, first + 5))
        assert [frame.pts_seconds for frame in frames] == pytest.approx([n / 25 for n in range(5)], abs=1e-3)
        assert (source.unreadable, source.damaged) == (0, 0)


@pytest.mark.parametrize("name", ["clip.ts", "clip.mpg", "clip.vob", "clip.mkv", "clip.mp4"])
def test_the_sound_of_a_part_begins_and_ends_with_its_picture(clip: Clip, name: str) -> None:
    codec = "mpeg2video" if name.endswith(("mpg", "vob")) else "libx264"
    path = clip(name, codec=codec, frames=150, key_every=60, audio=["libmp3lame"])
    packets: list[av.Packet] = []
    with open_source(path, start_seconds=4, duration_seconds=1) as source:
        assert len(list(source.frames(packets.append))) == 25
    times = [float(packet.pts * packet.time_base) for packet in packets]
    assert 0 <= times[0] < 0.03
    assert 0.97 < times[-1] < 1


def test_a_part_of_a_recording_that_begins_between_key_frames(clip: Clip, tmp_path: Path) -> None:
    path = remuxed(clip("clip.ts", frames=60, key_every=40), tmp_path / "cut.ts", without(*range(20)))
    with open_source(path, start_seconds=0.4) as source:  # at picture 30; the first that can be decoded is 40
        assert [number_of(frame) for frame in source.frames(lambda packet: None)] == list(range(40, 60))
        assert source.unreadable == 10


def test_a_part_behind_a_join(clip: Clip) -> None:
    path = clip("clip.ts", frames=50, key_every=20)
    path.write_bytes(path.read_bytes() * 2)
    frames = frames_of(open_source(path, start_seconds=2.4))
    assert [number_of(frame) for frame in frames] == list(range(10, 50))

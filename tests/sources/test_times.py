"""The times of pictures: each has the time of its own packet, and each packet a picture or a place in the account."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest

from livecam.picture.frame import Frame
from livecam.sources.video import VideoSource
from tests.support.kinds import every_kind, facts_of_kind
from tests.support.packets import Change, overwritten, packets_in, remuxed, without
from tests.support.reading import number_of

Clip = Callable[..., Path]


def read(path: Path) -> tuple[VideoSource, list[Frame]]:
    with VideoSource(str(path)) as source:
        return source, list(source.frames(lambda packet: None))


def places_of(frames: list[Frame]) -> list[float]:
    """The times of frames in units of a frame, from that of the last one."""
    return [(frame.pts_seconds - frames[-1].pts_seconds) * 25 for frame in frames]


@pytest.fixture
def kind(clip: Clip, request: pytest.FixtureRequest) -> Path:
    return clip(frames=30, key_every=12, **facts_of_kind(*request.param))


@every_kind
def test_every_packet_gives_its_picture_at_its_time(kind: Path) -> None:
    source, frames = read(kind)
    assert [number_of(frame) for frame in frames] == list(range(30))
    assert places_of(frames) == pytest.approx(list(range(-29, 1)), abs=0.05)
    assert (source.unreadable, source.damaged) == (0, 0)


@every_kind
@pytest.mark.parametrize("change", [without(0, 1, 2, 3), without(13, 14), overwritten(3, 13, 14, 15)])
def test_every_packet_gives_a_picture_or_is_counted_as_unreadable(kind: Path, tmp_path: Path, change: Change) -> None:
    path = remuxed(kind, tmp_path / f"damaged{kind.suffix}", change)
    source, frames = read(path)
    assert len(frames) + source.unreadable == sum(1 for packet in packets_in(path) if not packet.is_discard)
    after_the_last_key_frame = frames[-6:]
    assert [number_of(frame) for frame in after_the_last_key_frame] == list(range(24, 30))
    assert places_of(after_the_last_key_frame) == pytest.approx(list(range(-5, 1)), abs=0.05)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("clip.ts", "libx264"), ("clip.avi", "libx264"), ("clip.mkv", "libx265"), ("clip.mpg", "mpeg2video")],
)
def test_a_recording_that_begins_between_key_frames(
    clip: Clip, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, codec: str
) -> None:
    whole = clip(name, codec=codec, frames=30, key_every=12)
    path = remuxed(whole, tmp_path / f"cut{whole.suffix}", without(*range(5)))
    source, frames = read(path)
    assert [number_of(frame) for frame in frames] == list(range(12, 30))
    assert source.unreadable == 7
    assert f"{path} begins between key frames: its first 7 frames cannot be decoded" in caplog.messages


def test_an_avi_with_b_frames_keeps_its_times_after_a_loss(clip: Clip, tmp_path: Path) -> None:
    path = remuxed(
        clip("clip.avi", codec="mpeg4", b_frames=2, frames=30, key_every=12), tmp_path / "cut.avi", without(*range(5))
    )
    source, frames = read(path)
    numbers, times = [number_of(frame) for frame in frames], [frame.pts_seconds for frame in frames]
    assert numbers[-18:] == list(range(12, 30))
    assert times[-18:] == pytest.approx([number / 25 for number in numbers[-18:]])
    assert len(frames) + source.unreadable == 25
    assert source.damaged == len(frames) - 18


@pytest.mark.parametrize("name", ["clip.mkv", "clip.ts", "clip.mp4"])
def test_a_double_time_is_set_one_tick_later_and_nothing_after_it_moves(
    clip: Clip, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    def twice(number: int, packet: av.Packet) -> list[av.Packet]:
        if number % 10 == 4:
            packet.pts += round(1 / 25 / packet.time_base)
        return [packet]

    path = remuxed(clip("sound.mkv", frames=30), tmp_path / name, twice)
    _, frames = read(path)
    tick = frames[0].picture.time_base
    times = [(frame.picture.pts - frames[0].picture.pts) * tick for frame in frames]
    assert times == [Fraction(n + (n % 10 == 4), 25) + tick * (n % 10 == 5) for n in range(30)]
    assert f"3 frames of {path} do not come after the frame before: set just after it" in caplog.messages


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mov"])
@pytest.mark.parametrize("duration", [0, -1, 1])
def test_a_table_of_times_that_is_of_no_use_is_not_used(
    clip: Clip, caplog: pytest.LogCaptureFixture, name: str, duration: int
) -> None:
    path = clip(name, frames=30, b_frames=2)
    content = path.read_bytes()
    place = content.index(b"stts") + 16  # after version and flags, the number of entries, and the first one's count
    path.write_bytes(content[:place] + duration.to_bytes(4, signed=True) + content[place + 4 :])
    source, frames = read(path)
    assert [number_of(frame) for frame in frames] == list(range(30))
    assert places_of(frames) == pytest.approx(list(range(-29, 1)), abs=0.05)
    assert source.unreadable == 0
    assert f"the times in {path} are of no use: set to 25 frames a second" in caplog.messages

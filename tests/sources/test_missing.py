"""What a file or a stream promises and does not hold is counted: frames, parts of a playlist, the end of a stream."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from livecam.sources import open_source
from livecam.sources.video import VideoSource
from tests.support.packets import remuxed
from tests.support.reading import ignore, number_of
from tests.support.rtsp import RtspServer

Clip = Callable[..., Path]
FRAMES, FRAMES_IN_PART = 190, 24


@pytest.fixture
def playlist(clip: Clip, tmp_path: Path) -> Path:
    """An HLS playlist of eight parts of 24 frames, the last shorter."""
    source = clip(frames=FRAMES, key_every=FRAMES_IN_PART, audio=["aac"])
    return remuxed(source, tmp_path / "list.m3u8", hls_time="0.5", hls_list_size="0", hls_playlist_type="vod")


def test_a_playlist_is_read_whole(playlist: Path, caplog: pytest.LogCaptureFixture) -> None:
    with VideoSource(str(playlist)) as source:
        assert len(list(source.frames(lambda packet: None))) == FRAMES
        assert (source.unreadable, caplog.messages) == (0, [])


@pytest.mark.parametrize("gone", [[3], [1, 5], [7], [6, 7]])
def test_parts_of_a_playlist_that_are_gone_are_counted(
    playlist: Path, caplog: pytest.LogCaptureFixture, gone: list[int]
) -> None:
    for number in gone:
        playlist.with_name(f"list{number}.ts").unlink()
    with VideoSource(str(playlist)) as source:
        numbers = [number_of(frame) for frame in source.frames(lambda packet: None)]
    assert numbers == [number for number in range(FRAMES) if number // FRAMES_IN_PART not in gone]
    assert abs(source.unreadable - (FRAMES - len(numbers))) <= 1
    assert any(message.startswith("parts of the playlist") for message in caplog.messages)


def test_the_first_part_of_a_playlist_is_gone(playlist: Path) -> None:
    playlist.with_name("list0.ts").unlink()
    with VideoSource(str(playlist)) as source:
        frames = list(source.frames(lambda packet: None))
    assert abs(len(frames) + source.unreadable - FRAMES) <= 1


def read(url: str) -> tuple[int, int]:
    """How many frames came, and how many are said to be missing."""
    with open_source(url) as source:
        return sum(1 for _ in source.frames(ignore)), source.unreadable


@pytest.mark.parametrize(
    ("camera", "missing", "told"),
    [
        (RtspServer(pictures=25, duration_seconds=1), 0, ""),
        (RtspServer(pictures=25, duration_seconds=4), 1, "breaks off after 1.0 of 4.0 s"),
        (RtspServer(pictures=25), 1, "ended; its length was not announced, so it may have broken off"),
    ],
)
def test_a_camera_that_hangs_up(camera: RtspServer, missing: int, told: str, caplog: pytest.LogCaptureFixture) -> None:
    with camera:
        name = camera.url
        assert read(camera.url) == (25, missing)
    broken = [message for message in caplog.messages if "breaks" in message or "broken" in message]
    assert broken == ([f"{name} {told}"] if told else [])


def test_an_answer_that_is_shorter_than_announced(web: str, clip: Clip) -> None:
    clip("clip.ts", frames=25)
    assert read(f"http://{web}/clip.ts") == (25, 0)
    frames, missing = read(f"http://{web}/half/clip.ts")
    assert frames < 25
    assert missing == 1


def test_a_playlist_without_an_end(web: str, clip: Clip, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clip("clip.ts", frames=25)
    playlist = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nclip.ts\n"
    (tmp_path / "complete.m3u8").write_text(playlist + "#EXT-X-ENDLIST\n")
    assert read(f"http://{web}/complete.m3u8") == (25, 0)
    assert caplog.messages == []
    (tmp_path / "live.m3u8").write_text(playlist)
    with open_source(f"http://{web}/live.m3u8") as source:
        (tmp_path / "down").touch()
        assert sum(1 for _ in source.frames(ignore)) == 25
        assert source.unreadable == 1
    assert caplog.messages == [f"http://{web}/live.m3u8 ended; its length was not announced, so it may have broken off"]

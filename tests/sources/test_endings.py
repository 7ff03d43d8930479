"""A stream that breaks off while it is annotated is told and counted; one that is complete is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from livecam.sources import open_source
from tests.support.reading import ignore
from tests.support.rtsp import RtspServer

Clip = Callable[..., Path]


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

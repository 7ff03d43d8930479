"""Frames that a file promises and does not hold are counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import pytest

from livecam.sources.video import VideoSource
from tests.support.reading import number_of

Clip = Callable[..., Path]
FRAMES, FRAMES_IN_PART = 190, 24


@pytest.fixture
def playlist(clip: Clip, tmp_path: Path) -> Path:
    """An HLS playlist of eight parts of 24 frames, the last shorter."""
    target = tmp_path / "list.m3u8"
    options = {"hls_time": "0.5", "hls_list_size": "0", "hls_playlist_type": "vod"}
    source = clip(frames=FRAMES, key_every=FRAMES_IN_PART, audio=["aac"])
    with (
        av.open(str(source)) as container,
        av.open(str(target), "w", format="hls", container_options=options) as copy,
    ):
        streams = {each.index: copy.add_stream_from_template(each, opaque=True) for each in container.streams}
        for packet in container.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                copy.mux(packet)
    return target


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

"""The delay of streams that arrive in segments: they are joined where they are newest."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import av

from livecam.sources import LiveOptions, open_live
from tests.support.reading import ignore, number_of

Clip = Callable[..., Path]


def test_a_playlist_that_grows_is_joined_at_its_newest_segment(web: str, clip: Clip, tmp_path: Path) -> None:
    options = {"hls_time": "1", "hls_flags": "omit_endlist"}
    with (
        av.open(str(clip(frames=100, key_every=25))) as plain,
        av.open(str(tmp_path / "live.m3u8"), "w", format="hls", options=options) as playlist,
    ):
        stream = playlist.add_stream_from_template(plain.streams.video[0], opaque=True)
        for packet in plain.demux(video=0):
            if packet.size:
                packet.stream = stream
                playlist.mux(packet)
    with open_live(f"http://{web}/live.m3u8", LiveOptions()) as source:
        numbers = [number_of(frame) for frame in itertools.islice(source.frames(ignore), 3)]
    assert numbers == [76, 77, 78]  # the first one was looked at when it was opened

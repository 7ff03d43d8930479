"""The delay of streams that arrive in segments: they are joined where they are newest."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

from livecam.sources import LiveOptions, open_live
from tests.support.packets import remuxed
from tests.support.reading import ignore, number_of

Clip = Callable[..., Path]


def test_a_playlist_that_grows_is_joined_at_its_newest_segment(web: str, clip: Clip, tmp_path: Path) -> None:
    plain = clip(frames=100, key_every=25)
    remuxed(plain, tmp_path / "live.m3u8", hls_time="1", hls_flags="omit_endlist")
    with open_live(f"http://{web}/live.m3u8", LiveOptions()) as source:
        numbers = [number_of(frame) for frame in itertools.islice(source.frames(ignore), 3)]
    assert numbers == [76, 77, 78]  # the first one was looked at when it was opened

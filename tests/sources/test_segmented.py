"""A playlist without an end is a live source: pictures come at their own pace, and an outage is told."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from livecam.sources import LiveOptions, open_live
from tests.support.hls import LivePlaylist
from tests.support.reading import ignore, number_of


@pytest.mark.long
def test_a_playlist_that_is_away_for_a_while_comes_back(
    web: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with LivePlaylist(tmp_path), open_live(f"http://{web}/live.m3u8", LiveOptions()) as source:
        assert source.is_live
        frames = source.frames(ignore)
        before = [number_of(next(frames)) for _ in range(5)]
        (tmp_path / "down").touch()
        source.signal.lose = lambda problem: (tmp_path / "down").unlink(missing_ok=True)
        while not any("is lost" in message for message in caplog.messages):
            last = number_of(next(frames))
        assert number_of(next(frames)) > last > before[-1]
        frames.close()


def test_pictures_of_a_segment_come_at_their_own_times(web: str, tmp_path: Path) -> None:
    with LivePlaylist(tmp_path), open_live(f"http://{web}/live.m3u8", LiveOptions()) as source:
        frames = source.frames(ignore)
        captured = [next(frames).captured_seconds for _ in range(12)]
        frames.close()
    assert sum(after - before > 0.02 for before, after in pairwise(captured)) > 6

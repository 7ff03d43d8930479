"""URLs that answer each request with one picture are asked again and again."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from livecam.sources import LiveOptions, open_live
from tests.support.reading import first_of, ignore, number_of


@pytest.mark.parametrize("path", ["snapshot.jpg", "snapshot?no-length", "snapshot"])
def test_a_picture_is_asked_for_at_a_rate(web: str, path: str, caplog: pytest.LogCaptureFixture) -> None:
    with open_live(f"http://{web}/{path}", LiveOptions(fps=Fraction(10))) as source:
        assert source.media.rate == 10
        frames = first_of(source, 6)
        assert source.signal.gaps == []
    numbers = [number_of(frame) for frame in frames]
    assert numbers == list(range(numbers[0], numbers[0] + 6))
    assert frames[-1].pts_seconds > 0.35
    assert [message for message in caplog.messages if "lost" in message] == []


def test_a_request_that_fails_is_a_loss(web: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with open_live(f"http://{web}/snapshot", LiveOptions(fps=Fraction(10))) as source:
        frames = source.frames(ignore)
        next(frames)
        (tmp_path / "down").touch()
        source.signal.lose = lambda problem: (tmp_path / "down").unlink(missing_ok=True)
        while not any("lost" in message for message in caplog.messages):
            next(frames)
        frames.close()
    assert any("is lost (server returned 5XX Server Error reply)" in message for message in caplog.messages)

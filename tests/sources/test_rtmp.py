"""Senders over RTMP: the sound comes before the picture."""

from __future__ import annotations

import pytest

from livecam.errors import InputError
from livecam.sources import LiveOptions, open_live
from tests.support.reading import first_of, number_of
from tests.support.rtmp import RtmpServer


@pytest.mark.parametrize("picture_after_seconds", [0, 1])
def test_sound_may_come_before_the_picture(picture_after_seconds: float) -> None:
    with RtmpServer(picture_after_seconds) as sender, open_live(sender.url, LiveOptions()) as source:
        assert source.facts == "160x90, 25 fps, h264, flv"
        numbers = [number_of(frame) for frame in first_of(source, 5)]
        assert numbers == list(range(numbers[0], numbers[0] + 5))


def test_a_picture_that_never_comes_is_waited_for_until_the_time_is_up() -> None:
    with (
        RtmpServer(has_video=False) as sender,
        pytest.raises(InputError, match=r"no video for 1.2 s; check the address"),
    ):
        open_live(sender.url, LiveOptions(open_seconds=1.2))
    assert sender.asked.count("play") == 2

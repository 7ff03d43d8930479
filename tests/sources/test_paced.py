"""Videos played: each frame is due at its own time, a loop goes on counting, and the demo is always played."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from livecam.errors import InputError
from livecam.picture.frame import Frame
from livecam.sources import LiveOptions, PacedSource, open_live
from livecam.sources.base import OnPacket, looked_at
from livecam.sources.demo import DemoSource
from livecam.sources.paced import LoopedSource
from livecam.sources.video import VideoSource
from tests.support.reading import Clock, first_of, ignore, number_of

Clip = Callable[..., Path]
BLACK = np.zeros((4, 4, 3), np.uint8)


def test_a_frame_that_was_looked_at_before_arrives_when_it_is_taken() -> None:
    previews: list[Frame] = []
    frames = looked_at(iter([Frame(picture=Frame.from_rgb(BLACK).picture, captured_seconds=1.0)] * 2), previews.append)
    assert [frame.captured_seconds for frame in previews] == [1.0]
    first, second = frames
    assert first.captured_seconds > second.captured_seconds == 1.0


def test_a_paced_file_drops_nothing_and_is_due_on_time(clip: Clip) -> None:
    clock = Clock()
    pts = [0, 2, 3, 7, 8, 20]
    path = clip("clip.mkv", frames=6, pts=pts, time_base=Fraction(1, 25))
    source = PacedSource(VideoSource(str(path)), clock=clock.tell, sleep=clock.sleep)
    assert source.is_live
    with source:
        frames = []
        for frame in source.frames(ignore):
            frames.append(frame)
            clock.sleep(0.1)  # longer than most frames last
    assert [number_of(frame) for frame in frames] == list(range(6))
    assert [frame.captured_seconds - 100 for frame in frames] == pytest.approx([n / 25 for n in pts])
    assert [frame.pts_seconds for frame in frames] == pytest.approx([n / 25 for n in pts])


def test_a_video_that_is_read_too_slowly_is_played_more_slowly(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()

    class Slow(DemoSource):
        def frames(self, on_packet: OnPacket) -> Iterator[Frame]:
            for frame in super().frames(on_packet):
                clock.sleep({2: 0.25, 4: 0.55}.get(frame.index, 0))
                yield frame

    video = Slow("demo:?size=32x32&fps=10&seconds=0.8")
    with PacedSource(video, most_late_seconds=0.1, clock=clock.tell, sleep=clock.sleep) as source:
        due = [round(frame.captured_seconds - 100, 6) for frame in source.frames(ignore)]
    assert due == pytest.approx([0, 0.1, 0.35, 0.45, 1, 1.1, 1.2, 1.3])
    assert sum("is played more slowly" in line for line in caplog.messages) == 1


def test_a_file_is_paced_where_that_is_asked_for(clip: Clip) -> None:
    path = str(clip(frames=3))
    for realtime in (False, True):
        with open_live(path, LiveOptions(realtime=realtime)) as source:
            assert source.is_live is realtime
            assert source.name == path
            assert len(list(source.frames(ignore))) == 3


def test_a_looped_file_goes_on_counting(clip: Clip) -> None:
    path = clip("clip.mp4", frames=4, audio=["aac"])
    with open_live(str(path), LiveOptions(loop=True)) as source:
        assert source.media.copied_streams == ()
        frames = first_of(source, 10)
    assert [number_of(frame) for frame in frames] == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    assert [frame.index for frame in frames] == list(range(10))
    assert [frame.picture.pts * frame.picture.time_base for frame in frames] == [Fraction(n, 25) for n in range(10)]


def test_a_stopped_loop_ends(clip: Clip) -> None:
    with LoopedSource(lambda: VideoSource(str(clip(frames=3)))) as source:
        frames = source.frames(ignore)
        next(frames)
        source.stop()
        assert list(frames) == []


def test_a_paced_source_that_waits_is_stopped() -> None:
    with open_live("demo:?size=32x32&fps=0.001", LiveOptions()) as source:
        frames = source.frames(ignore)
        next(frames)
        waiting = threading.Thread(target=lambda: list(frames), daemon=True)
        waiting.start()
        source.stop()
        waiting.join(30)
        assert not waiting.is_alive()


def test_the_demo_is_live_and_ends_only_where_it_says_so() -> None:
    with open_live("demo:?size=32x32&fps=1000", LiveOptions()) as source:
        assert source.is_live
        assert source.media.expected_frames is None
        assert len(first_of(source, 20)) == 20
    with open_live("demo:?size=32x32&fps=1000&seconds=0.01", LiveOptions()) as source:
        assert len(list(source.frames(ignore))) == 10
    with open_live("demo:?size=32x32&fps=1000&seconds=0.01", LiveOptions(loop=True)) as source:
        assert [frame.picture.pts for frame in first_of(source, 25)] == list(range(25))
    with pytest.raises(InputError, match="seconds=-1"):
        open_live("demo:?seconds=-1", LiveOptions())

"""Streams that are lost and come back: frames continue with correct times, and every gap is recorded."""

from __future__ import annotations

import functools
import itertools
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest

from livecam.picture.frame import Frame
from livecam.sources.connection import Connection, NoSignal
from livecam.sources.network import connect_stream
from livecam.sources.reconnecting import ReconnectingSource
from tests.support.reading import first_of, ignore, number_of
from tests.support.streams import QUICK, StreamServer, recordings, watched

Clip = Callable[..., Path]


def test_a_stream_that_is_restarted_goes_on(server: StreamServer, caplog: pytest.LogCaptureFixture) -> None:
    server.start(0)
    frames: list[Frame] = []
    generations = []
    with watched(server.url) as source:
        for frame in source.frames(ignore):
            frames.append(frame)
            generations.append(number_of(frame) // 64)
            if generations.count(generations[-1]) == 5:
                if generations[-1] == 3:
                    source.stop()
                else:
                    server.kill()
                    server.start(64 * (generations[-1] + 1))
        gaps = source.signal.gaps
    assert set(generations) == {0, 1, 2, 3}
    assert generations == sorted(generations)
    assert [frame.index for frame in frames] == list(range(len(frames)))
    times = [frame.pts_seconds for frame in frames]
    assert times[0] == 0
    assert all(later > earlier for earlier, later in itertools.pairwise(times))
    assert all(frame.picture.time_base == Fraction(1, 90_000) == source.media.time_base for frame in frames)
    since_first = [frame.captured_seconds - frames[0].captured_seconds for frame in frames]
    assert times == pytest.approx(since_first, abs=1e-3)
    assert len(gaps) == 3
    for gap, before in zip(gaps, (0, 1, 2), strict=True):
        last = len(generations) - generations[::-1].index(before) - 1
        assert (gap.begin_seconds, gap.end_seconds) == pytest.approx((times[last], times[last + 1]), abs=1e-3)
    assert source.damaged == 0
    assert sum("is lost" in line for line in caplog.messages) == 1  # the others within the same minute
    assert sum("is back after" in line for line in caplog.messages) == 1


def test_a_stream_that_hangs_is_lost_and_comes_back(server: StreamServer) -> None:
    server.start(0, 40)
    with watched(server.url, stall_seconds=0.3) as source:
        for _ in source.frames(ignore):
            if source.signal.gaps:
                source.stop()
    (gap,) = source.signal.gaps
    assert gap.problem in ("no data for 0.3 s", "no picture for 0.3 s")  # with a last picture kept back or without
    assert gap.end_seconds - gap.begin_seconds >= 0.3


def test_stopping_ends_the_wait_for_a_lost_stream(server: StreamServer) -> None:
    server.start()
    connect = functools.partial(connect_stream, server.url)
    with ReconnectingSource("it", connect(), connect, first_wait_seconds=3600, longest_wait_seconds=3600) as source:
        frames = source.frames(ignore)
        next(frames)
        server.kill()
        waiting = threading.Thread(target=lambda: list(frames), daemon=True)
        waiting.start()
        while source.signal.lost_seconds() is None:
            time.sleep(0.01)
        assert source.signal.problem
        source.stop()
        waiting.join(30)
        assert not waiting.is_alive()
    assert len(source.signal.gaps) == 1


def test_another_size_is_scaled_to_the_first(clip: Clip, caplog: pytest.LogCaptureFixture) -> None:
    sizes = [(160, 90), (320, 180), (64, 36), (160, 90)]
    connections = recordings(*(clip(f"{n}.ts", frames=3, rate=1, size=size) for n, size in enumerate(sizes)))
    with ReconnectingSource("it", next(connections), connections.__next__, **QUICK) as source:
        frames = first_of(source, 10)
    assert {frame.upright_size for frame in frames} == {(160, 90)}
    assert [number_of(frame) for frame in frames] == [1, 2, 0, 1, 2, 0, 1, 2, 0, 1]
    assert sum("scaled to the first size" in line for line in caplog.messages) == 1


def test_a_stream_that_nobody_reads_is_not_lost(clip: Clip) -> None:
    connection = Connection(av.open(str(clip("clip.ts", frames=9, rate=5, audio=["aac"]))), stall_seconds=0.05)
    with ReconnectingSource("it", connection, lambda: connection, **QUICK) as source:
        frames = source.frames(ignore)
        numbers = []
        for _ in range(8):
            time.sleep(0.06)  # longer than a stall may be
            numbers.append(number_of(next(frames)))
        assert numbers == list(range(1, 9))
        assert source.signal.gaps == []
        frames.close()


def test_attempts_to_reconnect_become_rarer(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(threading.Event, "wait", lambda self, seconds: waits.append(seconds))

    def reconnect() -> Connection:
        if len(waits) == 6:
            return next(again)
        if len(waits) == 8:
            source.stop()
        raise NoSignal("connection refused")

    first, again = recordings(clip("clip.ts", frames=3, rate=1)), recordings(clip("clip.ts", frames=3, rate=1))
    with ReconnectingSource("it", next(first), reconnect) as source:
        assert len(list(source.frames(ignore))) == 2 + 3
    assert waits == [0.25, 0.5, 1, 2, 2, 2, 0.25, 0.5, 1]
    assert [gap.problem for gap in source.signal.gaps] == ["the stream has ended"] * 2  # which is why each began

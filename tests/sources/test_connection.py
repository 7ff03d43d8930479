"""One connection: queued pictures are skipped, nothing is shown before a key frame, and a stall is reported."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from livecam.errors import InputError
from livecam.sources.connection import Connection, NoSignal
from livecam.sources.network import connect_stream
from livecam.sources.reconnecting import ReconnectingSource
from tests.support.reading import ignore, number_of
from tests.support.streams import QUICK, StreamServer, recordings, watched

Clip = Callable[..., Path]


def test_what_piled_up_before_it_is_read_is_passed_over(server: StreamServer) -> None:
    server.start()
    with watched(server.url) as source:
        first_to_come = time.perf_counter()
        time.sleep(1)
        frames = source.frames(ignore)
        assert number_of(next(frames)) >= 40
        assert time.perf_counter() - first_to_come >= 1
        frames.close()


def test_who_joins_in_the_middle_sees_nothing_before_a_key_frame(clip: Clip) -> None:
    path = clip("clip.ts", frames=40, rate=1, codec="mpeg4")  # a key frame each 12; its decoder begins anywhere
    data = path.read_bytes()
    path.write_bytes(data[len(data) // 5 // 188 * 188 :])
    connections = recordings(path, path)
    with ReconnectingSource("it", next(connections), connections.__next__, **QUICK) as source:
        frames = source.frames(ignore)
        numbers = [number_of(frame) for frame in itertools.takewhile(lambda _: not source.signal.gaps, frames)]
        first_after_the_gap = number_of(next(frames)) - 1
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert numbers[0] - 1 == first_after_the_gap == 12  # the first one was looked at when it was opened
    assert source.damaged == 0


def test_a_stream_of_sound_alone_is_lost(clip: Clip) -> None:
    path = clip("clip.ts", frames=3, audio=["aac"])
    connection = Connection(av.open(str(path)), join_seconds=0)
    with pytest.raises(InputError, match="cannot open it: no key frame for 0 s; wait longer with --open-timeout"):
        ReconnectingSource("it", connection, lambda: connection)


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libvpx-vp9", "libsvtav1", "mpeg4", "mjpeg"])
def test_each_picture_comes_out_with_its_own_packet(clip: Clip, codec: str) -> None:
    low_delay = {"preset": "12", "svtav1-params": "pred-struct=1"} if codec == "libsvtav1" else {}
    pixel_format = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = clip("clip.mkv", frames=9, codec=codec, options=low_delay, pixel_format=pixel_format)
    connection = Connection(av.open(str(path)))
    packets = [packet for packet in connection.container.demux(connection.stream) if packet.size]
    assert [len(packet.decode()) for packet in packets] == [1] * 9
    connection.close()


@pytest.mark.parametrize(("rate", "told"), [(25, 25), (240, 240), (1000, None)])
def test_a_rate_that_no_camera_has_is_that_of_a_clock(clip: Clip, rate: int, told: int | None) -> None:
    connection = Connection(av.open(str(clip("clip.mp4", rate=rate))))
    assert connection.rate == told
    connection.close()


def test_nobody_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(NoSignal, match="no answer for 0.2 s"):
            connect_stream(url, open_seconds=0.2)

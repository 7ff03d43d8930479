"""The camera of a page is a source: every frame that the page captured is yielded, or counted as dropped."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from itertools import islice
from types import SimpleNamespace

import pytest

from livecam.picture.frame import Frame
from livecam.web.camera import BrowserCamera
from livecam.web.messages import FrameHeader
from livecam.web.server import WebOptions, WebServer
from tests.web.client import connected, encoded, grey, level_of, page, token_of


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer(WebOptions(port=0, camera=True)) as server:
        yield server
        server.camera.stop()


def put(camera: BrowserCamera, payload: bytes, *, sequence: int = 0, key: bool = True, dropped: int = 0) -> None:
    header = FrameHeader("h264", key, sequence, captured_ms=100.0 + sequence, dropped=dropped)
    camera.put(header, memoryview(payload))


def taken(camera: BrowserCamera, count: int) -> list[Frame]:
    return list(islice(camera.frames(lambda packet: None), count))


def test_frames_carry_their_times_and_are_found_again() -> None:
    camera = BrowserCamera()
    assert camera.opened() is camera and camera.signal.problem
    camera.join("page")
    for number, payload in enumerate(encoded(40, 90, 140, width=96, height=80)):
        put(camera, payload, sequence=number, key=number == 0)
    frames = taken(camera, 3)
    assert [round(level_of(frame.picture), -1) for frame in frames] == [40, 90, 140]
    assert (camera.media.width, camera.media.height, camera.signal.problem) == (96, 80, "")
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert sorted(frame.captured_seconds for frame in frames) == [frame.captured_seconds for frame in frames]
    assert [camera.origin(frame) for frame in frames] == [
        {"camera_sequence": number, "captured_ms": 100.0 + number} for number in range(3)
    ]
    assert camera.origin(Frame(picture=grey(1))) == {"camera_sequence": None, "captured_ms": None}


def test_frames_that_arrive_at_one_time_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livecam.web.camera.time", SimpleNamespace(perf_counter=lambda: 5.0))
    camera = BrowserCamera()
    camera.join("page")
    for number, payload in enumerate(encoded(40, 90, 140)):
        put(camera, payload, sequence=number, key=number == 0)
    assert [camera.origin(frame)["camera_sequence"] for frame in taken(camera, 3)] == [0, 1, 2]


def test_what_comes_before_the_run_is_looked_at_and_counted() -> None:
    camera, begun, seen = BrowserCamera(), threading.Event(), []
    camera.join("page")
    for payload in encoded(10, 10):
        put(camera, payload)

    def look(frame: Frame) -> None:
        seen.append(frame)
        if len(seen) == 2:
            begun.set()

    camera.idle(begun, look)
    assert len(seen) == 2 and camera.dropped == {"loading": 2}


def test_idle_ends_without_a_page() -> None:
    camera, begun = BrowserCamera(), threading.Event()
    threading.Timer(0.05, begun.set).start()
    camera.idle(begun, lambda frame: None)


def test_frames_end_when_it_is_stopped() -> None:
    camera = BrowserCamera()
    threading.Timer(0.05, camera.stop).start()
    assert taken(camera, 1) == []


def test_after_a_broken_connection_it_waits_for_a_key_frame_and_asks_for_it() -> None:
    wanted: list[bool] = []
    camera = BrowserCamera(lambda: wanted.append(True))
    key, follows = encoded(40, 90)
    camera.join("page")
    put(camera, key)
    camera.leave()
    camera.join("page")
    put(camera, follows, key=False)
    put(camera, key)
    assert len(taken(camera, 2)) == 2
    assert camera.dropped == {"decode": 1} and wanted == [True]


def test_what_the_page_dropped_and_what_got_lost_is_in_the_account() -> None:
    camera = BrowserCamera()
    (key,) = encoded(40)
    camera.account("a", 3, 3)
    camera.join("a")
    put(camera, key, dropped=3)
    put(camera, key, dropped=4)
    assert camera.dropped == {"browser": 4}
    camera.account("a", 10, 5)  # 10 captured, 5 of them dropped, 2 received: 3 were lost
    camera.join("a")
    put(camera, key, dropped=5)
    camera.account("b", 2, 1)  # another page
    camera.join("b")
    put(camera, key, dropped=2)
    camera.account("a", 12, 6)  # one more captured and one more dropped
    assert camera.dropped == {"browser": 6 + 3 + 2 + 1}
    captured_by_pages = 12 + 4
    assert captured_by_pages == len(taken(camera, 4)) + camera.dropped.total()


def test_the_accounts_of_many_pages_are_summed_up() -> None:
    camera = BrowserCamera()
    for number in range(300):
        camera.account(f"page {number}", 2, 2)
    assert camera.dropped == {"browser": 600}


def test_the_account_of_a_page_that_comes_again_stays_open() -> None:
    camera = BrowserCamera()
    camera.account("a", 2, 2)
    camera.join("a")
    for number in range(10):
        put(camera, b"", dropped=2)
        for other in range(90):
            camera.account(f"page {number}, {other}", 1, 1)
        camera.account("a", 3 + number, 2)
    assert camera.dropped == {"browser": 900 + 2}


def test_one_page_gives_the_camera_and_its_next_connection_takes_over(server: WebServer) -> None:
    async def scenario() -> None:
        async with page(server, page="a", role="camera") as first, connected(server) as other:
            await other.hello(token_of(server), page="b", role="camera")
            assert await other.close_code() == 4409
            async with connected(server) as viewer:
                await viewer.hello(token_of(server), page="b")
                assert (await viewer.text("welcome"))["camera"] is False
            async with connected(server) as again:
                await again.hello(token_of(server), page="a", role="camera", captured=7, dropped=3)
                assert (await again.text("welcome"))["camera"] is True
                assert await first.close_code() == 1006
                assert server.camera.dropped == {"browser": 7}
                await again.send_frame(encoded(40)[0])
                assert len(await asyncio.to_thread(taken, server.camera, 1)) == 1

    asyncio.run(scenario())


def test_a_page_that_looks_on_frees_its_camera(server: WebServer) -> None:
    async def scenario() -> None:
        async with page(server, page="a", role="camera"), page(server, page="a", captured=2, dropped=2):
            assert server.camera.dropped == {"browser": 2}
            async with page(server, page="b", role="camera") as other:
                await other.send_frame(encoded(40)[0])
                assert len(await asyncio.to_thread(taken, server.camera, 1)) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(("stall_seconds", "is_told"), [(10.0, False), (0.0, True)])
def test_the_signal_is_lost_with_the_page_and_back_with_the_next(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, stall_seconds: float, is_told: bool
) -> None:
    monkeypatch.setattr("livecam.web.camera._STALL_SECONDS", stall_seconds)
    camera = BrowserCamera()
    (key,) = encoded(40)
    camera.join("a")
    put(camera, key)
    frames = camera.frames(lambda packet: None)
    next(frames)
    camera.leave()
    assert camera.signal.problem == "no page sends its camera"
    camera.join("b")
    threading.Timer(0.1, put, (camera, key)).start()
    next(frames)
    assert camera.signal.problem == ""
    frames.close()  # type: ignore[attr-defined]
    assert len(camera.signal.gaps) == 1
    assert ("the page's camera is lost (no page sends its camera)" in caplog.text) == is_told
    assert ("the page's camera is back" in caplog.text) == is_told
    assert "moment" not in caplog.text


def test_frames_of_pages_that_look_on_are_ignored(server: WebServer) -> None:
    async def scenario() -> None:
        async with page(server, page="a", role="camera") as camera, page(server, page="b") as viewer:
            await viewer.send_frame(encoded(200)[0])
            await viewer.tell(type="ping", sent_ms=0)
            await viewer.text("pong")
            await camera.send_frame(encoded(40)[0])
            (frame,) = await asyncio.to_thread(taken, server.camera, 1)
            assert round(level_of(frame.picture), -1) == 40

    asyncio.run(scenario())

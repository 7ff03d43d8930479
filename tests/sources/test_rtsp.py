"""Cameras that speak RTSP: over TCP or UDP, silent, with a password, and with key frames far apart."""

from __future__ import annotations

import pytest

from livecam.errors import InputError
from livecam.sources import LiveOptions, open_live, open_source, opening
from tests.support.reading import first_of, ignore, number_of
from tests.support.rtsp import RtspServer


@pytest.mark.parametrize(("ways", "asked"), [({}, 1), ({"has_udp": False}, 1), ({"has_tcp": False}, 2)])
def test_tcp_is_tried_first_and_then_udp(ways: dict[str, bool], asked: int) -> None:
    with RtspServer(**ways) as camera, open_live(camera.url, LiveOptions()) as source:
        numbers = [number_of(frame) for frame in first_of(source, 5)]
        assert numbers == list(range(numbers[0], numbers[0] + 5))
        assert camera.asked.count("SETUP") == asked


@pytest.mark.parametrize(
    ("camera", "open_seconds", "problem"),
    [
        (RtspServer(is_silent=True), 0.5, "no answer for 0.5 s; check the address"),
        (RtspServer(sends_nothing=True), 0.5, "no video for 0.5 s; check the address"),
        (RtspServer(password="hush"), 20, "401.*; write them into the address"),
        (RtspServer(has_tcp=False, has_udp=False), 20, "protocol not supported"),
        (RtspServer(key_interval=100, joins_at=1), 2, "no key frame for 2 s; wait longer with --open-timeout"),
    ],
)
def test_why_a_camera_cannot_be_opened(camera: RtspServer, open_seconds: float, problem: str) -> None:
    with camera, pytest.raises(InputError, match=problem):
        open_live(camera.url, LiveOptions(open_seconds=open_seconds))


def test_a_silent_camera_is_a_time_out_for_annotating_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "OPEN_SECONDS", 0.5)
    with RtspServer(is_silent=True) as camera, pytest.raises(InputError, match=r"no answer for 0\.5 s"):
        open_source(camera.url)


@pytest.mark.parametrize("ways", [{}, {"has_tcp": False}])
def test_annotating_also_tries_tcp_first(ways: dict[str, bool]) -> None:
    with RtspServer(pictures=25, **ways) as camera, open_source(camera.url) as source:
        assert len(list(source.frames(ignore))) == 25
        assert camera.asked.count("SETUP") == 1 + len(ways)


def test_a_key_frame_that_comes_late_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    with (
        RtspServer(key_interval=100, joins_at=30) as camera,
        open_live(camera.url, LiveOptions()) as source,
    ):
        assert number_of(first_of(source, 1)[0]) < 30
        assert caplog.messages == [f"{camera.url}: waiting for a key frame"]


def test_a_password_that_was_changed_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with RtspServer() as camera, open_live(camera.url, LiveOptions()) as source:
        frames = source.frames(ignore)
        next(frames)
        camera.password = "hush"
        camera.hang_up()
        source.signal.lose = lambda problem: source.stop() if "401" in problem else None
        assert len(list(frames)) < 100
    assert [message.partition(" ")[2] for message in caplog.messages] == [
        "is lost (the stream has ended); reconnecting until it is back",
        "is still lost (it refuses the user name or the password, or wants some (401))",
    ]

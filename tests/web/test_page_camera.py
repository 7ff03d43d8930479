"""The camera of a page in a real browser: what it films comes back to the page, and every frame is accounted for."""

from __future__ import annotations

import random
import time
from pathlib import Path
from urllib.parse import urlsplit

import av
import pytest

from livecam.web.messages import FrameHeader
from livecam.web.server import WebServer
from tests.support.chromium import Chromium, saved_file
from tests.support.clips import number_in
from tests.web.cutting import CuttingProxy
from tests.web.looking import IS_CONNECTED, WITHOUT_H264, pixels_of, rest, wait_for_more
from tests.web.numbered_scene import FRAMES, HEIGHT, WIDTH

CUTS = 10
"""How often a socket is cut, each time after so many bytes as are drawn from this range."""
BYTES = range(1, 40_000)

_CANVAS_CAMERA = """
const film = document.createElement("canvas"), pen = film.getContext("2d");
const resize = (size) => (film.width = film.height = size);
setInterval(() => pen.fillRect(0, 0, Math.random() * film.width, 10), 30);
navigator.mediaDevices.getUserMedia = async () => film.captureStream();
"""
"""A camera whose size changes."""


@pytest.mark.parametrize("script", ["", WITHOUT_H264])
def test_what_the_camera_films_comes_back_and_is_accounted_for(
    chromium: Chromium, camera_server: WebServer, script: str
) -> None:
    with chromium.open(camera_server.url, script=script) as page:
        wait_for_more(page)
        filmed = pixels_of(page, "#picture")
        assert filmed.shape == (HEIGHT, WIDTH, 3)
        assert number_in(filmed) < FRAMES
        assert rest(page)["shown"] >= 5
        assert page.problems == []


def test_a_browser_that_keeps_nothing_gives_its_camera(chromium: Chromium, camera_server: WebServer) -> None:
    script = "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no', 'SecurityError'); }})"
    with chromium.open(camera_server.url, script=script) as page:
        wait_for_more(page)
        rest(page)


def test_frames_of_another_page_in_between_are_accounted_for(chromium: Chromium, camera_server: WebServer) -> None:
    with chromium.open(camera_server.url) as page:
        wait_for_more(page)
        rest(page)
        with chromium.open(camera_server.url) as other:
            wait_for_more(other)
            rest(other)
        page.evaluate("livecam.start()")
        page.wait_for("livecam.status().sent > 50")
        rest(page)


def test_h264_is_tried_again_after_a_size_that_it_cannot_do(
    chromium: Chromium, camera_server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    codecs: list[str] = []
    put = camera_server.camera.put

    def noted(header: FrameHeader, payload: memoryview) -> None:
        codecs.append(header.codec)
        put(header, payload)

    monkeypatch.setattr(camera_server.camera, "put", noted)
    with chromium.open(camera_server.url, script=_CANVAS_CAMERA) as page:
        for size, codec in ((64, "h264"), (2, "jpeg"), (64, "h264")):
            page.evaluate(f"resize({size})")
            page.wait_for("livecam.status().connection === 'connected'")
            deadline = time.monotonic() + 30
            while codecs[-1:] != [codec]:
                assert time.monotonic() < deadline, codecs
                time.sleep(0.02)
        rest(page)


def test_a_page_comes_back_each_time_its_socket_is_cut(chromium: Chromium, camera_server: WebServer) -> None:
    address = urlsplit(camera_server.url)
    chance = random.Random(1)
    with CuttingProxy() as proxy:
        proxy.server_port = address.port
        with chromium.open(address._replace(netloc=f"127.0.0.1:{proxy.port}").geturl()) as page:
            wait_for_more(page)
            for number in range(CUTS):
                proxy.cut_after(chance.choice(BYTES))
                page.wait_for("livecam.status().connection !== 'connected'")
                page.wait_for(IS_CONNECTED)
                wait_for_more(page, 2)
                assert proxy.cuts == number + 1
            assert rest(page)["shown"] > CUTS


def test_a_recording_goes_on_over_a_cut_and_plays(chromium: Chromium, camera_server: WebServer, tmp_path: Path) -> None:
    address = urlsplit(camera_server.url)
    with CuttingProxy() as proxy:
        proxy.server_port = address.port
        chromium.save_into(tmp_path)
        with chromium.open(address._replace(netloc=f"127.0.0.1:{proxy.port}").geturl()) as page:
            wait_for_more(page)
            page.evaluate("document.querySelector('#record').click()")
            wait_for_more(page)
            proxy.hang_up()
            page.wait_for("livecam.status().connection !== 'connected'")
            page.wait_for(IS_CONNECTED)
            wait_for_more(page)
            page.evaluate("document.querySelector('#record').click()")
            path = saved_file(tmp_path)
    with av.open(str(path)) as recording:
        numbers = [number_in(frame.to_ndarray(format="rgb24")) for frame in recording.decode(video=0)]
    assert len(set(numbers)) > 5

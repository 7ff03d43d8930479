"""The camera of a page in a real browser: what it films comes back to the page, and every frame is accounted for."""

from __future__ import annotations

import random
from pathlib import Path
from urllib.parse import urlsplit

import av
import pytest

from livecam.web.server import WebServer
from tests.support.chromium import Chromium, saved_file
from tests.support.clips import number_in
from tests.web.cutting import CuttingProxy
from tests.web.looking import IS_CONNECTED, WITHOUT_H264, pixels_of, rest, wait_for_more
from tests.web.numbered_scene import FRAMES, HEIGHT, WIDTH

CUTS = 10
"""How often a socket is cut, each time after so many bytes as are drawn from this range."""
BYTES = range(1, 40_000)


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

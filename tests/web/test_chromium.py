"""The browser of the other tests: it films what it is given, and tells what goes wrong in a page."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.chromium import Chromium
from tests.support.clips import number_in
from tests.web.looking import pixels_of
from tests.web.numbered_scene import FRAMES, HEIGHT, WIDTH, mask, picture

FILMING = f"""
<!doctype html><link rel="icon" href="data:,"><body><canvas width={WIDTH} height={HEIGHT}></canvas><script type=module>
const video = document.createElement("video");
video.srcObject = await navigator.mediaDevices.getUserMedia({{video: true}});
await video.play();
video.requestVideoFrameCallback(() => {{
  document.querySelector("canvas").getContext("2d").drawImage(video, 0, 0);
  document.title = "filmed";
}});
setTimeout(() => {{ throw new Error("a slip"); }});
</script>
"""


class OnePage(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(FILMING.encode())

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), OnePage) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_the_camera_films_the_scene_and_problems_of_the_page_are_told(
    chromium: Chromium, url: str, tmp_path: Path
) -> None:
    with chromium.open(url) as page:
        page.wait_for("document.title === 'filmed'")
        filmed = pixels_of(page)
        assert number_in(filmed) < FRAMES
        shape = mask(number_in(filmed))
        differences = np.abs(filmed.astype(int) - picture(number_in(filmed)))[shape]
        assert differences.mean() < 8
        assert any("a slip" in problem for problem in page.problems)
        page.appear(width=400, height=300, dark=True)
        assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
        assert cv2.imread(str(page.screenshot(tmp_path / "page.png"))).shape == (300, 400, 3)

"""A real browser for the tests of the page."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from livecam.web.server import WebOptions, WebServer
from tests.support.chromium import PROGRAM, Chromium
from tests.web.numbered_scene import film
from tests.web.stand_in import StandIn


@pytest.fixture(scope="package")
def camera_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the browser's camera films: the numbered scene."""
    return film(tmp_path_factory.mktemp("camera") / "scene.y4m")


@pytest.fixture(scope="package")
def chromium(camera_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """One browser for all tests; each opens its own pages and closes them."""
    if PROGRAM is None:
        pytest.skip("chromium is not installed")
    with Chromium(tmp_path_factory.mktemp("profile"), camera_file) as browser:
        yield browser


@pytest.fixture
def camera_server() -> Iterator[WebServer]:
    """A server that shows what the page's camera films."""
    with WebServer(WebOptions(port=0, camera=True)) as server:
        stand_in = StandIn(server, has_camera=True)
        thread = threading.Thread(target=stand_in.run)
        thread.start()
        yield server
        stand_in.stopping.set()
        thread.join()

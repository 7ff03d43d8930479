"""Servers that tests of live sources connect to."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.streams import StreamServer, WebHandler


@pytest.fixture
def server() -> Iterator[StreamServer]:
    one = StreamServer()
    yield one
    one.kill()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The address of a web server that has the test's folder."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(WebHandler, directory=str(tmp_path))) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()

"""Servers on this machine that send streams, and connections to them."""

from __future__ import annotations

import functools
import io
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import av
from PIL import Image

from livecam.sources.connection import Connection
from livecam.sources.network import connect_stream
from livecam.sources.reconnecting import ReconnectingSource
from livecam.text import redacted
from tests.support.clips import numbered_picture

QUICK = {"first_wait_seconds": 0.02, "longest_wait_seconds": 0.1}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class StreamServer:
    """`tests.support.stream_server` in a process of its own, to be killed and started again on the same port."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def start(self, first: int = 0, *arguments: int) -> None:
        numbers = map(str, (self.port, first, *arguments))
        command = [sys.executable, "-m", "tests.support.stream_server", *numbers]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
        assert self._process.stdout
        assert self._process.stdout.readline() == "ready\n"

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


class WebHandler(SimpleHTTPRequestHandler):
    """Files of a folder, and what is not one.

    /private wants a password; /half/NAME breaks off in the middle of a file; /stream sends a file bit by bit, as it is
    made; /snapshot answers each request with the next numbered picture. While the folder has a file `down`, everything
    else is an error.
    """

    def do_GET(self) -> None:
        if self.path.startswith("/private"):
            self.send_error(401)
        elif (Path(self.directory) / "down").exists():
            self.send_error(503)
        elif self.path.startswith("/snapshot"):
            self._send_picture()
        elif self.path.startswith("/half/"):
            data = (Path(self.directory) / self.path.removeprefix("/half/")).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])
        elif self.path.startswith("/stream"):
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            self.end_headers()
            data = (Path(self.directory) / "clip.ts").read_bytes()
            for begin in range(0, len(data), 188 * 7):
                self.wfile.write(data[begin : begin + 188 * 7])
        else:
            super().do_GET()

    def _send_picture(self) -> None:
        data = io.BytesIO()
        self.server.pictures = getattr(self.server, "pictures", 0) + 1
        Image.fromarray(numbered_picture(self.server.pictures, 160, 90)).save(data, "JPEG", quality=95)
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        if "no-length" not in self.path:
            self.send_header("Content-Length", str(len(data.getvalue())))
        self.end_headers()
        self.wfile.write(data.getvalue())

    def log_message(self, *arguments: object) -> None:
        pass


def watched(url: str, **waits: float) -> ReconnectingSource:
    """A stream that is connected to again without waiting for long."""
    connect = functools.partial(connect_stream, url, **waits)
    return ReconnectingSource(redacted(url), connect(), connect, **QUICK)


def recordings(*paths: Path) -> Iterator[Connection]:
    """Connections that end, one after the other."""
    return (Connection(av.open(str(path))) for path in paths)

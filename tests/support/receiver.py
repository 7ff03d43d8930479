"""A receiver of a stream, in a process of its own: prints its number, time, width and height for each picture.

`python -m tests.support.receiver URL [FRAMES]` listens at tcp://127.0.0.1:PORT, rtsp://…, rtmp://… or udp://…, or plays
a playlist, and ends with the sender or after so many pictures.
"""

from __future__ import annotations

import itertools
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import av

from tests.support.clips import number_in

_LISTEN = {"rtsp": {"rtsp_flags": "listen", "listen_timeout": "20"}, "rtmp": {"listen": "1"}}


class Receiver:
    """Runs the receiver; `pictures` are the (number, seconds) of what it has received by the end of the block."""

    def __init__(self, url: str, *, frames: int | None = None) -> None:
        self.url = url
        self._frames = frames
        self.pictures: list[tuple[int, float]] = []
        self.sizes: set[tuple[int, int]] = set()
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> Receiver:
        command = [
            sys.executable,
            "-m",
            "tests.support.receiver",
            self.url,
            *([str(self._frames)] if self._frames else []),
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
        assert self.process.stdout
        assert self.process.stdout.readline() == "ready\n"
        return self

    def first(self) -> tuple[int, float]:
        """Wait for a picture."""
        assert self.process and self.process.stdout
        self._add(self.process.stdout.readline())
        return self.pictures[-1]

    def end(self, *, kill: bool = False) -> list[tuple[int, float]]:
        """Wait for the end, or kill it; return all pictures."""
        if self.process is not None:
            if kill:
                self.process.kill()
            rest, _ = self.process.communicate(timeout=30)
            for line in rest.splitlines():
                with suppress(json.JSONDecodeError):  # the last line, cut by the kill
                    self._add(line)
            self.process = None
        return self.pictures

    def _add(self, line: str) -> None:
        number, seconds, *size = json.loads(line)
        self.pictures.append((number, seconds))
        self.sizes.add(tuple(size))

    def __enter__(self) -> Receiver:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.end(kill=exc[0] is not None)


def _received(url: str) -> Iterator[av.VideoFrame]:
    scheme, _, rest = url.partition("://")
    if scheme == "tcp":
        host, port = rest.split(":")
        with socket.create_server((host, int(port))) as server:
            print("ready", flush=True)
            connection, _ = server.accept()
        with connection, connection.makefile("rb") as file, av.open(file, format="mpegts") as container:
            yield from container.decode(video=0)
        return
    if scheme == "http" and not rest.endswith(".m3u8"):
        from tests.support import whip

        yield from whip.received(urlsplit(url).port)
        return
    print("ready", flush=True)
    with av.open(url, options=_LISTEN.get(scheme, {}), timeout=(20, 20)) as container:
        yield from container.decode(video=0)


def main() -> None:
    """Print what is received."""
    url, *frames = sys.argv[1:]
    with suppress(av.EOFError):
        for picture in itertools.islice(_received(url), int(frames[0]) if frames else None):
            number = number_in(picture.to_ndarray(format="rgb24"))
            print(json.dumps((number, picture.time, picture.width, picture.height)), flush=True)


if __name__ == "__main__":
    main()

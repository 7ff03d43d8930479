"""A camera on the network, as a program: numbered frames as MPEG-TS over TCP, 50 a second, to every client.

python -m tests.support.stream_server PORT FIRST_NUMBER [STALL_AFTER]

With STALL_AFTER the first client gets this many frames and then nothing more, but stays connected.
"""

from __future__ import annotations

import itertools
import socket
import sys
import threading
import time
from contextlib import suppress

import av

from tests.support.clips import numbered_picture

FPS = 50
SIZE = (160, 90)


class Sender:
    """What PyAV writes a file into."""

    def __init__(self, client: socket.socket) -> None:
        self._client = client

    def write(self, data: bytes) -> int:
        self._client.sendall(data)
        return len(data)


def serve(client: socket.socket, first: int, frames: int | None) -> None:
    with (
        suppress(OSError, av.FFmpegError),
        av.open(Sender(client), "w", format="mpegts", options={"flush_packets": "1"}) as container,
    ):
        video = container.add_stream("libx264", rate=FPS)
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        video.codec_context.gop_size = 10
        video.codec_context.options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "10"}
        begin = time.monotonic()
        for number in itertools.islice(itertools.count(), frames):
            picture = av.VideoFrame.from_ndarray(numbered_picture((first + number) % 256, *SIZE), format="rgb24")
            picture.pts = number
            container.mux(video.encode(picture))
            time.sleep(max(begin + number / FPS - time.monotonic(), 0))
        threading.Event().wait()


def main(port: int, first: int, stall_after: int | None = None) -> None:
    with socket.create_server(("127.0.0.1", port)) as server:
        print("ready", flush=True)
        while True:
            client, _ = server.accept()
            threading.Thread(target=serve, args=(client, first, stall_after), daemon=True).start()
            stall_after = None


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))

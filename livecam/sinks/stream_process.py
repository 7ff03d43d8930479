"""The process that encodes and sends a stream by FFmpeg's muxers: `python -m livecam.sinks.stream_process`.

`stream_connection.py` starts it and talks to it.

PyAV connects, and says goodbye, without letting any other thread of Python run, and FFmpeg may wait for a receiver for
ever. Here it holds up nothing, and the process ends if a receiver makes it wait for too long.

It reads a pickled `Order` from standard input, then for each picture its time and its planes. It answers with `DONE`
once it has connected, and for each picture with `DONE` and how many of the last pictures are in doubt: those of a
segment that is not complete. Or it ends with `FAILED` and the reason. FFmpeg prints to standard error.
"""

from __future__ import annotations

import faulthandler
import math
import os
import pickle
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import BinaryIO
from urllib.parse import urlsplit
from urllib.request import getproxies

import av
import numpy as np
from av.container import OutputContainer
from av.video.frame import PictureType

from livecam.errors import LivecamError
from livecam.picture.media import Media
from livecam.picture.planes import padded_size, planes
from livecam.sinks.destination import Destination
from livecam.sinks.encoder import add_encoder
from livecam.sinks.stream_connection import (
    CONNECT_SECONDS,
    COUNT,
    DONE,
    FAILED,
    PIXEL_FORMAT,
    STALL_SECONDS,
    TIME,
    Order,
)
from livecam.sinks.uploads import Upload

KEY_SECONDS = 2
"""The time between pictures from which a receiver can begin."""
_AT_ONCE = {"tune": "zerolatency", "forced-idr": "1"}


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """End the process if the block takes longer, even while FFmpeg lets no Python run."""
    faulthandler.dump_traceback_later(seconds, exit=True, file=_nowhere)
    yield
    faulthandler.cancel_dump_traceback_later()


def _send(order: Order, requests: BinaryIO, answers: BinaryIO) -> None:
    destination, media = order.destination, order.media
    is_in_segments = destination.format == "hls"
    with _limited(CONNECT_SECONDS):
        _check_server(destination)
        container = av.open(
            destination.url,
            "w",
            format=destination.format,
            container_options=destination.options,
            io_open=Upload if destination.is_uploaded else None,
        )
        stream = _raw(container, media) if destination.is_raw else _encoded(container, order)
        container.start_encoding()
        _answer(answers, DONE)
    time_base, next_key, in_doubt = media.time_base, 0, 0
    for picture in _pictures(requests, media):
        assert picture.pts is not None
        if picture.pts >= next_key:
            picture.pict_type = PictureType.I
            next_key = picture.pts + math.ceil(KEY_SECONDS / time_base)  # not before a segment is to end
        with _limited(STALL_SECONDS):
            container.mux(stream.encode(picture))
            if is_in_segments:
                in_doubt = 1 if picture.pict_type == PictureType.I else in_doubt + 1
            _answer(answers, DONE + COUNT.pack(in_doubt))
    with _limited(STALL_SECONDS):
        container.mux(stream.encode(None))
        container.close()


def _check_server(destination: Destination) -> None:
    """Check that a web server is there, which gets nothing before a segment is complete. Raises OSError."""
    url = urlsplit(destination.url)
    if destination.is_uploaded and url.scheme not in getproxies():
        port = url.port or {"http": 80, "https": 443}[url.scheme]
        socket.create_connection((url.hostname, port), timeout=CONNECT_SECONDS).close()


def _encoded(container: OutputContainer, order: Order) -> av.VideoStream:
    options = _AT_ONCE | order.destination.codec_options
    return add_encoder(container, order.media, order.encoder, order.destination.codec, at_once=options)


def _raw(container: OutputContainer, media: Media) -> av.VideoStream:
    stream = container.add_stream("rawvideo", rate=media.rate or Fraction(25))
    stream.width, stream.height = padded_size(media.width, media.height, PIXEL_FORMAT)
    stream.pix_fmt, stream.time_base = PIXEL_FORMAT, media.time_base
    stream.codec_context.time_base = media.time_base
    return stream


def _pictures(requests: BinaryIO, media: Media) -> Iterator[av.VideoFrame]:
    """Yield the pictures that come by standard input, until it ends."""
    while len(head := requests.read(TIME.size)) == TIME.size:
        picture = av.VideoFrame(*padded_size(media.width, media.height, PIXEL_FORMAT), PIXEL_FORMAT)
        for plane in planes(picture):
            plane[:] = np.frombuffer(requests.read(plane.size), np.uint8).reshape(plane.shape)
        (picture.pts,), picture.time_base = TIME.unpack(head), media.time_base
        yield picture


def _answer(answers: BinaryIO, answer: bytes) -> None:
    answers.write(answer)
    answers.flush()


def _reason(error: Exception) -> str:
    words = str(error) if isinstance(error, LivecamError) else str(getattr(error, "strerror", None) or error)
    return words[:1].lower() + words[1:]


def main() -> None:
    """Send what is asked for until standard input ends; the exit code is 0 if all was sent."""
    av.logging.restore_default_callback()  # FFmpeg's own: PyAV's takes the lock of Python, which its callers may hold
    av.logging.set_libav_level(av.logging.ERROR)
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    try:
        _send(pickle.load(requests), requests, answers)
    except (LivecamError, av.FFmpegError, OSError, ValueError) as exc:
        _answer(answers, FAILED + _reason(exc).encode())
        os._exit(1)  # without saying goodbye to a receiver that may not answer


if __name__ == "__main__":
    with open(os.devnull, "w") as _nowhere:  # noqa: PTH123
        main()

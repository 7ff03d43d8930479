"""What `livecam live` can be given: cameras, network streams, files and the generated scene."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

from livecam.errors import InputError
from livecam.sources.base import Source
from livecam.sources.camera import camera_name, connect_camera, is_camera
from livecam.sources.connection import Connection, NoSignal
from livecam.sources.demo import DemoSource
from livecam.sources.files import is_picture
from livecam.sources.live_source import LiveSource
from livecam.sources.loop import LoopedSource
from livecam.sources.paced import PacedSource
from livecam.sources.stream import connect_stream
from livecam.sources.uri import is_url, redacted, without_file_scheme
from livecam.sources.video import VideoSource

log = logging.getLogger("livecam")

_MOST_LATE_SECONDS = 0.1
"""By which a paced video may lag behind its own times before it is played more slowly."""


@dataclass(frozen=True)
class LiveOptions:
    """How a source is to be read.

    `size`, (width, height), `fps` and `pixel_format`, such as mjpeg or yuyv422, are asked of a camera. A file gives
    every frame, as fast as it is taken, or with `realtime` each at its own time, whether or not it is taken then.
    With `loop` a file and the demo begin again at their end.
    """

    size: tuple[int, int] | None = None
    fps: Fraction | None = None
    pixel_format: str | None = None
    realtime: bool = False
    loop: bool = False


def open_live(uri: str, options: LiveOptions) -> Source:
    """Open a camera (a number or device), a network stream, a video file or `demo:`. Raises InputError.

    The demo is always paced, and has no end unless it says `seconds=`. What a web server has as a file is a file.
    """
    source = _open(without_file_scheme(uri), options)
    log.info("%s: %s", source.name, source.facts)
    return source


def _open(uri: str, options: LiveOptions) -> Source:
    if uri.startswith("demo:"):
        return _paced(_looped(partial(DemoSource, uri, endless=True), options))
    if is_camera(uri):
        return _open_camera(uri, options)
    if is_url(uri):
        return _open_url(uri, options)
    if is_picture(uri):
        raise InputError(f"{uri} is a still picture; name a camera, a stream or a video, or use livecam annotate")
    return _open_file(uri, options)


def _open_camera(uri: str, options: LiveOptions) -> Source:
    name = camera_name(uri)
    connect = partial(connect_camera, uri, size=options.size, fps=options.fps, pixel_format=options.pixel_format)
    return LiveSource(name, _connected(name, connect), connect)


def _open_url(uri: str, options: LiveOptions) -> Source:
    name, connect = redacted(uri), partial(connect_stream, uri)
    connection = _connected(name, connect)
    if uri.startswith("http") and connection.has_an_end:
        connection.close()
        return _open_file(uri, options)
    if connection.comes_in_pieces:
        connection.close()
        return _paced(VideoSource(uri, only_pictures=True))
    return LiveSource(name, connection, connect)


def _open_file(uri: str, options: LiveOptions) -> Source:
    video = _looped(partial(VideoSource, uri, only_pictures=options.loop), options)
    return _paced(video) if options.realtime else video


def _paced(video: Source) -> Source:
    return PacedSource(video, most_late_seconds=_MOST_LATE_SECONDS)


def _looped(open_video: Callable[[], Source], options: LiveOptions) -> Source:
    return LoopedSource(open_video) if options.loop else open_video()


def _connected(name: str, connect: Callable[[], Connection]) -> Connection:
    try:
        return connect()
    except NoSignal as exc:
        raise exc.in_one_line(name) from exc

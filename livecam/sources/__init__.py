"""Where frames come from: one grammar for all of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

from livecam.errors import InputError, some_of
from livecam.sources.base import Signal, Source
from livecam.sources.camera import camera_name, connect_camera, is_camera
from livecam.sources.connection import Connection, NoSignal, connect_stream
from livecam.sources.demo import DemoSource
from livecam.sources.inputs import Inputs, find_inputs, is_picture, is_url, redacted, without_file_scheme
from livecam.sources.paced import LoopedSource, PacedSource
from livecam.sources.pictures import PictureSource
from livecam.sources.reconnecting import ReconnectingSource
from livecam.sources.video import VideoSource

__all__ = [
    "Inputs",
    "LiveOptions",
    "PacedSource",
    "PictureSource",
    "Signal",
    "Source",
    "find_inputs",
    "open_live",
    "open_source",
    "without_file_scheme",
]


def open_source(
    source: str | Path | Sequence[str | Path], *, start_seconds: float = 0.0, duration_seconds: float | None = None
) -> Source:
    """Open `demo:?...`, a video file or the URL of a video; or a picture, a folder or pattern of pictures, or a list.

    Of a video, `start_seconds` and `duration_seconds` take a part; times are then counted from its start. In a folder,
    a pattern or a list, pictures that cannot be read are passed over, and videos are an error: each is a source of its
    own. Raises InputError.
    """
    if not (start_seconds >= 0 and (duration_seconds is None or duration_seconds > 0)):  # NaN is neither
        raise InputError(f"there is no part from {start_seconds:g} s that lasts {duration_seconds or 0:g} s")
    inputs = find_inputs([str(source)] if isinstance(source, str | Path) else [str(name) for name in source])
    if not len(inputs):
        raise InputError("no input is named; name a video, a picture, a folder, a URL, or demo:")
    many = inputs.many or not isinstance(source, str | Path)
    if many and inputs.videos:
        raise InputError(f"several inputs can only be pictures here; {some_of(inputs.videos)} would be a source alone")
    if inputs.videos:
        return _open_video(inputs.videos[0], start_seconds, duration_seconds)
    if start_seconds or duration_seconds is not None:
        raise InputError(f"only a video has parts; leave out start and duration for {some_of(inputs.pictures)}")
    return PictureSource(inputs.pictures, many=many)


def _open_video(uri: str, start_seconds: float, duration_seconds: float | None) -> Source:
    kind = DemoSource if uri.startswith("demo:") else VideoSource
    return kind(uri, start_seconds=start_seconds, duration_seconds=duration_seconds)


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
    return ReconnectingSource(name, _connected(name, connect), connect)


def _open_url(uri: str, options: LiveOptions) -> Source:
    name, connect = redacted(uri), partial(connect_stream, uri)
    connection = _connected(name, connect)
    if uri.startswith("http") and connection.has_an_end:
        connection.close()
        return _open_file(uri, options)
    if connection.comes_in_pieces:
        connection.close()
        return _paced(VideoSource(uri, only_pictures=True))
    return ReconnectingSource(name, connection, connect)


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

"""Streams over a network: RTSP, RTMP, HTTP, MPEG-TS over TCP and UDP, and any other URL that FFmpeg can open."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import av
from av.container import InputContainer

from livecam.sources.base import LiveOptions, Source, SourceKind, video_name
from livecam.sources.connection import STALL_SECONDS, Choose, Connection, NoSignal, as_players, connected
from livecam.sources.inputs import is_stream, is_url
from livecam.sources.opening import USUAL_MEGAPIXELS, is_picture, open_container, video_stream
from livecam.sources.protocols import CHECK_ADDRESS, problem_and_advice, without_credentials
from livecam.sources.reconnecting import ReconnectingSource
from livecam.sources.segmented import Segments, is_segmented
from livecam.sources.snapshots import USUAL_RATE, Snapshots
from livecam.sources.video import VideoSource, open_file
from livecam.system.files import Version, check_file
from livecam.text import redacted

_PROBE_SECONDS = 0.5
"""The time to find out what a stream contains; FFmpeg's own 5 s are waited for in full if more may still appear."""


def connect_stream(
    url: str,
    choose: Choose = as_players,
    *,
    open_seconds: float = LiveOptions.open_seconds,
    stall_seconds: float = STALL_SECONDS,
    insecure: bool = False,
) -> Connection:
    """Connect to a stream, waiting `open_seconds` in all for an answer and a key frame. Raises NoSignal."""
    asked_seconds = time.perf_counter()
    join = partial(_join, url, stall_seconds=stall_seconds, insecure=insecure)
    container = join(_PROBE_SECONDS, open_seconds)
    no_video = NoSignal(f"no video for {open_seconds:g} s", CHECK_ADDRESS)
    left_seconds = asked_seconds + open_seconds - time.perf_counter()
    if left_seconds > 0 and not container.streams.video and container.duration is None:
        # The sound came first. PyAV does not see streams that appear after opening, so open again and wait for them.
        container.close()
        try:
            container = join(left_seconds, left_seconds)
        except NoSignal as exc:
            if time.perf_counter() < asked_seconds + open_seconds:
                raise
            raise no_video from exc
        left_seconds = asked_seconds + open_seconds - time.perf_counter()
    if left_seconds <= 0:
        container.close()
        raise no_video
    return Connection(
        container, choose, stall_seconds=stall_seconds, join_seconds=open_seconds, asked_seconds=asked_seconds
    )


def _join(
    url: str, probe_seconds: float, open_seconds: float, *, stall_seconds: float, insecure: bool
) -> InputContainer:
    """Open a stream, and look into it for `probe_seconds` unless everything is known before. Raises NoSignal."""
    # No fflags=nobuffer: it throws away what was read to find out what comes, most often with the only key frame of the
    # next seconds. `Connection.pictures` passes over it as quickly, and can show what follows.
    options = {
        "analyzeduration": str(round(probe_seconds * 1e6)),
        "live_start_index": "-1",  # the newest segment of HLS, instead of the third from the end
    }
    asked_seconds = time.perf_counter()
    try:
        return open_container(
            url, options=options, open_seconds=open_seconds, read_seconds=stall_seconds, insecure=insecure
        )
    except av.FFmpegError as exc:
        if time.perf_counter() - asked_seconds >= open_seconds:  # RTSP calls it invalid data
            raise NoSignal(f"no answer for {open_seconds:g} s", CHECK_ADDRESS) from without_credentials(exc)
        raise NoSignal(*problem_and_advice(exc)) from without_credentials(exc)


def open_stream(url: str, options: LiveOptions) -> Source:
    """Open a stream for watching live; a recording is read like a file. Raises InputError."""
    if not is_url(url):
        check_file(Path(url))
    name, trust = redacted(url), {"insecure": options.insecure}
    limit = options.max_megapixels or USUAL_MEGAPIXELS
    choose = partial(video_stream, name="it", number=options.stream, max_megapixels=limit)
    connect: Callable[[], Connection] = partial(connect_stream, url, choose, open_seconds=options.open_seconds, **trust)
    connection = connected(name, connect)
    if _is_file(connection, url):
        connection.close()
        return open_file(url, options)
    request = partial(_join, url, _PROBE_SECONDS, options.open_seconds, **trust)
    if is_picture(connection.container):
        connect = partial(Snapshots, request, choose, options.fps or USUAL_RATE)
    elif is_segmented(connection):
        connect = partial(Segments, request, choose)
    else:
        return ReconnectingSource(name, connection, connect)
    connection.close()
    return ReconnectingSource(name, connected(name, connect), connect)


def _output_name(url: str) -> str:
    """Return a name without credentials: the end of the path, else the host."""
    shown = re.split(r"[?#;]|\*\*\*", redacted(url))[0]
    return video_name(shown.rpartition("://")[2] or "stream")


def _is_file(connection: Connection, url: str) -> bool:
    """Return True for a video that a web server has as a whole."""
    if not url.startswith("http") or is_picture(connection.container):
        return False
    return connection.has_an_end or ((connection.container.size or 0) > 0 and not is_segmented(connection))


def _version(url: str) -> Version:
    """Return a mark of the whole URL, which does not tell it: what is noted beside has no credentials, and no query."""
    return {"mark": hashlib.sha256(url.encode("utf-8", "surrogateescape")).hexdigest()[:4]}


STREAM = SourceKind(
    recognises=is_stream,
    open=VideoSource,
    open_live=open_stream,
    options=("stream", "max_megapixels"),
    output_name=_output_name,
    version=_version,
)

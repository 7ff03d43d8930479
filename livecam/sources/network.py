"""Streams over a network: RTSP, RTMP, HTTP, MPEG-TS over TCP and UDP, and any other URL that FFmpeg can open."""

from __future__ import annotations

import time
from functools import partial

import av

from livecam.sources.base import LiveOptions, Source, SourceKind, video_name
from livecam.sources.connection import STALL_SECONDS, Connection, NoSignal, connected, problem_of
from livecam.sources.inputs import is_url, redacted, without_credentials
from livecam.sources.opening import open_container
from livecam.sources.paced import played
from livecam.sources.reconnecting import ReconnectingSource
from livecam.sources.video import VideoSource, open_file

OPEN_SECONDS = 5.0
_OPTIONS = {
    # No fflags=nobuffer: it throws away what was read to find out what comes, most often with the only key frame of the
    # next seconds. `Connection.pictures` passes over it as quickly, and can show what follows.
    "analyzeduration": "500000",  # microseconds; FFmpeg's own 5 s are waited for in full where streams may appear later
    "rtsp_transport": "tcp",  # UDP loses packets as soon as a key frame is larger than a buffer on the way
}


def connect_stream(uri: str, *, open_seconds: float = OPEN_SECONDS, stall_seconds: float = STALL_SECONDS) -> Connection:
    """Connect to a stream, waiting `open_seconds` for an answer. Raises NoSignal."""
    asked_seconds = time.perf_counter()
    try:
        container = open_container(uri, options=_OPTIONS, open_seconds=open_seconds, read_seconds=stall_seconds)
    except av.ExitError as exc:
        raise _cannot_join(f"no answer for {open_seconds:g} s") from without_credentials(exc)
    except av.InvalidDataError as exc:
        raise _cannot_join("the address does not send a video") from without_credentials(exc)
    except av.EOFError as exc:
        raise _cannot_join("the server closed the connection without sending anything") from without_credentials(exc)
    except av.FFmpegError as exc:
        raise _cannot_join(problem_of(exc)) from without_credentials(exc)
    return Connection(container, stall_seconds=stall_seconds, asked_seconds=asked_seconds)


def _cannot_join(problem: str) -> NoSignal:
    return NoSignal(problem, "check the address and that it is being sent")


def open_stream(url: str, options: LiveOptions) -> Source:
    """Open a stream for watching live; a recording is read like a file. Raises InputError."""
    name, connect = redacted(url), partial(connect_stream, url)
    connection = connected(name, connect)
    if url.startswith("http") and connection.has_an_end:
        connection.close()
        return open_file(url, options)
    if connection.comes_in_pieces:
        connection.close()
        return played(partial(VideoSource, url, only_pictures=True), LiveOptions(realtime=True))
    return ReconnectingSource(name, connection, connect)


STREAM = SourceKind(
    recognises=is_url,
    open=VideoSource,
    open_live=open_stream,
    output_name=lambda url: video_name(url.split("?")[0]),
)

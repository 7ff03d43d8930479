"""The place where FFmpeg is asked to open a file or a URL for reading, and where its video stream is chosen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition

from livecam.errors import InputError
from livecam.sources.inputs import check_file, is_url, without_credentials
from livecam.sources.protocols import problem_of

OPEN_SECONDS = READ_SECONDS = 10.0
"""The time that a server has to answer, and later to send the next data, where nobody watches."""


def open_container(
    uri: str,
    *,
    options: Mapping[str, str] | None = None,
    open_seconds: float = OPEN_SECONDS,
    read_seconds: float = READ_SECONDS,
) -> InputContainer:
    """Open a file or a URL, with FFmpeg's `options` in addition to those that every input gets.

    Raises:
        av.FFmpegError: It cannot be opened; av.ExitError if nothing arrives for `open_seconds`.
    """
    return av.open(
        # Absolute, or FFmpeg would take the text before a colon in a file name for a protocol.
        uri if is_url(uri) else str(Path(uri).absolute()),
        options=dict(options or {}),
        metadata_errors="replace",
        timeout=(open_seconds, read_seconds),
    )


def open_recording(uri: str, name: str) -> InputContainer:
    """Open a video that has an end; `name` is what it is called in messages. Raises InputError."""
    if not is_url(uri):
        check_file(Path(uri))
    try:
        return open_container(uri)
    except av.FFmpegError as exc:
        if isinstance(exc, av.error.InvalidDataError) and not is_url(uri):
            raise InputError(f"{name} is not a video that can be read (damaged, cut short, or something else)") from exc
        raise InputError(f"cannot open {name}: {problem_of(exc)}") from without_credentials(exc)


def video_stream(container: InputContainer, name: str) -> av.VideoStream:
    """Return the first video stream that is no cover picture and can be decoded. Raises InputError."""
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        kinds = {stream.type if stream.type != "video" else "a cover picture" for stream in container.streams}
        raise InputError(f"{name} has no video stream (it holds {', '.join(sorted(kinds))}); name a video")
    if streams[0].codec_context is None:
        raise InputError(f"{name} holds a video in a codec that cannot be decoded here; convert it first")
    return streams[0]

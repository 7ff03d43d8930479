"""Where frames come from: one grammar for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from livecam.errors import InputError, some_of
from livecam.sources.base import Source
from livecam.sources.demo import DemoSource
from livecam.sources.files import Inputs, find_inputs
from livecam.sources.live import LiveOptions, open_live
from livecam.sources.paced import PacedSource
from livecam.sources.pictures import PictureSource
from livecam.sources.signal import Gap, Signal
from livecam.sources.uri import without_file_scheme
from livecam.sources.video import VideoSource

__all__ = [
    "Gap",
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

"""Where frames come from: one grammar for all of them."""

from __future__ import annotations

from livecam.errors import InputError
from livecam.sources.base import Source
from livecam.sources.demo import DemoSource
from livecam.sources.uri import without_file_scheme
from livecam.sources.video import VideoSource

__all__ = ["Source", "open_source", "without_file_scheme"]


def open_source(uri: str, *, start_seconds: float = 0.0, duration_seconds: float | None = None) -> Source:
    """Open `demo:?...`, a video file, or the URL of a video. Raises InputError.

    `start_seconds` and `duration_seconds` take a part; times are then counted from its start.
    """
    if not (start_seconds >= 0 and (duration_seconds is None or duration_seconds > 0)):  # NaN is neither
        raise InputError(f"there is no part from {start_seconds:g} s that lasts {duration_seconds or 0:g} s")
    if uri.startswith("demo:"):
        return DemoSource(uri, start_seconds=start_seconds, duration_seconds=duration_seconds)
    uri = without_file_scheme(uri)
    return VideoSource(uri, start_seconds=start_seconds, duration_seconds=duration_seconds)

"""Where frames come from: one grammar for all of them."""

from __future__ import annotations

from livecam.errors import InputError
from livecam.sources.base import Source
from livecam.sources.demo import DemoSource
from livecam.sources.video import VideoSource

__all__ = ["Source", "open_source"]


def open_source(uri: str, *, start_seconds: float = 0.0, duration_seconds: float | None = None) -> Source:
    """Open `demo:?...`, a video file, or the URL of a video. Raises InputError.

    `start_seconds` and `duration_seconds` take a part; times are then counted from its start.
    """
    if start_seconds < 0 or (duration_seconds is not None and duration_seconds <= 0):
        raise InputError(f"there is no part from {start_seconds:g} s that lasts {duration_seconds or 0:g} s")
    if uri.startswith("demo:"):
        return DemoSource(uri, start_seconds=start_seconds, duration_seconds=duration_seconds)
    uri = uri.removeprefix("file://")
    return VideoSource(uri, start_seconds=start_seconds, duration_seconds=duration_seconds)

"""Where frames come from: one grammar for all of them."""

from __future__ import annotations

from livecam.sources.base import Source
from livecam.sources.demo import DemoSource
from livecam.sources.video import VideoSource

__all__ = ["Source", "open_source"]


def open_source(uri: str, *, start_seconds: float = 0.0, duration_seconds: float | None = None) -> Source:
    """Open `demo:?...`, a video file, or the URL of a video. Raises InputError.

    Of a file or URL, `start_seconds` and `duration_seconds` take a part; its times then begin at 0.
    """
    if uri.startswith("demo:"):
        return DemoSource(uri, start_seconds=start_seconds, duration_seconds=duration_seconds)
    return VideoSource(uri, start_seconds=start_seconds, duration_seconds=duration_seconds)

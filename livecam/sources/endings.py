"""The ends of streams that are read over a network: complete, or broken off."""

from __future__ import annotations

import av
from av.container import InputContainer

from livecam.sources.inputs import is_stream

_TOLERANCE_SECONDS = 0.5


def break_off(container: InputContainer, end_seconds: float) -> str:
    """Return how a stream has broken off that ended without an error, empty if it is complete or a file.

    HTTP that announces its length fails by itself. A stream that announces none ends the same way whether its sender
    has finished or died, so it counts as broken off.

    Args:
        container: The stream, read to its end.
        end_seconds: The end of its last picture, on the stream's clock.
    """
    if not is_stream(container.name) or ((container.size or 0) > 0 and container.format.name != "hls"):
        return ""
    if container.duration is None:
        return "ended; its length was not announced, so it may have broken off"
    promised_seconds = container.duration / av.time_base
    read_seconds = end_seconds - (container.start_time or 0) / av.time_base
    if read_seconds >= promised_seconds - _TOLERANCE_SECONDS:
        return ""
    return f"breaks off after {read_seconds:.1f} of {promised_seconds:.1f} s"

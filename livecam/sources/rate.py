"""The frame rate of a video file."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from fractions import Fraction

import av

_MOST_USUAL_HZ = 120
_MOST_AHEAD = 12
_TOLERANCE = 0.1

Event = av.VideoFrame | av.Packet


def rate_of(stream: av.VideoStream, ahead: deque[Event], events: Iterator[Event]) -> Fraction | None:
    """Return the frame rate of a video, None if unknown.

    Where a container says no rate, FFmpeg may take how finely it counts time for one, such as 1000 or 90000 Hz. So an
    unusual rate has to agree with the first pictures; otherwise theirs is returned.

    Args:
        stream: The video.
        ahead: What was read already. Some pictures are added if they are needed.
        events: What is read from now on.
    """
    said = Fraction(stream.average_rate or stream.guessed_rate or 0)
    if said and said <= _MOST_USUAL_HZ:
        return said
    seen = _rate_of_pictures(ahead, events)
    return said if said and seen and abs(said / seen - 1) < _TOLERANCE else seen


def _rate_of_pictures(ahead: deque[Event], events: Iterator[Event]) -> Fraction | None:
    while len(pictures := [event for event in ahead if isinstance(event, av.VideoFrame)]) < _MOST_AHEAD:
        event = next(events, None)
        if event is None:
            break
        ahead.append(event)
    first, last = pictures[0], pictures[-1]
    assert first.pts is not None and last.pts is not None and last.time_base is not None
    seconds = (last.pts - first.pts) * last.time_base
    return Fraction(len(pictures) - 1) / seconds if seconds else None

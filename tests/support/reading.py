"""Helpers that read frames from sources, and a fake clock."""

from __future__ import annotations

import itertools

from livecam.picture.frame import Frame
from livecam.sources import Source
from tests.support.clips import number_in


def ignore(packet: object) -> None:
    """What is not a picture."""


def frames_of(source: Source) -> list[Frame]:
    """All frames of a source, which is closed."""
    with source:
        return list(source.frames(ignore))


def first_of(source: Source, count: int) -> list[Frame]:
    """The first frames of a source that goes on."""
    return list(itertools.islice(source.frames(ignore), count))


def number_of(frame: Frame) -> int:
    """The number that is spelled in the pixels."""
    return number_in(frame.picture.to_ndarray(format="rgb24"))


class Clock:
    """Time passes when someone sleeps."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def tell(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

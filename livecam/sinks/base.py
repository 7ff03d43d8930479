"""What every sink is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import av

from livecam.picture.frame import Frame


class Sink(ABC):
    """Takes pictures, in order. What is not said to do otherwise keeps only these, and has nothing to complete.

    The constructor checks all that can be checked without a picture and raises OutputError. `write` and `finish` are
    called by one thread, `copy` by another at the same time; each may raise OutputError. `finish` follows at least one
    picture. Exactly one of `finish` and `abort` ends the sink, once.
    """

    pixel_format: str
    """The format in which `write` wants its pictures, one of `livecam.picture.planes.PLANAR`."""

    @abstractmethod
    def write(self, picture: av.VideoFrame, frame: Frame) -> None:
        """Take the next picture, which was drawn of this frame."""

    def copy(self, packet: av.Packet) -> None:  # noqa: B027 - most sinks have no place for it
        """Take a packet of one of the media's `copied_streams`, to be kept byte for byte."""

    def finish(self) -> bool | None:
        """Complete the output. True: it was checked to hold all that was written; None: there is nothing to check."""
        return None

    def abort(self) -> None:  # noqa: B027 - what writes at once has nothing to take back
        """Give up: nothing may appear under the final name. Does not raise."""

    def report(self) -> dict[str, Any]:
        """Facts on the output, as plain data for JSON."""
        return {}


class NullSink(Sink):
    """Keeps nothing."""

    pixel_format = "yuv420p"

    def write(self, picture: av.VideoFrame, frame: Frame) -> None:
        pass

"""What every sink is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import av

from livecam.frame import Frame


class Sink(ABC):
    """Takes pictures, in order.

    The constructor checks all that can be checked without a picture and raises OutputError. `write` and `finish` are
    called by one thread, `copy` by another at the same time; each may raise OutputError. `finish` follows at least one
    picture. Exactly one of `finish` and `abort` ends the sink, once.
    """

    pixel_format: str
    """The format in which `write` wants its pictures, one of `livecam.planes.PLANAR`."""

    @abstractmethod
    def write(self, picture: av.VideoFrame, frame: Frame) -> None:
        """Take the next picture, which was drawn of this frame."""

    @abstractmethod
    def copy(self, packet: av.Packet) -> None:
        """Take a packet of one of the media's `copied_streams`, to be kept byte for byte."""

    @abstractmethod
    def finish(self) -> bool | None:
        """Complete the output. True: it was checked to hold all that was written; None: there is nothing to check."""

    @abstractmethod
    def abort(self) -> None:
        """Give up: nothing may appear under the final name. Does not raise."""

    def report(self) -> dict[str, Any]:
        """Facts on the output, as plain data for JSON."""
        return {}

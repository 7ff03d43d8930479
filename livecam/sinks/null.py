"""A sink that takes everything and keeps nothing, for measuring the rest."""

from __future__ import annotations

import av

from livecam.frame import Frame
from livecam.sinks.base import Sink


class NullSink(Sink):
    """Keeps nothing."""

    pixel_format = "yuv420p"

    def write(self, picture: av.VideoFrame, frame: Frame) -> None:
        pass

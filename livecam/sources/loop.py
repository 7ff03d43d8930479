"""A video that begins again at its end."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from itertools import takewhile

import av

from livecam.frame import Frame
from livecam.sources.base import OnPacket, Source


class LoopedSource(Source):
    """The frames of what `open_video` opens, again and again until `stop`: indices and times go on growing.

    Each pass begins when the last picture of the one before has been shown for as long as it lasts. Only pictures are
    repeated, so there are no copied streams.
    """

    def __init__(self, open_video: Callable[[], Source]) -> None:
        self._open_video = open_video
        self._video = open_video()
        self._stopping = threading.Event()
        self.name = self._video.name
        self.media = dataclasses.replace(self._video.media, expected_frames=None, copied_streams=())

    def frames(self, on_packet: OnPacket) -> Iterator[Frame]:
        index, next_pts = 0, None
        while True:
            shift = None
            for frame in takewhile(lambda frame: not self._stopping.is_set(), self._video.frames(on_packet)):
                picture = frame.picture
                assert picture.pts is not None  # every frame of a video has one
                if shift is None:
                    shift = 0 if next_pts is None else next_pts - picture.pts
                picture.pts += shift
                next_pts = picture.pts + self._duration(picture)
                yield dataclasses.replace(frame, index=index)
                index += 1
            self.unreadable += self._video.unreadable
            self.damaged += self._video.damaged
            if self._stopping.is_set():
                return
            self._video.close()
            self._video = self._open_video()

    def stop(self) -> None:
        self._stopping.set()

    def close(self) -> None:
        self._video.close()

    def _duration(self, picture: av.VideoFrame) -> int:
        """How long a picture is shown, in its time base: as it says, else as all of them on average."""
        return picture.duration or round(1 / ((self.media.rate or 1) * self.media.time_base))

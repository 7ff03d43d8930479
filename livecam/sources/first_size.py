"""All pictures of a source in the size of its first one."""

from __future__ import annotations

import logging

import av
from av.video.reformatter import VideoReformatter

from livecam import threads

log = logging.getLogger("livecam")


class FirstSize:
    """An encoder takes one size: pictures that come in another later on are scaled to it, which is told once."""

    def __init__(self, name: str, width: int, height: int) -> None:
        self._name, self._width, self._height = name, width, height
        self._reformatter = VideoReformatter()
        self._was_told = False

    def fit(self, picture: av.VideoFrame) -> av.VideoFrame:
        """The picture itself where it has the size, else a scaled one with its time."""
        if (picture.width, picture.height) == (self._width, self._height):
            return picture
        if not self._was_told:
            self._was_told = True
            log.warning(
                "%s changes from %dx%d to %dx%d: scaled to the first size",
                *(self._name, self._width, self._height, picture.width, picture.height),
            )
        return self._reformatter.reformat(picture, self._width, self._height, threads=threads.SCALER)

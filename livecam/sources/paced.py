"""Playing videos: each frame is due at its own time, ready or not; and looping."""

from __future__ import annotations

import dataclasses
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import takewhile

import av

from livecam.picture.frame import Frame
from livecam.sources.base import LiveOptions, OnPacket, Source, looked_at

log = logging.getLogger("livecam")

_MOST_LATE_SECONDS = 0.1
"""The lag after which a video that is watched is played more slowly."""


class PacedSource(Source):
    """Yields each frame of a video at its own time, or `fps` frames per second. Closes the video at the end.

    A frame counts as captured when it was due. So a frame that is late because the previous one was not read in time
    has a higher latency; a loop that reads the next frame only after finishing the previous one would hide that.

    A video that cannot be read fast enough would fall further and further behind. Once a frame is `most_late_seconds`
    late, all later ones are postponed by that time, as in a slow player.

    `clock` returns seconds on the clock of the frames' times; `sleep` waits for seconds, by default until `stop`.
    """

    is_live = True

    def __init__(
        self,
        video: Source,
        *,
        fps: Fraction | int | None = None,
        most_late_seconds: float = math.inf,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self.name, self.media = video.name, video.media
        self._video = video
        self._fps = fps
        self._most_late_seconds = most_late_seconds
        self._stopping = threading.Event()
        self._clock, self._sleep = clock, sleep or self._stopping.wait
        self._begun: Iterator[Frame] | None = None

    def idle(self, until: threading.Event, on_frame: Callable[[Frame], None]) -> None:
        self._begun = looked_at(self._video.frames(lambda packet: None), on_frame)
        until.wait()

    def frames(self, on_packet: OnPacket) -> Iterator[Frame]:
        begin_seconds: float | None = None
        is_told = False
        for frame in self._begun or self._video.frames(on_packet):
            time_seconds = self._time_seconds(frame)
            if begin_seconds is None:
                begin_seconds = self._clock() - time_seconds
            due_seconds = begin_seconds + time_seconds
            early_seconds = due_seconds - self._clock()
            if early_seconds > 0:
                self._sleep(early_seconds)
            if -early_seconds > self._most_late_seconds:
                begin_seconds -= early_seconds
                due_seconds -= early_seconds
                if not is_told:
                    log.warning("%s cannot be read fast enough: it is played more slowly", self.name)
                is_told = True
            if self._stopping.is_set():
                break
            yield dataclasses.replace(frame, captured_seconds=due_seconds)

    def stop(self) -> None:
        self._stopping.set()
        self._video.stop()

    def close(self) -> None:
        self._video.close()

    @property
    def unreadable(self) -> int:  # type: ignore[override]
        """The count of the underlying video."""
        return self._video.unreadable

    @property
    def damaged(self) -> int:  # type: ignore[override]
        """The count of the underlying video."""
        return self._video.damaged

    def _time_seconds(self, frame: Frame) -> float:
        if self._fps is not None:
            return float(frame.index / self._fps)
        assert frame.pts_seconds is not None  # every frame of a video has one
        return frame.pts_seconds


class LoopedSource(Source):
    """Yields the frames of the video that `open_video` opens, repeatedly until `stop`; indices and times keep growing.

    Each pass begins when the duration of the last picture has passed. Only pictures are repeated, so there are no
    copied streams.
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
        """Return how long a picture is shown, in its time base: its own duration, else the video's average."""
        return picture.duration or round(1 / ((self.media.rate or 1) * self.media.time_base))


def played(open_video: Callable[[], Source], options: LiveOptions) -> Source:
    """Open a video, looped and paced according to the options."""
    video = LoopedSource(open_video) if options.loop else open_video()
    return PacedSource(video, most_late_seconds=_MOST_LATE_SECONDS) if options.realtime else video

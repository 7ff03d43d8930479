"""Recording beside the screen, in a thread of its own: a file gets what was shown, at the times of its frames."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty, Full, Queue

import av

from livecam.picture.frame import Frame
from livecam.picture.media import Media
from livecam.sinks import Sink, open_sink

log = logging.getLogger("livecam")

_MOST_WAITING = 8
"""Pictures, of all recordings together."""
_POLL_SECONDS = 0.1


class Recording:
    """One file, which begins with its first picture at 0; `left_out` pictures came faster than they were encoded."""

    def __init__(self, path: Path, sink: Sink, size: tuple[int, int]) -> None:
        self.path = path
        self.written = 0
        self.left_out = 0
        self.size = size
        self._sink: Sink | None = sink  # as long as it is open: it holds on to an encoder
        self._first_pts: int | None = None

    def set_time(self, picture: av.VideoFrame) -> None:
        """Move a picture's time to the file's own."""
        assert picture.pts is not None  # every frame of a video has one
        if self._first_pts is None:
            self._first_pts = picture.pts
        picture.pts -= self._first_pts

    def write(self, picture: av.VideoFrame, frame: Frame) -> None:
        """Called by the recorder's thread."""
        assert self._sink is not None  # it is finished last
        self._sink.write(picture, frame)
        self.written += 1

    def finish(self) -> None:
        """Complete the file; one without a picture is none."""
        assert self._sink is not None
        if not self.written:
            self.abort()
            return
        self._sink.finish()
        self._sink = None
        log.info("%s holds %d frame%s%s", self.path, self.written, "s" * (self.written > 1), self._missing())

    def _missing(self) -> str:
        return f"; {self.left_out} more came faster than they could be encoded" if self.left_out else ""

    def abort(self) -> None:
        """Give up, unless it is complete."""
        if self._sink is not None:
            self._sink.abort()
            self._sink = None


class Recorder:
    """Encodes and completes recordings while the picture goes on; `run` is the work of its thread."""

    def __init__(self, *, overwrite: bool) -> None:
        self.recordings: list[Recording] = []
        self._overwrite = overwrite
        self._is_over = False
        self._jobs: Queue[Callable[[], None] | None] = Queue(_MOST_WAITING)

    def begin(self, path: Path, media: Media) -> Recording:
        """Open a file for pictures of this kind. Raises OutputError."""
        sink = open_sink(path, media, overwrite=self._overwrite)
        recording = Recording(path, sink, (media.width, media.height))
        self.recordings.append(recording)
        return recording

    def write(self, recording: Recording, picture: av.VideoFrame, frame: Frame, *, can_wait: bool) -> None:
        """Have a picture written that was drawn of this frame.

        Where too many wait it is left out, unless this one `can_wait`.
        """
        recording.set_time(picture)
        if self._jobs.full() and not can_wait:
            recording.left_out += 1
        else:
            self._put(lambda: recording.write(picture, frame))

    def finish(self, recording: Recording) -> None:
        """Have the file completed after what waits."""
        self._put(recording.finish)

    def close(self) -> None:
        """Nothing more will come."""
        self._put(None)

    def give_up(self) -> None:
        """Do not wait for what is not written yet."""
        self._is_over = True

    def run(self) -> None:
        """Until it is closed. Raises OutputError."""
        try:
            while not self._is_over:
                with suppress(Empty):
                    job = self._jobs.get(timeout=_POLL_SECONDS)
                    if job is None:
                        break
                    job()
        finally:
            self._is_over = True

    def abort(self) -> None:
        """Once the thread has ended: give up what is not complete."""
        for recording in self.recordings:
            recording.abort()

    def report(self) -> list[dict[str, object]]:
        """The files, as plain data."""
        return [
            {"path": str(each.path), "written": each.written, "left_out": each.left_out} for each in self.recordings
        ]

    def _put(self, job: Callable[[], None] | None) -> None:
        """In its turn; nowhere, once the thread takes no more."""
        while not self._is_over:
            with suppress(Full):
                self._jobs.put(job, timeout=_POLL_SECONDS)
                break

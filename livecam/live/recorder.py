"""Recordings and streams of a live run, which are encoded in a thread of their own, and snapshots."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import av
import cv2
import numpy as np

from livecam.errors import OutputError
from livecam.picture.frame import Frame
from livecam.picture.media import Media
from livecam.run.sidecars import write_report
from livecam.sinks import Sink, kind_of, open_live_sink
from livecam.system.files import write_whole

log = logging.getLogger("livecam")

_MOST_WAITING = 8
"""The maximum number of pictures that wait to be encoded, over all recordings."""
_POLL_SECONDS = 0.1


class Recording:
    """A video file or a stream of what is shown; its first picture has the time 0.

    Attributes:
        path: The file, or the stream.
        is_file: True for a file.
        size: The size of its pictures.
        dropped: How many pictures a stream has dropped, by the step that they were waiting for.
        left_out: How many more came faster than they could be encoded.
        lost: How many more came when it had failed, made it fail, or are not in what is left of it.
        failure: Why it could not be written; the run goes on.
    """

    def __init__(self, path: str | Path, size: tuple[int, int]) -> None:
        self.path = path
        self.is_file = kind_of(path).is_file
        self.size = size
        self.dropped: Counter[str] = Counter()
        self.left_out = 0
        self.lost = 0
        self.failure: OutputError | None = None
        self._sink: Sink | None = None  # only while it is open, since it holds an encoder
        self._arrived: int | None = None  # of the sink, once it is gone
        self._first_pts: int | None = None
        self._given = 0

    @property
    def name(self) -> str:
        """What it is called in messages: a file with its folder, a stream without credentials."""
        return kind_of(self.path).shown(str(self.path))

    @property
    def written(self) -> int:
        """How many pictures are in the file, or have arrived where they were sent."""
        sink = self._sink  # once: the recorder's thread takes it away
        arrived = self._arrived if sink is None else sink.arrived
        return self._given if arrived is None else arrived

    def set_time(self, picture: av.VideoFrame) -> None:
        """Move a picture's time from its source's clock to that of the file."""
        assert picture.pts is not None  # every frame of a video has one
        if self._first_pts is None:
            self._first_pts = picture.pts
        picture.pts -= self._first_pts

    @property
    def is_up(self) -> bool:
        """True while pictures are written, or received."""
        sink = self._sink  # once: the recorder's thread takes it away
        return sink is not None and sink.problem is None

    @property
    def status(self) -> str:
        """One line for the screen: what is being recorded, or why it is not."""
        if self.failure:
            return f"not recorded: {self._loss}"
        if self.is_file:
            return f"recording {Path(self.path).name}"
        sink = self._sink  # once: the recorder's thread takes it away
        problem = sink.problem if sink else None
        return f"not sent to {self.name}: {problem}" if problem else f"sending to {self.name}"

    @property
    def problem(self) -> OutputError | None:
        """The error for a file that could not be written, with the number of pictures lost."""
        return OutputError(f"not recorded: {self._loss}") if self.failure else None

    @property
    def _loss(self) -> str:
        return f"{self.failure}" + (f"; {self.lost} frame{'s' * (self.lost > 1)} lost" if self.lost else "")

    def open(self, media: Media, *, overwrite: bool, waits: bool) -> None:
        """Open the file or stream, which is to wait for each picture or to drop some. Raises OutputError."""
        with self._failure_kept():
            self._sink = open_live_sink(self.path, media, overwrite=overwrite, waits=waits)
            self.dropped = self._sink.dropped

    def write(self, picture: av.VideoFrame, frame: Frame) -> None:
        """Encode a picture; called by the recorder's thread. Raises OutputError once, if that fails."""
        if self._sink is None:
            self.lost += 1
            return
        try:
            with self._failure_kept():
                self._sink.write(picture, frame)
        except OutputError:
            self.lost += 1
            raise
        self._given += 1

    def hurry(self) -> None:
        """Let a stream wait for its receiver no more, since `finish` follows soon. Thread-safe."""
        sink = self._sink  # once: the recorder's thread takes it away
        if sink is not None:
            sink.hurry()

    def finish(self) -> None:
        """Complete the file or stream; without a picture there is none. Raises OutputError."""
        if self._sink is None or not self._given:
            self.abort()
            return
        with self._failure_kept():
            self._sink.finish()
        self._let_go(self._sink)
        counts = f"{self.written} frame{'s' * (self.written > 1)}"
        dropped = ", ".join(f"{count} at {step}" for step, count in sorted(self.dropped.items()) if count)
        missing = [
            *([f"{self.dropped.total()} were dropped ({dropped})"] if dropped else []),
            *([f"{self.left_out} more came faster than they could be encoded"] if self.left_out else []),
        ]
        log.info("%s", "; ".join([f"{self.name} {'holds' if self.is_file else 'got'} {counts}", *missing]))

    @contextmanager
    def _failure_kept(self) -> Iterator[None]:
        try:
            yield
        except OutputError as exc:
            self.failure = exc
            self.abort()
            raise

    def abort(self) -> None:
        """Give up, unless the file is complete."""
        if self._sink is not None:
            self._sink.abort()
            self._let_go(self._sink)
            self.lost += self._given - self.written - self.dropped.total()

    def _let_go(self, sink: Sink) -> None:
        self._arrived = sink.arrived
        self._sink = None


class Recorder:
    """Records what is shown, each source to its own file; the recorder's thread executes `run`.

    `run` encodes and completes the files. All other methods are for the main thread and do not wait for the encoder.

    Args:
        paths: The first file of each source, or its stream, recorded from the first picture on; if empty, nothing is
            recorded until `start`. Later files are named after the time at which they begin.
        overwrite: Replace files that exist.
        goes_on: If a file cannot be written, tell the user and go on without it; else that is raised.
        tell: Called with a line for the user.
    """

    def __init__(
        self, paths: Sequence[str | Path], *, overwrite: bool, goes_on: bool, tell: Callable[[str], None]
    ) -> None:
        self.recordings: list[Recording] = []
        self.is_on = bool(paths)
        self._paths = dict(enumerate(paths))
        self._overwrite, self._goes_on = overwrite, goes_on
        self._tell = tell
        self._current: dict[int, Recording] = {}  # by the number of the source
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._is_closed = False
        self._is_over = False

    def status(self, source: int) -> str | None:
        """Return how the source with this number is being recorded, None if it is not to be."""
        recording = self._current.get(source)
        return None if recording is None else recording.status

    @property
    def is_full(self) -> bool:
        """True while so many pictures wait to be encoded that another one would be left out."""
        return self.is_on and not self._is_over and self._jobs.qsize() >= _MOST_WAITING

    def start(self) -> None:
        """Record from the next picture on."""
        self.is_on = True

    def stop(self) -> None:
        """Stop recording; the thread completes the files."""
        self.is_on = False
        for source in list(self._current):
            self._end(source)

    def add(self, source: int, picture: av.VideoFrame, frame: Frame, media: Media, *, can_wait: bool) -> None:
        """Record a picture; recording must be on.

        The first picture, and each one whose size differs from the previous one, begins a new file.

        Args:
            source: The number of the source.
            picture: The drawn frame, upright; its time is changed to the time in the file.
            frame: The frame.
            media: The facts of the picture, for a new file.
            can_wait: The caller waits while `is_full`, and a stream for its receiver. Else a picture that comes while
                it is full is left out.

        Raises:
            OutputError: A new file cannot be opened.
        """
        recording = self._current.get(source)
        if recording is not None and recording.size != (picture.width, picture.height):
            self._end(source)
            recording = None
        recording = recording or self._begin(source, media, waits=can_wait)
        recording.set_time(picture)
        if self.is_full and not can_wait:
            recording.left_out += 1
        else:
            self._jobs.put(partial(recording.write, picture, frame))

    def close(self) -> None:
        """Stop recording, and let the thread end once all files are complete."""
        if not self._is_closed:
            self.stop()
            self._jobs.put(None)
            self._is_closed = True

    def give_up(self) -> None:
        """Make the thread end now, without writing what is queued. Thread-safe."""
        self._is_over = True

    def run(self) -> None:
        """Encode until closed. Raises OutputError."""
        try:
            while not self._is_over:
                with suppress(Empty):
                    job = self._jobs.get(timeout=_POLL_SECONDS)
                    if job is None:
                        break
                    self._do(job)
        finally:
            self._is_over = True

    def abort(self) -> None:
        """Remove the files that are not complete; called once the thread has ended."""
        for recording in self.recordings:
            recording.abort()

    def raise_failure(self) -> None:
        """Raise OutputError if a file could not be written; called once the thread has ended."""
        for recording in self.recordings:
            if problem := recording.problem:
                raise problem from recording.failure

    def report(self) -> list[dict[str, object]]:
        """Return the files as plain data for JSON."""
        return [
            {
                "path": each.name,
                "written": each.written,
                **({} if each.is_file else {"dropped": dict(+each.dropped)}),
                "left_out": each.left_out,
                "lost": each.lost,
                "problem": each.failure and str(each.failure),
            }
            for each in self.recordings
        ]

    def _begin(self, source: int, media: Media, *, waits: bool) -> Recording:
        path = self._paths.pop(source, None) or timestamped(source, ".mp4")
        recording = self._current[source] = Recording(path, (media.width, media.height))
        if not recording.is_file:
            self._paths[source] = path  # a stream goes on where it was
        self.recordings.append(recording)
        self._do(partial(recording.open, media, overwrite=self._overwrite, waits=waits))
        return recording

    def _do(self, job: Callable[[], None]) -> None:
        """Do something with a recording. Raises OutputError unless the run goes on without it."""
        try:
            job()
        except OutputError as exc:
            if not self._goes_on:
                raise
            self._tell(str(exc))

    def _end(self, source: int) -> None:
        recording = self._current[source]
        recording.hurry()
        self._jobs.put(partial(self._finish, recording))
        del self._current[source]

    def _finish(self, recording: Recording) -> None:
        recording.finish()
        if recording.is_file and recording.written and recording.failure is None:
            path = Path(recording.path)
            self._tell(f"saved {path.name} in {path.parent.absolute()}")


def write_snapshot(source: int, bgr: np.ndarray, facts: dict[str, Any]) -> Path:
    """Write a picture as PNG, and facts beside it as JSON, into the current folder.

    Args:
        source: The number of the source.
        bgr: The picture, (H, W, 3) uint8 BGR.
        facts: Plain data.

    Returns:
        The path of the PNG.

    Raises:
        OutputError: A file cannot be written.
    """
    path = timestamped(source, ".png")
    write_whole(path, cv2.imencode(".png", bgr)[1].tobytes())
    write_report(path.with_suffix(".json"), facts)
    return path


def timestamped(source: int, ending: str) -> Path:
    """Name a file in the current folder after the time and the source's number: livecam-20260131-120000-250-2.png."""
    now = datetime.now()
    number = f"-{source + 1}" if source else ""
    return Path(f"livecam-{now:%Y%m%d-%H%M%S}-{now.microsecond // 1000:03}{number}{ending}")

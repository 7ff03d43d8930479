"""The frames of any source, for a loop: all of a file, and always the newest of a camera or stream."""

from __future__ import annotations

import dataclasses
import logging
import math
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import wait
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TypeAlias

from livecam.errors import InputError
from livecam.picture.frame import Frame
from livecam.sources import LiveOptions, Source, kind_of, open_live, open_source
from livecam.sources.camera import CAMERA
from livecam.sources.network import STREAM
from livecam.sources.pictures import PictureSource
from livecam.system.background import in_background, interruptible
from livecam.text import redacted

log = logging.getLogger("livecam")

SourceName: TypeAlias = str | Path | int | Sequence[str | Path]

_LONGEST_END_SECONDS = 0.5
"""How long the reading may take to end. If it takes longer, it hangs in FFmpeg and is left behind."""


def streamed(
    name: SourceName,
    start_seconds: float,
    duration_seconds: float | None,
    options: LiveOptions,
    expect: Callable[..., None],
) -> Generator[Frame, None, None]:
    """Open a source and yield its frames, as in `Explainer.stream`; closing the iterator closes the source.

    `expect` is called as `Explainer.expect`, with the number of frames to come, and if they are separate pictures.
    """
    source = interruptible(partial(_opened, name, start_seconds, duration_seconds, options))
    if source.is_live:
        expect(math.inf)
        with closing(_newest(source)) as frames:
            yield from _first(duration_seconds, frames)
        return
    with source:
        expect(source.media.expected_frames, separate=isinstance(source, PictureSource))
        yield from source.frames(lambda packet: None)
    if source.unreadable:
        log.warning("%s: %d frames could not be read and are missing", source.name, source.unreadable)
    if source.damaged:
        log.warning("%s: %d frames could be read only in part", source.name, source.damaged)


def _opened(name: SourceName, start_seconds: float, duration_seconds: float | None, options: LiveOptions) -> Source:
    if not isinstance(name, str | Path | int | list | tuple):
        kind = type(name).__name__
        raise InputError(f"a source is a path, a URL, the number of a camera or a list of pictures, not {kind}")
    if isinstance(name, int | Path):
        name = str(name)
    if isinstance(name, str) and kind_of(name, live=True) in (CAMERA, STREAM):
        if start_seconds or not (duration_seconds is None or duration_seconds > 0):
            raise InputError(f"{redacted(name)} is read live: give it no start, and a duration above 0 s or none")
        return open_live(name, options)
    return open_source(
        name,
        start_seconds=start_seconds,
        duration_seconds=duration_seconds,
        stream=options.stream,
        fps=options.fps,
        max_megapixels=options.max_megapixels,
        insecure=options.insecure,
    )


def _first(duration_seconds: float | None, frames: Iterator[Frame]) -> Iterator[Frame]:
    """Yield the frames of the first seconds of a live source; None for all."""
    end_seconds: float | None = None
    for frame in frames:
        assert frame.pts_seconds is not None  # every frame of a live source has one
        if duration_seconds is not None:
            end_seconds = end_seconds or frame.pts_seconds + duration_seconds
            if frame.pts_seconds >= end_seconds:
                return
        yield frame


def _newest(source: Source) -> Generator[Frame, None, None]:
    """Yield always the newest frame of a live source, which another thread reads and closes."""
    newest = _Newest()
    reading = in_background(partial(newest.read, source), "reader")
    try:
        yield from iter(newest.take, None)
        reading.result()
    finally:
        source.stop()
        wait([reading], _LONGEST_END_SECONDS)


class _Newest:
    """Holds the newest frame until it is taken, and counts those that it replaced."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._frame: Frame | None = None
        self._dropped = 0
        self._has_ended = False

    def read(self, source: Source) -> None:
        """Read a source to its end and close it."""
        try:
            with source, closing(source.frames(lambda packet: None)) as frames:  # type: ignore[type-var]
                for frame in frames:
                    self._put(frame)
        finally:
            with self._changed:
                self._has_ended = True
                self._changed.notify_all()

    def take(self) -> Frame | None:
        """Wait for a frame and return it; None if the source has ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None or self._has_ended)
            frame, dropped = self._frame, self._dropped
            self._frame, self._dropped = None, 0
            return frame and dataclasses.replace(frame, dropped=dropped)

    def _put(self, frame: Frame) -> None:
        with self._changed:
            self._dropped += self._frame is not None
            self._frame = frame
            self._changed.notify_all()

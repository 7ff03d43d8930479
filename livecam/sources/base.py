"""The source, which supplies frames, and the source kind, which recognises names and opens sources for them."""

from __future__ import annotations

import dataclasses
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from types import MappingProxyType

import av

from livecam.errors import InputError
from livecam.names import VIDEO_ENDINGS
from livecam.picture.frame import Frame
from livecam.picture.media import Media
from livecam.sources.signal import Signal
from livecam.system.files import Version, version_of


class NotThereError(InputError):
    """A camera or stream cannot be opened now; it may be there later."""


OnPacket = Callable[[av.Packet], None]


class Source(ABC):
    """Supplies frames, once, in the order of presentation.

    Opening happens in the constructor, which raises InputError and decodes the first frame, so that what cannot be read
    is found before a model is loaded. `close` is called once, by the thread that opened, after the frames have ended.

    Attributes:
        media: The facts of the video or pictures: size, times, colours.
        name: What the source is called on screen and in reports, without credentials.
        is_live: True if frames arrive on a schedule of their own, whether or not they are read in time.
        signal: Tracks if frames arrive; by default one that is never lost.
        unreadable: How many expected frames could not be decoded. This count and the next two are final once the frames
            have ended.
        failed_files: Why a file could not be read, by its name, for a source of several files.
        damaged: How many frames were decoded with missing parts, which the decoder filled in, or predicted from such.
    """

    media: Media
    name: str = ""
    is_live: bool = False
    signal: Signal = Signal()
    unreadable: int = 0
    failed_files: Mapping[str, str] = MappingProxyType({})
    damaged: int = 0

    @property
    def facts(self) -> str:
        """A short description of the frames: 1280x720, 30 fps."""
        size = f"{self.media.width}x{self.media.height}"
        return f"{size}, {float(self.media.rate):.4g} fps" if self.media.rate else size

    @property
    def dropped(self) -> Mapping[str, int]:
        """How many frames were captured, but dropped before they could be read, by the place where that happened."""
        return {}

    @abstractmethod
    def frames(self, on_packet: OnPacket) -> Iterator[Frame]:
        """Yield the frames, and call `on_packet` with the packets of `media.copied_streams` between them.

        Raises InputError.
        """

    def opened(self) -> Source:
        """Return the source once it is open; one that stands for another waits for that and returns it."""
        return self

    def idle(self, until: threading.Event, on_frame: Callable[[Frame], None]) -> None:
        """Wait before the first frame is taken.

        What arrives by itself meanwhile is read and thrown away; `on_frame` is called with it, to be looked at.
        """
        until.wait()

    def stop(self) -> None:  # noqa: B027 - most sources never wait
        """Make `frames` end instead of waiting for the next frame. Thread-safe."""

    @abstractmethod
    def close(self) -> None:
        """Close the file or device."""

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def looked_at(frames: Iterator[Frame], on_frame: Callable[[Frame], None]) -> Iterator[Frame]:
    """Call `on_frame` with the first frame now, and return an iterator over all; the first arrives when it is taken."""
    first = list(islice(frames, 1))
    for frame in first:
        on_frame(frame)
    return chain((dataclasses.replace(frame, captured_seconds=time.perf_counter()) for frame in first), frames)


@dataclass(frozen=True)
class LiveOptions:
    """Options for reading a source live.

    Attributes:
        size: The (width, height) in pixels to ask a camera for; it may choose a similar one.
        fps: The frames per second to ask a camera for, or a URL that sends single pictures; those of numbered pictures.
        pixel_format: The pixel format to ask a camera for, by FFmpeg's name: mjpeg, yuyv422.
        realtime: Play a file at its own frame rate and drop late frames; False yields every frame as fast as the frames
            are read.
        loop: Restart a file or a generated scene when it ends.
        stream: Which stream of a file or URL with several videos to show, by its number among all streams, from 0; None
            for the one that players show.
        max_megapixels: Refuse a video with larger pictures; None for 70.
        open_seconds: How long a stream may take to answer and to send its first key frame.
        insecure: Do not check the certificate of a server.
    """

    size: tuple[int, int] | None = None
    fps: Fraction | None = None
    pixel_format: str | None = None
    realtime: bool = False
    loop: bool = False
    stream: int | None = None
    max_megapixels: float | None = None
    open_seconds: float = 20.0
    insecure: bool = False


def video_name(path: str) -> str:
    """Return the name of a video's output: the file's own, with an ending that can be written."""
    file = Path(path)
    return file.name if file.suffix.lower() in VIDEO_ENDINGS else file.with_suffix(".mp4").name


@dataclass(frozen=True, kw_only=True)
class SourceKind:
    """A kind of source: recognises names of its kind, opens them, and names their outputs.

    Attributes:
        recognises: Takes a name as the user typed it, returns True if it is of this kind.
        open: Called as `open(name, start_seconds=..., duration_seconds=...)`, the duration None for all of it, and for
            a URL with `insecure=True` if the certificate of the server is not to be checked; if `is_still`, as
            `open(paths, many=...)` with the paths of pictures, of which unreadable ones are skipped if `many`. Returns
            the source, raises InputError. None if the source never ends, so that it can only be watched.
        open_live: Called as `open_live(name, options)` with LiveOptions. Returns the source, raises InputError. None to
            play the result of `open` like a file.
        is_still: True for pictures: their frames have paths and no times.
        options: The names of further options that `open` takes: `stream`, the number of a video stream; `fps`, the
            frames per second; `max_megapixels`, the largest pictures to read.
        endings: The endings of its files, by which they are found in folders. Empty if its names are not files.
        output_name: Takes the name of an input, returns the name of its output in a folder.
        output_suffix: Appended to the stem of `output_name` if it is the only output and the user has not named it.
        version: Takes the name of an input, returns its version, by which a run that is resumed tells if it has
            changed.
    """

    recognises: Callable[[str], bool]
    open: Callable[..., Source] | None
    open_live: Callable[[str, LiveOptions], Source] | None = None
    is_still: bool = False
    options: tuple[str, ...] = ()
    endings: tuple[str, ...] = ()
    output_name: Callable[[str], str] = video_name
    output_suffix: str = "_livecam"
    version: Callable[[str], Version] = version_of

"""The sink, which writes the drawn pictures, and the sink kind, which recognises outputs and opens sinks for them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from livecam.errors import OutputError
from livecam.picture.frame import Frame
from livecam.system.files import check_writable, is_taken
from livecam.system.stores import AnyPath, StoredPath, meant_by
from livecam.text import redacted


class Sink(ABC):
    """Writes pictures in order. The default implementations suit a sink that keeps only pictures.

    The constructor raises OutputError for problems that are found before the first picture. `write` and `finish` are
    called by one thread, `copy` by another at the same time; each may raise OutputError. `finish` follows at least one
    picture. Exactly one of `finish` and `abort` ends the sink, once; `abort` also follows a `finish` that raised.
    """

    pixel_format: str
    """The pixel format that `write` expects, one of `livecam.picture.planes.PLANAR`."""
    delivered: str = "written"
    """What the ledger says of the pictures that `write` got."""
    dropped: Counter[str] = Counter()
    """How many of the pictures that `write` got did not arrive, by the step that they were waiting for: of streams."""
    arrived: int | None = None
    """How many of them have arrived for certain, which only grows; None if all that are not dropped have.

    Once a file was aborted, how many are in what is left of it.
    """
    problem: str | None = None
    """Why pictures do not arrive at the moment."""

    @abstractmethod
    def write(self, picture: av.VideoFrame, frame: Frame) -> None:
        """Write the next picture, which was drawn from this frame."""

    def copy(self, packet: av.Packet) -> None:  # noqa: B027 - most sinks cannot keep packets
        """Write a packet of one of the media's `copied_streams` unchanged."""

    def hurry(self) -> None:  # noqa: B027 - most sinks wait for nobody
        """Wait for no receiver any more, since `finish` follows soon. Any thread may call it, also more than once."""

    def finish(self) -> bool | None:
        """Complete the output. Return True if it was checked to contain all pictures, None if it was not checked."""
        return None

    def abort(self) -> None:  # noqa: B027 - a sink without temporary files has nothing to remove
        """Discard the output: nothing may appear under the final name. Does not raise."""

    def report(self) -> dict[str, Any]:
        """Return facts about the output, as plain data for JSON."""
        return {}


@dataclass(frozen=True, kw_only=True)
class SinkKind:
    """A kind of sink: recognises outputs of its kind, checks them and opens them.

    Attributes:
        recognises: Takes the output as the user named it, returns True if it is of this kind.
        open: Called as `open(output, media, encoder)` with the output as the user named it, the facts of the pictures
            to come and the user's EncoderOptions; for still pictures `output` is a mapping from the path of each to
            its file, and `media` describes the first. Returns the sink, raises OutputError.
        open_live: Like `open`, for a live run; with `waits=True` if `write` is to wait until a picture is due and was
            sent, else it never waits. None if `open` suits live runs, too.
        is_file: True if outputs are files; with several inputs, each then gets a file of its own in a folder.
        takes_several: True if an output that is no file can be that of several inputs.
        takes_videos: True if the pictures of a video can be written.
        takes_stills: True if still pictures can be written, each with the `path` of its frame.
        check: Called as `check(path, overwrite)` for each file, before a model is loaded. Raises OutputError.
        check_name: Called as `check_name(output, overwrite=...)` for an output that is no file, before a model is
            loaded. Raises OutputError.
        check_encoder: Called as `check_encoder(path, encoder)` for each video with the user's EncoderOptions, before a
            model is loaded. Raises OutputError.
        shown: Takes the output, returns what it is called in messages, without credentials.
        numbered: Takes the output and a number from 1, returns the output for one of several sources of a live run.
    """

    recognises: Callable[[str], bool]
    open: Callable[..., Sink]
    open_live: Callable[..., Sink] | None = None
    is_file: bool = False
    takes_several: bool = True
    takes_videos: bool = True
    takes_stills: bool = True
    check: Callable[[AnyPath, bool], None] = lambda path, overwrite: None
    check_name: Callable[..., None] = lambda output, overwrite: None
    check_encoder: Callable[[AnyPath, Any], None] = lambda path, encoder: None
    shown: Callable[[str], str] = lambda output: output
    numbered: Callable[[str, int], str] = lambda output, number: str(
        Path(output).with_stem(f"{Path(output).stem}-{number}")
    )


def check_no_url(path: AnyPath) -> None:
    """Check that a path is none that was made of a URL. Raises OutputError."""
    if not isinstance(path, StoredPath) and ":/" in str(path):
        meant = meant_by(str(path))
        advice = f"did you mean {meant}?" if meant else "name a file, or a stream such as rtsp://host/path"
        raise OutputError(f"{redacted(str(path))} is a URL, and livecam writes files and streams; {advice}")


def check_place(path: AnyPath, overwrite: bool) -> None:
    """Check that a file can be written at a path. Raises OutputError."""
    check_no_url(path)
    if not isinstance(path, StoredPath):
        check_writable(path)
    if is_taken(path) and not overwrite:
        raise OutputError(f"{path} exists; name another output, or replace it with --overwrite")


class NullSink(Sink):
    """A sink that discards everything."""

    pixel_format = "yuv420p"
    delivered = "drawn"

    def write(self, picture: av.VideoFrame, frame: Frame) -> None:
        pass


NULL = SinkKind(recognises=lambda output: output == "null:", open=lambda output, media, encoder: NullSink())

"""Sources, which supply frames. A new kind of source is one file, and one line in `KINDS`."""

from __future__ import annotations

import copyreg
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import cv2  # noqa: F401 - before PyAV, see livecam/picture/__init__.py

from livecam.errors import InputError, some_of
from livecam.sources.animation import ANIMATION, SEQUENCE
from livecam.sources.base import LiveOptions, Source, SourceKind
from livecam.sources.camera import CAMERA
from livecam.sources.demo import DEMO
from livecam.sources.inputs import WHAT_TO_NAME, files_like, is_url, stands_for_many, without_file_scheme
from livecam.sources.network import STREAM
from livecam.sources.paced import PacedSource, played
from livecam.sources.page_camera import PAGE_CAMERA
from livecam.sources.pictures import PICTURE
from livecam.sources.signal import Signal
from livecam.sources.stored import STORED_ANIMATION, STORED_PICTURE, STORED_VIDEO
from livecam.sources.video import PIPE, VIDEO
from livecam.system.paths import is_folder
from livecam.system.stores import meant_by, path_of
from livecam.text import redacted

__all__ = [
    "KINDS",
    "PIPE",
    "VIDEO",
    "Input",
    "LiveOptions",
    "PacedSource",
    "Signal",
    "Source",
    "SourceKind",
    "file_endings",
    "find_inputs",
    "kind_of",
    "one_input",
    "open_live",
    "open_source",
]

log = logging.getLogger("livecam")

KINDS: tuple[SourceKind, ...] = (
    *(VIDEO, PICTURE, SEQUENCE, STREAM, CAMERA, DEMO, PIPE, PAGE_CAMERA),
    *(STORED_VIDEO, STORED_PICTURE),
)
"""All kinds of sources, the first of which takes any name; a name is of the last kind that recognises it."""
_MEANT_FOR = {"stream": "video files with several videos", "fps": "numbered pictures", "max_megapixels": "videos"}
"""What the options of `SourceKind.options` are meant for."""


def _kind_at(place: int) -> SourceKind:
    return (*KINDS, ANIMATION, STORED_ANIMATION)[place]


# A run that goes to another process takes its kind along as a place in this table.
copyreg.pickle(SourceKind, lambda kind: (_kind_at, ((*KINDS, ANIMATION, STORED_ANIMATION).index(kind),)))


def kind_of(name: str, *, live: bool = False) -> SourceKind:
    """Return the kind of source that a name stands for, for annotating or for watching live.

    Raises InputError for a name that is nearly one in an object store.
    """
    if is_url(name) and (meant := meant_by(name)):
        raise InputError(f"{redacted(name)} is neither a file nor an address on a network; did you mean {meant}?")
    return next(kind for kind in reversed(KINDS) if (live or kind.open is not None) and kind.recognises(name))


def file_endings() -> list[str]:
    """Return the endings of the files that are found in folders."""
    return [ending for kind in KINDS for ending in kind.endings]


@dataclass(frozen=True)
class Input:
    """The input of one source: a video, a picture, or several pictures that are read one after the other.

    `many` is True if it comes from a folder, a pattern or a list, even if that holds only one picture.
    """

    kind: SourceKind
    names: tuple[str, ...]
    many: bool = False

    def as_video(self) -> Input:
        """Return the input as a video if it is one animated picture, else the input itself."""
        if not self.kind.is_still or self.many:
            return self
        kinds = [kind for kind in (ANIMATION, STORED_ANIMATION) if kind.recognises(self.names[0])]
        return Input(kinds[0], self.names) if kinds else self

    def open(
        self,
        *,
        start_seconds: float = 0.0,
        duration_seconds: float | None = None,
        insecure: bool = False,
        **options: float | Fraction | None,
    ) -> Source:
        """Open the input, or a part of a video, whose times then count from the part's start.

        Args:
            start_seconds: Where to begin.
            duration_seconds: How much to read; None for all.
            insecure: Do not check the certificate of a server.
            options: Further options for the source, of those that `SourceKind.options` describes; None for the default.

        Raises:
            InputError: It cannot be opened, or has no such option.
        """
        if not (start_seconds >= 0 and (duration_seconds is None or duration_seconds > 0)):  # NaN is neither
            raise InputError(
                f"a part needs a start from 0 s on and a duration above 0 s, not {start_seconds} and {duration_seconds}"
            )
        given: dict[str, object] = {name: value for name, value in options.items() if value is not None}
        for name in given:
            if name not in self.kind.options:
                names = some_of([redacted(each) for each in self.names])
                raise InputError(f"{name} is for {_MEANT_FOR[name]}; leave it out for {names}")
        assert self.kind.open is not None  # else the names are not of this kind
        if not self.kind.is_still:
            if insecure and is_url(self.names[0]):
                given["insecure"] = True
            return self.kind.open(
                self.names[0], start_seconds=start_seconds, duration_seconds=duration_seconds, **given
            )
        if start_seconds or duration_seconds is not None:
            names = some_of([redacted(name) for name in self.names])
            raise InputError(f"only a video has parts; leave out start and duration for {names}")
        return self.kind.open([path_of(name) for name in self.names], many=self.many)


def open_source(
    source: str | Path | Sequence[str | Path],
    *,
    start_seconds: float = 0.0,
    duration_seconds: float | None = None,
    stream: int | None = None,
    fps: Fraction | float | None = None,
    max_megapixels: float | None = None,
    insecure: bool = False,
) -> Source:
    """Open a video or pictures, to be read to their end.

    Args:
        source: A video file, the URL of a video, an animated picture, numbered pictures such as `img_%04d.png`, "-" for
            a video from standard input, or `demo:?...` for a generated scene; a picture; or a folder, a pattern or a
            list of pictures; those that cannot be read are skipped and counted.
        start_seconds: Where to begin in a video. The times of its frames then count from there.
        duration_seconds: How much of a video to read; None for all of it.
        stream: Which stream of a video file to read, by its number among all streams, from 0; by default the video that
            players show.
        fps: The frames per second of numbered pictures; by default 25.
        max_megapixels: Refuse a video with larger pictures, since they may exhaust the memory; by default 70.
        insecure: Do not check the certificate of a server.

    Returns:
        The source, open. Use it as a context manager, and take its `frames` once.

    Raises:
        InputError: The source does not exist or cannot be read, or a list contains a video.
    """
    return (
        one_input(source)
        .as_video()
        .open(
            start_seconds=start_seconds,
            duration_seconds=duration_seconds,
            insecure=insecure,
            stream=stream,
            fps=None if fps is None else Fraction(fps),
            max_megapixels=max_megapixels,
        )
    )


def open_live(uri: str, options: LiveOptions) -> Source:
    """Open a camera, a network stream, a video file or `demo:` for watching live.

    The demo is always played at its own frame rate, and is endless unless it has the option `seconds=`. A video file on
    a web server is read like a local file.

    Args:
        uri: The number of a camera or its device, a URL, the path of a video, or `demo:?...`.
        options: How to read it.

    Returns:
        The source, open. Use it as a context manager, and take its `frames` once.

    Raises:
        InputError: The source cannot be opened, or is a still picture.
    """
    name = without_file_scheme(uri)
    if is_folder(name):
        raise InputError(f"{name} is a folder; name a camera, a stream or a video, or use livecam annotate")
    kind = kind_of(name, live=True)
    if kind.is_still and ANIMATION.recognises(name):
        kind = ANIMATION
    if kind.is_still:
        raise InputError(
            f"{redacted(name)} is a still picture; name a camera, a stream or a video, or use livecam annotate"
        )
    if kind.open_live is not None:
        source = kind.open_live(name, options)
    else:
        assert kind.open is not None  # every kind has `open` or `open_live`
        given = {option: value for option in kind.options if (value := getattr(options, option)) is not None}
        source = played(partial(kind.open, name, **given), options)
    log.info("%s: %s", source.name.rstrip(":"), source.facts)
    return source


def find_inputs(source: str | Path | Sequence[str | Path]) -> list[Input]:
    """Find the inputs that names stand for: first all pictures as one input, then each video.

    Within a folder or a pattern, files come in natural order; a file that two names stand for is taken once. Named
    files need not exist; they are checked when they are opened. Raises InputError for an empty folder or a pattern
    without matches.
    """
    typed = [source] if isinstance(source, str | Path) else source
    names = [without_file_scheme(str(name)) for name in typed]
    many = typed is source or _is_many(names[0])
    kinds = {file: kind for name in names for file, kind in _kinds_of_files(name).items()}
    stills = dict.fromkeys(kind for kind in kinds.values() if kind.is_still)
    pictures = [Input(kind, tuple(file for file in kinds if kinds[file] is kind), many) for kind in stills]
    return pictures + [Input(kind, (file,), many) for file, kind in kinds.items() if not kind.is_still]


def one_input(source: str | Path | Sequence[str | Path]) -> Input:
    """Find the input of a single source: one video, or pictures. Raises InputError."""
    inputs = find_inputs(source)
    if not inputs:
        raise InputError(f"no input is named; {WHAT_TO_NAME}")
    alone = [each.names[0] for each in inputs if each.many and not each.kind.is_still]
    if alone or len(inputs) > 1:
        names = some_of([redacted(name) for name in alone or inputs[-1].names])
        raise InputError(f"a folder, a pattern or a list can only hold pictures here; open {names} by itself")
    return inputs[0]


def _kinds_of_files(name: str) -> dict[str, SourceKind]:
    """Return the kind of each file that a name stands for, by the file's name."""
    if not name:
        raise InputError(f"the input has no name; {WHAT_TO_NAME}")
    if _is_many(name):
        files = files_like(name, file_endings())
        return {file: kind_of(file) for file in files}
    kind = kind_of(name)
    if kind is PIPE:
        return {"-": PIPE}  # whichever of its names was typed: it is read once
    return {str(path_of(name)) if kind.endings else name: kind}


def _is_many(name: str) -> bool:
    """Return True for a folder or a pattern."""
    return bool(kind_of(name).endings) and stands_for_many(name)

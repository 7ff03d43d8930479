"""Pictures that Pillow reads and that follow one another in time, as videos: animated files and numbered files."""

from __future__ import annotations

import hashlib
import logging
import re
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction
from functools import partial
from itertools import chain, count, pairwise
from pathlib import Path
from typing import IO, NamedTuple

import av
import numpy as np
from PIL import Image

from livecam.errors import InputError, some_of
from livecam.picture.conversion import Bt709Converter
from livecam.picture.frame import Frame
from livecam.picture.media import Media
from livecam.sources.base import LiveOptions, OnPacket, Source, SourceKind
from livecam.sources.conditioning import Conditioner
from livecam.sources.opening import USUAL_MEGAPIXELS, check_size
from livecam.sources.paced import played
from livecam.sources.pictures import opened, upright_rgb
from livecam.system.files import Version, version_of

log = logging.getLogger("livecam")

USUAL_FPS = Fraction(25)
_ANIMATED = ("GIF", "PNG", "WEBP", "AVIF")
_TIME_BASE = Fraction(1, 90_000)
_SHORTEST_MS, _USUAL_MS = 10, 100
"""Browsers show a picture that claims to last no longer than the first for the second."""
_NUMBER = re.compile("%(0?)([0-9]*)d")


class Shown(NamedTuple):
    """A picture and when it is shown; `read` returns it as (H, W, 3) RGB and raises InputError."""

    begin: int
    duration: int
    read: Callable[[], np.ndarray]


class PicturesInTime(Source):
    """Yields pictures with times as 8-bit video, which every player takes, of the size of the first.

    Those that cannot be read are left out, counted and logged.

    Args:
        name: What the source is called.
        time_base: The unit, in seconds, of the times in `shown`.
        start_seconds: The time of the first picture to take. Times then count from there.
        duration_seconds: How much to take; None for all.
    """

    def __init__(
        self, name: str, time_base: Fraction, start_seconds: float = 0.0, duration_seconds: float | None = None
    ) -> None:
        self.name = name
        self._time_base = time_base
        self._begin = round(start_seconds / time_base)
        self._end = None if duration_seconds is None else self._begin + round(duration_seconds / time_base)
        self._expected = self._count()
        self._converted = Bt709Converter()
        self._notes: list[str] = []
        self._pictures = self._read()
        first = next(self._pictures, None)
        if first is None:
            raise InputError(self._notes[0] if self._notes else f"{name} has no picture in the requested part")
        self._first: av.VideoFrame | None = first
        self.media = Media(
            width=first.width,
            height=first.height,
            pixel_format=first.format.name,
            time_base=time_base,
            rate=1 / (first.duration * time_base),
            expected_frames=self._expected if self._begin == 0 and self._end is None else None,
        ).in_bt709()

    @abstractmethod
    def _shown(self) -> Iterator[Shown]:
        """Yield the pictures in the order of their times."""

    @abstractmethod
    def _count(self) -> int:
        """Return how many pictures there should be."""

    def frames(self, on_packet: OnPacket) -> Iterator[Frame]:
        assert self._first is not None  # frames can be read only once
        first, self._first = self._first, None
        pictures = Conditioner(self.name, self.media).pictures(chain([first], self._pictures))
        for index, picture in enumerate(pictures):
            self._tell()
            yield Frame(picture=picture, index=index)
        self._tell()

    def close(self) -> None:
        self._pictures = iter(())

    def _read(self) -> Iterator[av.VideoFrame]:
        seen = 0
        try:
            for shown in self._shown():
                if self._end is not None and shown.begin >= self._end:
                    return
                if shown.begin >= self._begin:
                    yield from self._picture_of(shown)
                seen += 1
        except InputError:
            if not seen:
                raise
        missing = self._expected - seen
        if missing > 0:
            self._notes.append(f"{self.name} ends early: {missing} frames are missing at its end")
            self.unreadable += missing

    def _picture_of(self, shown: Shown) -> Iterator[av.VideoFrame]:
        """Yield the picture as video, or nothing if it cannot be read."""
        try:
            picture = self._converted(shown.read())
        except InputError as exc:
            self._notes.append(str(exc))
            self.unreadable += 1
            return
        picture.pts, picture.duration = shown.begin - self._begin, shown.duration
        picture.time_base = self._time_base
        yield picture

    def _tell(self) -> None:
        """Log the problems that were found, once the run has started."""
        for note in self._notes:
            log.warning("%s", note)
        self._notes.clear()


class AnimatedPicture(PicturesInTime):
    """Plays an animated GIF, PNG, WebP or AVIF file once, as browsers show it: composed, on white.

    In messages it is called `name`, by default as `path`.
    """

    def __init__(
        self,
        path: str,
        *,
        start_seconds: float = 0.0,
        duration_seconds: float | None = None,
        max_megapixels: float = USUAL_MEGAPIXELS,
        name: str = "",
    ) -> None:
        name = name or path
        self._opened = partial(opened, Path(path), name)
        with self._opened() as image:
            size = image.size
        check_size(name, *size, max_megapixels)
        super().__init__(name, _TIME_BASE, start_seconds, duration_seconds)

    def _shown(self) -> Iterator[Shown]:
        with self._opened() as image:
            begin = 0
            first = 1 if image.info.get("default_image") else 0  # an APNG's picture for programs that know no APNG
            for number in count(first):
                try:
                    image.seek(number)
                except EOFError:
                    return
                image.load()
                duration_ms = image.info.get("duration") or 0
                duration = round(Fraction(duration_ms if duration_ms > _SHORTEST_MS else _USUAL_MS) / 1000 / _TIME_BASE)
                yield Shown(begin, duration, partial(upright_rgb, image))
                begin += duration

    def _count(self) -> int:
        with self._opened() as image:
            return int(getattr(image, "n_frames", 1)) - bool(image.info.get("default_image"))


class NumberedPictures(PicturesInTime):
    """Plays picture files whose names differ by a number: img_%04d.png stands for img_0001.png, img_0002.png, ...

    Where numbers are missing, the picture before them is shown longer.
    """

    def __init__(
        self,
        pattern: str,
        *,
        start_seconds: float = 0.0,
        duration_seconds: float | None = None,
        fps: Fraction = USUAL_FPS,
    ) -> None:
        self._files = numbered_files(pattern)
        if not self._files:
            raise InputError(f"no file is named like {pattern}; check the folder, the ending and the digits")
        super().__init__(pattern, 1 / Fraction(fps), start_seconds, duration_seconds)
        gaps = [number for number, following in pairwise(sorted(self._files)) if following - number > 1]
        if gaps:
            self._notes.append(f"{pattern} has gaps after {some_of(gaps)}: the pictures there are shown longer")

    def _shown(self) -> Iterator[Shown]:
        numbers = sorted(self._files)
        for number, following in zip(numbers, [*numbers[1:], numbers[-1] + 1], strict=True):
            yield Shown(number - numbers[0], following - number, partial(_picture_in, self._files[number]))

    def _count(self) -> int:
        return len(self._files)


def _picture_in(path: Path) -> np.ndarray:
    with opened(path) as image:
        return upright_rgb(image)


def numbered_files(pattern: str) -> dict[int, Path]:
    """Find the files that a pattern such as folder/img_%04d.png stands for, by their numbers."""
    path = Path(pattern)
    match = _NUMBER.search(path.name)
    if match is None or not path.parent.is_dir():
        return {}
    padded, width = match.groups()
    digits = f"[0-9]{{{width}}}|[1-9][0-9]{{{width},}}" if padded and width else "0|[1-9][0-9]*"
    name = re.compile(f"{re.escape(path.name[: match.start()])}({digits}){re.escape(path.name[match.end() :])}")
    found = {file: name.fullmatch(file.name) for file in path.parent.iterdir()}
    return {int(number[1]): file for file, number in found.items() if number is not None}


def is_animated(name: str | IO[bytes]) -> bool:
    """Return True for a file with a picture that moves."""
    with suppress(Exception), Image.open(name, formats=_ANIMATED) as image:
        return bool(getattr(image, "is_animated", False))
    return False


def is_numbered(name: str) -> bool:
    """Return True for a name with a number to be put in, such as img_%04d.png."""
    return _NUMBER.search(Path(name).name) is not None


def is_sequence(name: str) -> bool:
    """Return True for a pattern of numbered files, unless a file has this very name."""
    return is_numbered(name) and "://" not in name and not Path(name).exists()


def _sequence_output(pattern: str) -> str:
    """Return the name of the video of numbered pictures: img_%04d.png -> img.mp4."""
    stem = _NUMBER.sub("", Path(pattern).stem).strip("_-. ")
    return f"{stem or 'sequence'}.mp4"


def _sequence_version(pattern: str) -> Version:
    """Return the version of numbered files: their bytes, and a hash of the number, the size and the time of each."""
    versions = {number: version_of(path) for number, path in sorted(numbered_files(pattern).items())}
    size_bytes = sum(int(each.get("bytes", 0)) for each in versions.values())
    return {"bytes": size_bytes, "files": hashlib.sha256(repr(versions).encode()).hexdigest()}


def _open_live(pattern: str, options: LiveOptions) -> Source:
    return played(partial(NumberedPictures, pattern, fps=options.fps or USUAL_FPS), options)


ANIMATION = SourceKind(
    recognises=is_animated,
    open=AnimatedPicture,
    options=("max_megapixels",),
    output_name=lambda path: Path(path).with_suffix(".mp4").name,
)
SEQUENCE = SourceKind(
    recognises=is_sequence,
    open=NumberedPictures,
    open_live=_open_live,
    options=("fps",),
    output_name=_sequence_output,
    version=_sequence_version,
)

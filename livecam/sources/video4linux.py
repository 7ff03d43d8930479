"""What a video device of Linux says of itself: the few questions of linux/videodev2.h that do not start it."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from livecam.sources.cameras import Mode

_QUERYCAP = 0x80685600
_ENUM_FMT = 0xC0405602
_REQBUFS = 0xC0145608
_ENUM_FRAMESIZES = 0xC02C564A
_ENUM_FRAMEINTERVALS = 0xC034564B
_CAPTURE, _MEMORY_MAPPED, _DISCRETE = 1, 1, 1
_VIDEO_CAPTURE = 0x1 | 0x1000
"""Single and multi-planar: the bits of a node that gives pictures, and does not convert what it is given."""
_MOST = 256
"""A driver that never comes to an end of its list is left at that."""


class Node:
    """/dev/videoN, opened. Opening and asking raise OSError."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        try:
            capability = self._asked(_QUERYCAP, bytes(104))
        except OSError:
            os.close(self._file)
            raise
        self.name = capability[16:48].split(b"\0")[0].decode(errors="replace")
        self.is_camera = bool(struct.unpack_from("I", capability, 88)[0] & _VIDEO_CAPTURE)

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *exc: object) -> None:
        os.close(self._file)

    @property
    def is_busy(self) -> bool:
        """Whether another program has the pictures: any may open it, only one may have buffers. Asks for none."""
        try:
            self._asked(_REQBUFS, struct.pack("3I8x", 0, _CAPTURE, _MEMORY_MAPPED))
        except OSError as exc:
            return exc.errno == errno.EBUSY
        return False

    def modes(self) -> tuple[Mode, ...]:
        """Its sizes, the largest first, each with its highest rate in any pixel format."""
        fastest: dict[tuple[int, int], float | None] = {}
        for pixel_format in self._pixel_formats():
            for size in self._sizes(pixel_format):
                rates = [rate for rate in (fastest.get(size), *self._rates(pixel_format, size)) if rate]
                fastest[size] = max(rates, default=None)
        return tuple(Mode(*size, fastest[size]) for size in sorted(fastest, key=_area, reverse=True))

    def _pixel_formats(self) -> Iterator[int]:
        for answer in self._listed(_ENUM_FMT, "I56x", _CAPTURE):
            yield struct.unpack_from("I", answer, 44)[0]

    def _sizes(self, pixel_format: int) -> Iterator[tuple[int, int]]:
        """Each one, or of a range the largest."""
        for answer in self._listed(_ENUM_FRAMESIZES, "I36x", pixel_format):
            kind, width, height = struct.unpack_from("3I", answer, 8)
            if kind == _DISCRETE:
                yield width, height
            else:
                _, largest_width, _, _, largest_height, _ = struct.unpack_from("6I", answer, 12)
                yield largest_width, largest_height

    def _rates(self, pixel_format: int, size: tuple[int, int]) -> Iterator[float]:
        """Frames a second: each one, or of a range the highest."""
        for answer in self._listed(_ENUM_FRAMEINTERVALS, "3I36x", pixel_format, *size):
            seconds, parts = struct.unpack_from("2I", answer, 20)  # of a range these are the shortest interval
            if seconds:
                yield parts / seconds

    def _listed(self, request: int, layout: str, *asked: int) -> Iterator[bytes]:
        """The answers for index 0, 1 and so on, up to the one that there is not."""
        for index in range(_MOST):
            try:
                yield self._asked(request, struct.pack("I" + layout, index, *asked))
            except OSError:
                return

    def _asked(self, request: int, question: bytes) -> bytes:
        answer = bytearray(question)
        fcntl.ioctl(self._file, request, answer)
        return bytes(answer)


def _area(size: tuple[int, int]) -> tuple[int, int]:
    width, height = size
    return width * height, width

"""The cameras of this machine, listed without starting any."""

from __future__ import annotations

import errno
import os
import re
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import av


class Mode(NamedTuple):
    """A size in pixels, and the highest frame rate that a camera offers for it; None if unknown."""

    width: int
    height: int
    fps: float | None


@dataclass(frozen=True)
class CameraFacts:
    """One camera.

    Attributes:
        index: The number by which the user names it.
        path: The device name for FFmpeg.
        name: The manufacturer's name.
        problem: Why it cannot be opened and what to do, in one line; None if it can be opened.
        modes: Its sizes and rates, the largest first; empty if the system reports them only for an open camera.
    """

    index: int
    path: str
    name: str
    problem: str | None = None
    modes: tuple[Mode, ...] = ()


def find_cameras(root: Path = Path("/")) -> list[CameraFacts]:
    """List all cameras, also those that cannot be opened; `root` is the folder of /sys and /dev on Linux."""
    if sys.platform.startswith("linux"):
        return _video4linux(root)
    devices = av.enumerate_input_devices("avfoundation" if sys.platform == "darwin" else "dshow")
    cameras = [
        device
        for device in devices
        if "video" in device.media_types and not device.description.startswith("Capture screen")
    ]
    return [CameraFacts(index, device.name, device.description) for index, device in enumerate(cameras)]


def _video4linux(root: Path) -> list[CameraFacts]:
    # Both: in a container, /sys may list a camera that has no device file, or lack one that has.
    folders = (root / "sys" / "class" / "video4linux", root / "dev")
    names = {path.name for folder in folders for path in folder.glob("video*")}
    indices = sorted(int(name.removeprefix("video")) for name in names if re.fullmatch("video[0-9]+", name))
    cameras = (_camera(root, index) for index in indices)
    return [camera for camera in cameras if camera is not None]


def _camera(root: Path, index: int) -> CameraFacts | None:
    """Describe a node; None if it is not a camera, such as a camera's second node, which only has metadata."""
    path = root / "dev" / f"video{index}"
    told = root / "sys" / "class" / "video4linux" / path.name
    try:
        with Node(path) as node:
            if not node.is_camera:
                return None
            problem = _busy(path) if node.is_busy else None
            return CameraFacts(index, str(path), node.name, problem, node.modes())
    except OSError as exc:
        is_first = _text(told / "index") in ("0", None)
        return (
            CameraFacts(index, str(path), _text(told / "name") or path.name, _problem(path, exc)) if is_first else None
        )


def _problem(path: Path, exc: OSError) -> str:
    if isinstance(exc, PermissionError):
        return f"no permission to open {path}; sudo usermod -aG video $USER, then log in again"
    if isinstance(exc, FileNotFoundError):
        return f"there is no {path}; in a container, start it with --device {path}"
    if exc.errno == errno.EBUSY:
        return _busy(path)
    return f"{path} cannot be opened ({exc.strerror}); unplug the camera and plug it in again"


def _busy(path: Path) -> str:
    return f"{path} is busy; end the program that uses it, which fuser -v {path} names"


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


_QUERYCAP = 0x80685600
_ENUM_FMT = 0xC0405602
_REQBUFS = 0xC0145608
_ENUM_FRAMESIZES = 0xC02C564A
_ENUM_FRAMEINTERVALS = 0xC034564B
_CAPTURE, _MEMORY_MAPPED, _DISCRETE = 1, 1, 1
_VIDEO_CAPTURE = 0x1 | 0x1000
"""The capability bits, single and multi-planar, of a node that captures pictures (and not of a converter)."""
_MOST = 256
"""The maximum number of answers read from a driver, in case its list has no end."""


class Node:
    """An open /dev/videoN, for querying its properties. Every method may raise OSError."""

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
        """True if another program is streaming: several may open a node, but only one can allocate buffers."""
        try:
            self._asked(_REQBUFS, struct.pack("3I8x", 0, _CAPTURE, _MEMORY_MAPPED))
        except OSError as exc:
            return exc.errno == errno.EBUSY
        return False

    def modes(self) -> tuple[Mode, ...]:
        """Return the sizes, the largest first, each with its highest rate in any pixel format."""
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
        """Yield each size; for a range, the largest."""
        for answer in self._listed(_ENUM_FRAMESIZES, "I36x", pixel_format):
            kind, width, height = struct.unpack_from("3I", answer, 8)
            if kind == _DISCRETE:
                yield width, height
            else:
                _, largest_width, _, _, largest_height, _ = struct.unpack_from("6I", answer, 12)
                yield largest_width, largest_height

    def _rates(self, pixel_format: int, size: tuple[int, int]) -> Iterator[float]:
        """Yield each rate in frames per second; for a range, the highest."""
        for answer in self._listed(_ENUM_FRAMEINTERVALS, "3I36x", pixel_format, *size):
            seconds, parts = struct.unpack_from("2I", answer, 20)  # in a range, the shortest interval comes first
            if seconds:
                yield parts / seconds

    def _listed(self, request: int, layout: str, *asked: int) -> Iterator[bytes]:
        """Yield the driver's answers for index 0, 1 and so on, until there are no more."""
        for index in range(_MOST):
            try:
                yield self._asked(request, struct.pack("I" + layout, index, *asked))
            except OSError:
                return

    def _asked(self, request: int, question: bytes) -> bytes:
        import fcntl  # exists only on Unix

        answer = bytearray(question)
        fcntl.ioctl(self._file, request, answer)
        return bytes(answer)


def _area(size: tuple[int, int]) -> tuple[int, int]:
    width, height = size
    return width * height, width

"""Which cameras there are, told without starting any."""

from __future__ import annotations

import errno
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import av


class Mode(NamedTuple):
    """A size in pixels and the highest rate that a camera offers in it, None where it does not say."""

    width: int
    height: int
    fps: float | None


@dataclass(frozen=True)
class CameraFacts:
    """One camera; `index` is what OpenCV counts it by, `path` what FFmpeg opens.

    `problem` says in one line why it cannot be opened and what to do, None where it can. `modes` are the largest
    first, none where the system tells them only of a camera that is open.
    """

    index: int
    path: str
    name: str
    problem: str | None = None
    modes: tuple[Mode, ...] = ()


def find_cameras(root: Path = Path("/")) -> list[CameraFacts]:
    """All cameras of this machine, also those that cannot be opened; `root` is where /sys and /dev lie on Linux."""
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
    # Both: a container may know of a camera that it was not given, or have been given one without its /sys.
    folders = (root / "sys" / "class" / "video4linux", root / "dev")
    names = {path.name for folder in folders for path in folder.glob("video*")}
    indices = sorted(int(name.removeprefix("video")) for name in names if re.fullmatch("video[0-9]+", name))
    cameras = (_camera(root, index) for index in indices)
    return [camera for camera in cameras if camera is not None]


def _camera(root: Path, index: int) -> CameraFacts | None:
    """None for what is no camera, such as the second node of one, which gives times and not pictures."""
    from livecam.sources.video4linux import Node  # which only Linux has

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

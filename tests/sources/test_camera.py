"""Cameras: the requested format, unplugging, and the reasons why one cannot be opened."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import av
import pytest
from av.container.core import Flags

from livecam.errors import InputError
from livecam.sources.camera import connect_camera
from livecam.sources.connection import Connection, NoSignal
from livecam.sources.reconnecting import ReconnectingSource
from tests.support.reading import ignore
from tests.support.streams import QUICK


class Camera:
    """Stands in for `av.open` of a device: FFmpeg's generated pictures, some reads without one, then unplugged."""

    def __init__(
        self, *, lasts: int = 8, freezes: bool = False, refuses: Callable[[], Exception | None] = lambda: None
    ) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._lasts, self._freezes, self._refuses = lasts, freezes, refuses

    def open(self, device: str, **facts: Any) -> Any:
        self.asked.append((device, facts))
        error = self._refuses()
        if error is not None:
            raise error
        return Opened(av.open("testsrc=size=64x48:rate=25", format="lavfi"), self._lasts, self._freezes)


class Opened:
    def __init__(self, container: Any, lasts: int, freezes: bool) -> None:
        self._container = container
        self._left, self._freezes = lasts, freezes
        self._turn = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def demux(self) -> Iterator[av.Packet]:
        self._turn += 1
        if self._turn % 2 or (self._freezes and not self._left):
            raise av.BlockingIOError(11, "Resource temporarily unavailable")
        if not self._left:
            raise av.OSError(19, "No such device")
        self._left -= 1
        yield next(self._container.demux())
        raise av.BlockingIOError(11, "Resource temporarily unavailable")


def camera(fake: Camera, uri: str = "0", **asked: Any) -> Callable[[], Connection]:
    return functools.partial(connect_camera, uri, open_device=fake.open, platform="linux", **asked)


def test_a_camera_is_asked_for_what_is_wanted() -> None:
    fake = Camera()
    connect = camera(fake, size=(1280, 720), fps=Fraction(30), pixel_format="mjpeg")
    with ReconnectingSource("camera 0", connect(), connect) as source:
        assert source.facts == "64x48, 25 fps, wrapped_avframe, lavfi"
    ((device, facts),) = fake.asked
    assert (device, facts["format"]) == ("/dev/video0", "v4l2")
    non_blocking = f"+{Flags.non_block.value}"  # a read that waits in a driver cannot be interrupted
    asked = {"video_size": "1280x720", "framerate": "30", "input_format": "mjpeg", "fflags": non_blocking}
    assert facts["options"] == asked


@pytest.mark.parametrize(
    ("platform", "device", "format_name"), [("darwin", "1", "avfoundation"), ("win32", "video=Cam", "dshow")]
)
def test_cameras_elsewhere(platform: str, device: str, format_name: str) -> None:
    fake = Camera()
    connect_camera(device, platform=platform, open_device=fake.open).close()
    assert [(name, facts["format"]) for name, facts in fake.asked] == [(device, format_name)]


def test_a_camera_that_is_unplugged_comes_back() -> None:
    fake = Camera()
    connect = camera(fake)
    with ReconnectingSource("camera 0", connect(), connect, **QUICK) as source:
        frames = []
        for frame in source.frames(ignore):
            frames.append(frame)
            if len(source.signal.gaps) == 2:
                source.stop()
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert [gap.problem for gap in source.signal.gaps] == ["no such device"] * 2


def test_a_camera_that_freezes_is_lost() -> None:
    connect = camera(Camera(lasts=3, freezes=True), stall_seconds=0.05)
    with ReconnectingSource("camera 0", connect(), connect, **QUICK) as source:
        for _ in source.frames(ignore):
            if source.signal.gaps:
                source.stop()
    assert [gap.problem for gap in source.signal.gaps] == ["no picture for 0.05 s"]


def test_a_camera_that_gives_nothing_is_no_camera() -> None:
    fake = Camera(lasts=0)
    with pytest.raises(InputError, match="cannot open it: no such device"):
        ReconnectingSource("it", camera(fake)(), camera(fake))


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (2, "there is no such camera; plug one in"),
        (13, "it may not be read; add your user to the group"),
        (16, "another program uses it; close that one"),
        (av.error.ErrorType.EXIT.value, "it gives no picture for 10 s; unplug it"),
        (22, "it refuses video_size=1x1; ask for another size"),
    ],
)
def test_why_a_camera_cannot_be_opened(number: int, words: str) -> None:
    fake = Camera(refuses=lambda: av.error.classes[number](number, "what the system says"))
    with pytest.raises(NoSignal) as caught:
        camera(fake, size=(1, 1))()
    assert words in str(caught.value.in_one_line("camera 0"))

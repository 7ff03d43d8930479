"""Cameras, read by FFmpeg's own devices.

They supply the pictures as the camera sends them, in YUV or MJPEG, and report why a camera cannot be opened. OpenCV's
VideoCapture converts everything to BGR, which would have to be converted back, and gives no reason for a failure.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from fractions import Fraction
from functools import partial

import av
from av.container import InputContainer
from av.container.core import Flags

from livecam.sources.base import LiveOptions, Source, SourceKind
from livecam.sources.connection import STALL_SECONDS, Connection, NoSignal, connected
from livecam.sources.protocols import problem_of
from livecam.sources.reconnecting import ReconnectingSource

OPEN_SECONDS = 10.0
_FORMATS = {"darwin": "avfoundation", "win32": "dshow"}
_NO_CAMERA = (errno.ENOENT, errno.ENODEV, errno.ENXIO)


def is_camera(uri: str) -> bool:
    """Return True for a number, a device file, or a device name of Windows (video=...)."""
    return uri.isdecimal() or uri.startswith(("/dev/", "video="))


def camera_name(uri: str) -> str:
    """Return the name of a camera for the screen and reports."""
    return f"camera {uri}" if uri.isdecimal() else uri.removeprefix("video=")


def connect_camera(
    uri: str,
    *,
    size: tuple[int, int] | None = None,
    fps: Fraction | None = None,
    pixel_format: str | None = None,
    platform: str = sys.platform,
    open_device: Callable[..., InputContainer] = av.open,
    stall_seconds: float = STALL_SECONDS,
) -> Connection:
    """Open a camera and ask it for this size, rate and format; it may choose similar ones. Raises NoSignal."""
    device_format = _FORMATS.get(platform, "v4l2")
    options = _options(device_format, size, fps, pixel_format)
    try:
        device = _device(uri, device_format)
        container = open_device(device, format=device_format, options=options, timeout=(OPEN_SECONDS, stall_seconds))
    except av.FFmpegError as exc:
        asked = ", ".join(f"{name}={value}" for name, value in options.items() if name != "fflags")
        raise _cannot_open(exc, asked) from exc
    return Connection(container, stall_seconds=stall_seconds)


def _device(uri: str, device_format: str) -> str:
    """Return FFmpeg's device name for a camera number."""
    if not uri.isdecimal() or device_format == "avfoundation":
        return uri
    if device_format == "v4l2":
        return f"/dev/video{uri}"
    cameras = [device for device in av.enumerate_input_devices(device_format) if "video" in device.media_types]
    if int(uri) >= len(cameras):
        raise NoSignal("there is no such camera", "plug one in, name another, or try demo:")
    return f"video={cameras[int(uri)].name}"


def _options(
    device_format: str, size: tuple[int, int] | None, fps: Fraction | None, pixel_format: str | None
) -> dict[str, str]:
    # A read in a driver has no timeout and cannot be interrupted, so reads must not block. The flag has to be passed as
    # an option (by its number), because V4L2 reads it when the device is opened.
    options = {"fflags": f"+{Flags.non_block.value}"}
    if size is not None:
        options["video_size"] = "{}x{}".format(*size)
    if fps is not None:
        options["framerate"] = str(fps)
    elif device_format == "avfoundation":
        options["framerate"] = "30"  # its own default is 29.97, which most cameras of a Mac refuse
    if pixel_format is not None:
        options[_pixel_format_option(device_format, pixel_format)] = pixel_format
    return options


def _pixel_format_option(device_format: str, pixel_format: str) -> str:
    """Return the name of the format option: one for all in V4L2; DirectShow separates codecs and pixel formats."""
    if device_format == "v4l2":
        return "input_format"
    is_codec = pixel_format in av.codecs_available
    return "vcodec" if device_format == "dshow" and is_codec else "pixel_format"


def _cannot_open(exc: av.FFmpegError, asked: str) -> NoSignal:
    if isinstance(exc, av.ExitError):
        return NoSignal(f"it gives no picture for {OPEN_SECONDS:g} s", "unplug it and plug it in again")
    if exc.errno in _NO_CAMERA:
        return NoSignal("there is no such camera", "plug one in, name another, or try demo:")
    if exc.errno in (errno.EACCES, errno.EPERM):
        return NoSignal("it may not be read", "add your user to the group 'video', or allow it in the privacy settings")
    if exc.errno == errno.EBUSY:
        return NoSignal("another program uses it", "close that one")
    if exc.errno == errno.ENOTTY:
        return NoSignal("this device is no camera", "name another")
    if asked and exc.errno in (errno.EINVAL, errno.EIO):
        return NoSignal(f"it refuses {asked}", "ask for another size, rate or format, or for none")
    return NoSignal(problem_of(exc))


def _open_live(uri: str, options: LiveOptions) -> Source:
    name = camera_name(uri)
    connect = partial(connect_camera, uri, size=options.size, fps=options.fps, pixel_format=options.pixel_format)
    return ReconnectingSource(name, connected(name, connect), connect)


CAMERA = SourceKind(recognises=is_camera, open=None, open_live=_open_live)

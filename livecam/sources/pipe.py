"""Standard input as a video, which is read once, from its beginning to its end."""

from __future__ import annotations

import io
import os
import select
import struct
import sys
import threading
from collections.abc import Mapping

import av
from av.container import InputContainer

from livecam.errors import InputError
from livecam.sources.opening import TOLERANT_OF_TAGS, whitelists

PIPE_NAMES = ("-", "pipe:", "pipe:0")
_HEAD_BYTES = 4096
_POLL_SECONDS = 0.1
_CAN_POLL = sys.platform != "win32"  # where only sockets can be


class Stopped(Exception):  # noqa: N818 - it was asked for
    """A pipe is read no further, since `StandardInput.stop` was called."""


class StandardInput:
    """Standard input as a file that FFmpeg reads through PyAV. Raises InputError if there is none, or a terminal.

    What is read is also kept, so that it can be read again, until `keep_no_more`.
    """

    name = "standard input"

    def __init__(self) -> None:
        try:
            self._descriptor = sys.stdin.fileno()
        except (AttributeError, OSError, ValueError) as exc:  # none, not of the system, closed
            raise InputError("there is no standard input; name a file") from exc
        if os.isatty(self._descriptor):
            raise InputError("standard input is the terminal; pipe a video into livecam, or name a file")
        self._kept: bytearray | None = bytearray()
        self._again = io.BytesIO()
        self._stopping = threading.Event()
        self._has_raised = False

    def read(self, size: int) -> bytes:
        """Return the next bytes, at most `size`; none at the end. Raises Stopped."""
        block = self._again.read(size) or self._next(size)
        if self._kept is not None:
            self._kept += block
        return block

    def begin_again(self) -> None:
        """Read from the beginning next."""
        assert self._kept is not None  # else it is too late
        self._again, self._kept = io.BytesIO(self._kept + self._again.read()), bytearray()

    def keep_no_more(self) -> None:
        """Keep nothing of what is read from now on; it cannot begin again."""
        self._kept = None

    def stop(self) -> None:
        """End a wait for the next bytes. Thread-safe."""
        self._stopping.set()

    def _next(self, size: int) -> bytes:
        if self._has_raised:
            return b""  # FFmpeg reads on after an error, and PyAV would print a second one
        while _CAN_POLL and not select.select([self._descriptor], [], [], _POLL_SECONDS)[0]:
            if self._stopping.is_set():
                self._has_raised = True
                raise Stopped
        return os.read(self._descriptor, size)


def open_pipe(pipe: StandardInput, options: Mapping[str, str] | None = None) -> InputContainer:
    """Open a video that comes through a pipe, from its beginning; it cannot refer to files or addresses.

    Raises InputError.
    """
    _check_head(pipe)
    try:
        return av.open(pipe, "r", options={**whitelists(("pipe",), frozenset()), **(options or {})}, **TOLERANT_OF_TAGS)
    except av.FFmpegError as exc:
        raise InputError(
            f"{pipe.name} is not a video that can be read (damaged, cut short, or something else)"
        ) from exc


def _check_head(pipe: StandardInput) -> None:
    """Check the first bytes of a pipe, which are read again. Raises InputError."""
    pipe.begin_again()
    head = b""
    while len(head) < _HEAD_BYTES and (block := pipe.read(_HEAD_BYTES - len(head))):
        head += block
    pipe.begin_again()
    if not head:
        raise InputError(f"{pipe.name} is empty; pipe a video into livecam")
    if _has_its_index_later(head):
        raise InputError(
            f"the MP4 at {pipe.name} has its index after its pictures, and cannot be read from a pipe; "
            "name its file, or write it with -movflags +faststart"
        )


def _has_its_index_later(head: bytes) -> bool:
    """Return True for the first bytes of an MP4 that holds its pictures (mdat) before its index (moov)."""
    place, size = 0, len(head)
    while size >= 8 and place + 8 <= len(head):
        size, box = struct.unpack_from(">I4s", head, place)
        if box in (b"moov", b"mdat"):
            return bool(box == b"mdat")
        place += size
    return False

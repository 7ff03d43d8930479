"""A connection to the receiver of a stream, by a process of its own (`livecam.sinks.sending`)."""

from __future__ import annotations

import pickle
import re
import struct
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

import av

from livecam.picture.media import Media
from livecam.picture.planes import planes
from livecam.sinks.destination import Destination
from livecam.sinks.encoder import EncoderOptions
from livecam.system.cores import module_command, module_environment

PIXEL_FORMAT = "yuv420p"
"""The pixel format of streams, which every receiver can show."""
DONE, FAILED = b".", b"!"
CONNECT_SECONDS = 10.0
STALL_SECONDS = 5.0
"""How long a receiver may take to accept a connection, or a picture."""
TIME, COUNT = struct.Struct("=q"), struct.Struct("=I")
_GENERIC = ("input/output error", "invalid argument", "operation not permitted", "unknown error", "generic error")
"""What FFmpeg returns where only its log says what is wrong."""
_LOGGED = re.compile(r"^\[[^]]+ @ 0x[0-9a-f]+\] *(.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Order:
    """What is to be sent: where to, the facts of the pictures and the user's options for the encoder."""

    destination: Destination
    media: Media
    encoder: EncoderOptions


class NotSent(Exception):  # noqa: N818 - not an error of livecam
    """A stream is not received; holds the reason, without credentials.

    `taken_back` counts the pictures that seemed to be sent and are not: a segment is sent when it is complete.
    """

    def __init__(self, problem: str, taken_back: int = 0) -> None:
        super().__init__(problem)
        self.taken_back = taken_back


class Sender:
    """One connection; a context manager. `connect`, `send` and `finish` wait for the receiver, and raise NotSent.

    They wait for some seconds at most, and `kill`, which any thread may call, ends that.
    """

    def __init__(self, order: Order) -> None:
        self._destination = order.destination
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `kill`
        self._process = subprocess.Popen(
            module_command("livecam.sinks.sending"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=module_environment(),
            start_new_session=True,  # Ctrl-C is for the run, which ends it
        )
        assert self._process.stdin and self._process.stdout
        self._requests, self._answers = self._process.stdin, self._process.stdout
        self._order = order
        self._is_connected = False
        self._unsent = 0  # pictures of a segment that is not complete

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()
        for file in (self._requests, self._answers, self._log):
            with suppress(OSError):  # what it did not read
                file.close()

    def connect(self) -> None:
        """Wait until the receiver has accepted the stream."""
        self._ask(pickle.dumps(self._order))
        self._is_connected = True

    def send(self, pts: int, picture: av.VideoFrame) -> None:
        """Send a picture in the pixel format of streams, with its time in the unit of the order."""
        self._ask(TIME.pack(pts), *(plane.tobytes() for plane in planes(picture)))
        (self._unsent,) = COUNT.unpack(self._answers.read(COUNT.size))

    def finish(self) -> None:
        """End the stream."""
        with suppress(OSError):
            self._requests.close()
        rest = self._answers.read()
        if self._process.wait() != 0:
            raise self._failure(rest)
        if (problem := self._logged()) and self._destination.format == "hls":  # its muxer says it only there
            raise NotSent(problem, self._unsent)

    def kill(self) -> None:
        """End the process at once, if it has not ended."""
        self._process.kill()
        self._process.wait()

    def _ask(self, *parts: bytes) -> None:
        with suppress(OSError, ValueError):  # it has ended, and has said why
            for part in parts:
                self._requests.write(part)
            self._requests.flush()
        if (answer := self._answers.read(1)) != DONE:
            raise self._failure(answer + self._answers.read())

    def _failure(self, answer: bytes) -> NotSent:
        """Return why nothing more is sent, from the last words of the process."""
        if not answer.startswith(FAILED):
            seconds = STALL_SECONDS if self._is_connected else CONNECT_SECONDS
            problem = f"{'takes nothing' if self._is_connected else 'no answer'} for {seconds:g} s"
            return NotSent(problem, self._unsent)
        reason = answer.removeprefix(FAILED).decode(errors="replace")
        if reason.startswith(_GENERIC):
            reason = self._logged() or reason
        return NotSent(self._destination.without_secrets(reason), self._unsent)

    def _logged(self) -> str:
        """Return FFmpeg's last message of an error; empty if there is none."""
        self._log.seek(0)
        messages = _LOGGED.findall(self._log.read().decode(errors="replace"))
        return self._destination.without_secrets(messages[-1].strip().rstrip(".")) if messages else ""

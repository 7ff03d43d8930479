"""A connection to the receiver of a stream, from here: it talks to the process that sends, `stream_process.py`."""

from __future__ import annotations

import pickle
import re
import struct
import subprocess
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import av

from livecam.picture.media import Media
from livecam.picture.planes import planes
from livecam.sinks.certificate import certificate_in
from livecam.sinks.destination import Destination
from livecam.sinks.encoder import EncoderOptions
from livecam.system.background import in_background
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
_MOST_LINES = 32
"""How many of FFmpeg's last messages are kept."""
_HARMLESS = "failed to delete old segment"
"""How FFmpeg's message begins if somebody else has removed a segment that was to be removed."""
_LOGGED = re.compile(r"^\[[^]]+ @ 0x[0-9a-f]+\] *(.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Order:
    """What is to be sent: where to, the facts of the pictures and the user's options for the encoder."""

    destination: Destination
    media: Media
    encoder: EncoderOptions

    def with_options(self, options: dict[str, str]) -> Order:
        """Return the same order with more options of the muxer."""
        return replace(self, destination=replace(self.destination, options=self.destination.options | options))


class NotSent(Exception):  # noqa: N818 - not an error of livecam
    """A stream is not received; holds the reason, without credentials."""


class Connection:
    """One connection; a context manager. `connect`, `send` and `finish` wait for the receiver, and raise NotSent.

    They wait for some seconds at most, and `kill`, which any thread may call, ends that.
    """

    def __init__(self, order: Order) -> None:
        self._destination = order.destination
        self._files = ExitStack()
        if self._destination.format == "whip":
            folder = Path(self._files.enter_context(TemporaryDirectory(prefix="livecam-")))
            order = order.with_options(certificate_in(folder))
        self._process = subprocess.Popen(
            module_command("livecam.sinks.stream_process"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=module_environment(),
            start_new_session=True,  # Ctrl-C is for the run, which ends it
        )
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._requests, self._answers, self._said = self._process.stdin, self._process.stdout, self._process.stderr
        # Read as it comes, and only the last lines are kept: over days FFmpeg may have a lot to say.
        read: Callable[[], deque[bytes]] = partial(deque, self._said, _MOST_LINES)
        self._last_lines = in_background(read, "stream-log")
        self._order = order
        self._is_connected = False

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()
        self._last_lines.result()
        self._files.close()
        for file in (self._requests, self._answers, self._said):
            with suppress(OSError):  # what it did not read
                file.close()

    def connect(self) -> None:
        """Wait until the receiver has accepted the stream."""
        self._ask(pickle.dumps(self._order))
        self._is_connected = True

    def send(self, pts: int, picture: av.VideoFrame) -> int:
        """Send a picture in the pixel format of streams, with its time in the unit of the order.

        Returns how many of the last pictures may still be lost: those of a segment, which is sent when it is complete.
        """
        self._ask(TIME.pack(pts), *(plane.tobytes() for plane in planes(picture)))
        (in_doubt,) = COUNT.unpack(self._answers.read(COUNT.size))
        return in_doubt

    def finish(self) -> None:
        """End the stream."""
        with suppress(OSError):
            self._requests.close()
        rest = self._answers.read()
        if self._process.wait() != 0:
            raise self._failure(rest)
        if (problem := self._logged()) and self._destination.format == "hls":  # its muxer says it only there
            raise NotSent(problem)

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
            return NotSent(problem)
        reason = answer.removeprefix(FAILED).decode(errors="replace")
        if reason.startswith(_GENERIC):
            reason = self._logged() or reason
        return NotSent(self._destination.without_secrets(reason))

    def _logged(self) -> str:
        """Return FFmpeg's last message of an error, once the process has ended; empty if there is none."""
        logged = _LOGGED.findall(b"".join(self._last_lines.result()).decode(errors="replace"))
        messages = [message for message in logged if not message.startswith(_HARMLESS)]
        return self._destination.without_secrets(messages[-1].strip().rstrip(".")) if messages else ""

"""The manifest of an output folder: which of its files livecam has written, from which inputs, and how.

It lets a run go on where another one has ended. Each process that writes outputs appends lines to a file of its own in
`.livecam/`, so that several machines can write into one folder. All these files together are the manifest: of the lines
on one output the newest counts.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import platform
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import IO, Any, Self

from livecam.errors import InputError, LivecamError
from livecam.system.files import Version, write_whole
from livecam.system.stores import AnyPath, StoredPath, contents_of

log = logging.getLogger("livecam")

FOLDER = ".livecam"
"""The folder of the manifest, within the output folder. It is hidden, so that no later run takes it for an input."""
ENDING = ".jsonl"
_STORE_SECONDS = 5.0
"""How long lines may wait before they are written to an object store."""
_STORE_BYTES = 1_000_000
"""How large an object becomes before the next is begun: each new line writes all of it again."""


@dataclass(frozen=True)
class Entry:
    """A finished output.

    Attributes:
        output: Its name within the folder.
        output_bytes: Its size.
        input: What it was made from: the path of a file, or another name without credentials.
        version: The version of the input.
        fingerprint: The hash of all that decides how the output looks, beside the input.
        frames: How many frames were read, explained, written and so on, by the names in the report of a ledger.
    """

    output: str
    output_bytes: int
    input: str
    version: Version
    fingerprint: str
    frames: Mapping[str, int]


class Manifest:
    """The manifest of one output folder: what was in it when it was first asked, and what it has noted since.

    As a context manager it closes its own file at the end of the block.

    Args:
        folder: The output folder, which need not exist yet.
        made_by: Returns what identifies the explainer from one run to the next, as plain data. It may take time, and
            is called once, when it is needed.
    """

    def __init__(self, folder: AnyPath, made_by: Callable[[], Mapping[str, Any]]) -> None:
        self._folder = folder / FOLDER
        self._made_by = cache(made_by)
        self._own_file = _StoredLines(self._folder) if isinstance(self._folder, StoredPath) else _Lines(self._folder)
        self._own: dict[str, Entry | str] = {}
        self._has_failed = False

    def fingerprint(self, options: Mapping[str, Any]) -> str:
        """Return a hash of the explainer and of how it is shown, given as plain data; it is equal on all machines."""
        text = json.dumps((self._made_by(), options), sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def entry(self, output: str) -> Entry | None:
        """Return the entry of a finished output; None if it is not finished, or not known."""
        found = self._newest(output)
        return found if isinstance(found, Entry) else None

    def origin(self, output: str) -> str | None:
        """Return the input of an output that livecam has finished, or at least begun; None if it is not known."""
        found = self._newest(output)
        return found.input if isinstance(found, Entry) else found

    def begin(self, origins: Mapping[str, str]) -> None:
        """Note, safe from a power failure, that outputs are about to be written: `origins` has the input of each.

        What is found under their names later is then known to be livecam's, even if the process is killed before it can
        say that it has finished.
        """
        if not origins:
            return
        self._own.update(origins)
        self._append({"begun": dict(origins)}, is_urgent=True)

    def record(self, entry: Entry) -> None:
        """Note that an output is finished."""
        self._own[entry.output] = entry
        self._append({"done": asdict(entry)})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        with self._failure_told():
            self._own_file.close()

    def _newest(self, output: str) -> Entry | str | None:
        return self._own.get(output) or self._earlier.get(output)

    @cached_property
    def _earlier(self) -> dict[str, Entry | str]:
        """The entry of each finished output, and the input of each that was only begun."""
        outputs: dict[str, Entry | str] = {}
        for line in sorted(self._lines(), key=_time):
            for output, origin in _mapping(line.get("begun")).items():
                outputs[output] = str(origin)
            if entry := _entry(line.get("done")):
                outputs[entry.output] = entry
        return outputs

    def _lines(self) -> Iterator[dict[str, Any]]:
        """Yield what was written. A line that is torn, because a process was killed or a disk is full, is left out."""
        for content in self._own_file.earlier():
            for text in content.splitlines():
                with suppress(ValueError):
                    line = json.loads(text)
                    if isinstance(line, dict):
                        yield line

    def _append(self, line: Mapping[str, Any], *, is_urgent: bool = False) -> None:
        """Append a line to this process's own file, if it `is_urgent` so that a power failure leaves it there."""
        content = json.dumps({"time": time.time(), **line}).encode() + b"\n"
        with self._failure_told():
            self._own_file.append(content, is_urgent=is_urgent)

    @contextmanager
    def _failure_told(self) -> Iterator[None]:
        """Tell once if the block fails: the outputs themselves are not harmed."""
        try:
            yield
        except (OSError, LivecamError) as exc:
            if not self._has_failed:
                reason = getattr(exc, "strerror", None) or exc
                log.warning("cannot write to %s (%s): --resume will not know these outputs", self._folder, reason)
            self._has_failed = True


class _Lines:
    """The files of a manifest: those of earlier runs, and the one that this process appends to. Raises OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._is_torn = False

    def earlier(self) -> Iterator[bytes]:
        """Yield the content of each file that can be read."""
        for path in sorted(self._folder.glob(f"*{ENDING}")):
            with suppress(OSError):
                yield path.read_bytes()

    def append(self, line: bytes, *, is_urgent: bool) -> None:
        """Append a line to this process's own file, and if it is urgent wait until the disk has it."""
        if self._file is None:
            self._folder.mkdir(exist_ok=True)
            self._file = (self._folder / _own_name()).open("xb", buffering=0)
        content = b"\n" + line if self._is_torn else line  # so that what is torn takes no other line with it
        self._is_torn = True
        if self._file.write(content) < len(content):  # a disk that is nearly full takes a part, and says nothing
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._is_torn = False
        if is_urgent:
            with suppress(OSError):  # a file system that cannot
                os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close this process's own file."""
        if self._file is not None:
            self._file.close()


class _StoredLines:
    """The same in an object store, which has no appending: this process's own object is written again and again.

    Lines that are not urgent may wait some seconds. An object that has become large is left, and another one begun. All
    methods raise LivecamError.
    """

    def __init__(self, folder: StoredPath) -> None:
        self._folder = folder
        self._begin_object()

    def _begin_object(self) -> None:
        self._object, self._content = self._folder / _own_name(), b""
        self._is_written, self._written_seconds = True, 0.0

    def earlier(self) -> Iterator[bytes]:
        """Yield the content of each object."""
        paths = sorted(path for path in self._folder.listing().files if path.suffix == ENDING)
        for content in contents_of(paths) if paths else []:
            if isinstance(content, InputError):
                raise content
            yield content

    def append(self, line: bytes, *, is_urgent: bool) -> None:
        """Append a line."""
        self._content += line
        self._is_written = False
        if is_urgent or time.monotonic() - self._written_seconds > _STORE_SECONDS:
            self._write()

    def close(self) -> None:
        """Write what waits."""
        if not self._is_written:
            self._write()

    def _write(self) -> None:
        write_whole(self._object, self._content)
        self._is_written, self._written_seconds = True, time.monotonic()
        if len(self._content) > _STORE_BYTES:
            self._begin_object()


def _own_name() -> str:
    """Return a name that no other process on any machine takes; names sort by the time."""
    host = re.sub(r"[^\w.-]", "_", platform.node()) or "host"
    return f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{host}-{os.getpid()}-{secrets.token_hex(4)}{ENDING}"


def _time(line: Mapping[str, Any]) -> float:
    found = line.get("time")
    return found if isinstance(found, int | float) else 0.0


def _mapping(found: object) -> Mapping[str, Any]:
    return found if isinstance(found, dict) else {}


def _entry(found: object) -> Entry | None:
    """Return the entry in a line; None if it is none, or of a version of livecam that writes others."""
    with suppress(TypeError):
        entry = Entry(**_mapping(found))
        if isinstance(entry.version, dict) and isinstance(entry.frames, dict):
            return entry
    return None

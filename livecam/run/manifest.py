"""The manifest of an output folder: which of its files livecam has written, from which inputs, and how.

It lets a run go on where another one has ended. Each process that writes outputs appends lines to a file of its own in
`.livecam/`, so that several machines can write into one folder. All these files together are the manifest: of the lines
on one output the newest counts.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import IO, Any, Self

from livecam.system.files import Version

log = logging.getLogger("livecam")

FOLDER = ".livecam"
"""The folder of the manifest, within the output folder. It is hidden, so that no later run takes it for an input."""
ENDING = ".jsonl"


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

    def __init__(self, folder: Path, made_by: Callable[[], Mapping[str, Any]]) -> None:
        self._folder = folder / FOLDER
        self._made_by = cache(made_by)
        self._file: IO[bytes] | None = None
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
        self._append({"begun": dict(origins)})
        if self._file is not None:
            with suppress(OSError):
                os.fsync(self._file.fileno())

    def record(self, entry: Entry) -> None:
        """Note that an output is finished."""
        self._own[entry.output] = entry
        self._append({"done": asdict(entry)})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._file is not None:
            self._file.close()

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
        for path in sorted(self._folder.glob(f"*{ENDING}")):
            with suppress(OSError):
                for text in path.read_bytes().splitlines():
                    with suppress(ValueError):
                        line = json.loads(text)
                        if isinstance(line, dict):
                            yield line

    def _append(self, line: Mapping[str, Any]) -> None:
        """Append a line to this process's own file. A failure is told once: the outputs themselves are not harmed."""
        content = json.dumps({"time": time.time(), **line}).encode() + b"\n"
        try:
            if self._file is None:
                self._folder.mkdir(exist_ok=True)
                self._file = (self._folder / _own_name()).open("xb", buffering=0)
            self._file.write(content)
        except OSError as exc:
            if not self._has_failed:
                log.warning("cannot write to %s (%s): --resume will not know these outputs", self._folder, exc.strerror)
            self._has_failed = True


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

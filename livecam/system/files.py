"""Whether files may be put where they are wanted: what several rooms ask before their work begins."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from livecam.errors import OutputError


def check_writable(path: Path) -> None:
    """Whether a file can be put there. Raises OutputError."""
    if path.exists() and not path.is_file():
        raise OutputError(f"{path} is {'a folder' if path.is_dir() else 'no file'}; name a file")
    check_parent(path)


def check_parent(path: Path) -> None:
    """Whether the folder that something is to be put into is there, and may be written to. Raises OutputError."""
    if not path.parent.is_dir():
        raise OutputError(f"the folder {path.parent} does not exist; make it first")
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"the folder {path.parent} may not be written to; check its permissions")


def check_distinct(sources: Sequence[str | Path], outputs: Sequence[str | Path], beside: Sequence[str | Path]) -> None:
    """No file may be read and written, or written twice, whatever it is called. Raises OutputError."""
    taken = {_identity(source): "the input" for source in sources}
    for path in (*outputs, *beside):
        identity = _identity(path)
        if identity in taken:
            raise OutputError(f"{path} would be {taken[identity]} as well; name another file")
        taken[identity] = "an output"


def _identity(path: str | Path) -> object:
    """The same for all names of one file."""
    try:
        status = Path(path).stat()
    except OSError:
        return os.path.realpath(path)
    return status.st_dev, status.st_ino

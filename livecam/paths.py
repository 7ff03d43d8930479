"""Whether files may be put where they are wanted: what several rooms ask before their work begins."""

from __future__ import annotations

import os
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

"""Names of files: if there are such. Path's own methods raise OSError for one that is too long, such as a URL."""

from __future__ import annotations

import os
import re
from pathlib import Path

_NO_FILE = re.compile(r"-|\d+|/dev/.*|.*[:*?[%].*", re.DOTALL)


def exists(name: str | Path) -> bool:
    """Return True if there is a file or folder of this name; False for whatever cannot be a name."""
    return os.path.exists(name)  # noqa: PTH110


def is_folder(name: str | Path) -> bool:
    """Return True if there is a folder of this name; False for whatever cannot be a name."""
    return os.path.isdir(name)  # noqa: PTH112


def is_file_name(name: str) -> bool:
    """Return False for a name of something else: standard input, a camera, a URL, a pattern, numbered files."""
    return bool(name) and not _NO_FILE.fullmatch(name)

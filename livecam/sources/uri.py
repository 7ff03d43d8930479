"""Small questions about a source's name."""

from __future__ import annotations

import re
from pathlib import Path

_USER_INFO = re.compile(r"(?<=://)[^/\s]+@")


def is_url(uri: str) -> bool:
    """Whether FFmpeg should take it as a URL rather than as the name of a file."""
    return "://" in uri and not Path(uri).exists()


def without_file_scheme(uri: str) -> str:
    """The path in a file: URL, anything else as it is."""
    return uri if Path(uri).exists() else re.sub("^file:(//(?=/))?", "", uri)


def redacted(uri: str) -> str:
    """The same without user name and password, fit to be shown and stored."""
    return _USER_INFO.sub("", uri)

"""Small questions about a source's name."""

from __future__ import annotations

import re

_USER_INFO = re.compile(r"(?<=://)[^/\s]+@")


def is_url(uri: str) -> bool:
    """Whether FFmpeg should take it as a URL rather than as the name of a file."""
    return "://" in uri


def redacted(uri: str) -> str:
    """The same without user name and password, fit to be shown and stored."""
    return _USER_INFO.sub("", uri)

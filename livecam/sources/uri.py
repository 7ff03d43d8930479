"""Small questions about a source's name."""

from __future__ import annotations

import re
from pathlib import Path

import av

_USER_INFO = re.compile(r"(?<=://)[^/\s]+@")
_SECRET = re.compile(r"([?&][^=&\s]*(?:pass|pwd|token|key|secret|auth|sig|credential)[^=&\s]*=)[^&#\s]+", re.IGNORECASE)


def is_url(uri: str) -> bool:
    """Whether FFmpeg should take it as a URL rather than as the name of a file."""
    return "://" in uri and not Path(uri).exists()


def without_file_scheme(uri: str) -> str:
    """The path in a file: URL, anything else as it is."""
    return uri if Path(uri).exists() else re.sub("^file:(//(?=/))?", "", uri)


def redacted(text: str) -> str:
    """A URL, or a text with URLs in it, without user names, passwords, keys and tokens: fit to be shown and stored."""
    return _SECRET.sub(r"\1***", _USER_INFO.sub("", text))


def without_credentials(error: av.FFmpegError) -> av.FFmpegError:
    """The same error: it carries the URL that was opened, and `raise ... from` shows it in a traceback."""
    error.args = tuple(redacted(arg) if isinstance(arg, str) else arg for arg in error.args)
    return error

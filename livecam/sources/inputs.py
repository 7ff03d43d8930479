"""What inputs mean: the files that a folder or a pattern stands for, and which of them are pictures."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import av

from livecam.errors import InputError
from livecam.names import READ_PICTURE_ENDINGS, READ_VIDEO_ENDINGS

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


@dataclass(frozen=True)
class Inputs:
    """What was asked for: in each group in the order of the names, within a folder or a pattern in natural order."""

    pictures: tuple[Path, ...]
    videos: tuple[str, ...]
    """Files, URLs and `demo:`."""
    many: bool
    """Whether the names stand for as many as there may be, also where that is one: a folder, a pattern, several."""

    def __len__(self) -> int:
        return len(self.pictures) + len(self.videos)


def find_inputs(names: Sequence[str]) -> Inputs:
    """Look up what the names stand for; what two of them stand for is taken once.

    Files that are named need not exist: each is answered for when it is opened. Raises InputError for a folder or a
    pattern with nothing in it.
    """
    found = list(dict.fromkeys(file for name in names for file in _files_of(name)))
    return Inputs(
        pictures=tuple(Path(file) for file in found if is_picture(file)),
        videos=tuple(file for file in found if not is_picture(file)),
        many=len(names) != 1 or _stands_for_many(without_file_scheme(names[0])),
    )


def is_picture(name: str) -> bool:
    """Whether a name is that of a file with a still picture in it."""
    return not _is_remote(name) and Path(name).suffix.lower() in READ_PICTURE_ENDINGS


def check_file(path: Path) -> None:
    """Whether there is something to be read. Raises InputError."""
    if not path.exists():
        raise InputError(f"{path} does not exist; name a video, a picture, a folder, a URL, or demo:")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} may not be read; check its permissions")
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"{path} is empty")


def _files_of(name: str) -> list[str]:
    name = without_file_scheme(name)
    if not name:
        raise InputError("the input has no name; name a video, a picture, a folder, a URL, or demo:")
    if not _stands_for_many(name):
        return [name if _is_remote(name) else str(Path(name))]
    if Path(name).is_dir():
        files = _pictures_and_videos(_entries(Path(name)))
        if not files:
            raise InputError(f"the folder {name} holds no pictures and no videos; name another one")
        return files
    matches = glob.glob(name, recursive=True)  # noqa: PTH207 - Path.glob finds hidden files and no absolute patterns
    files = _pictures_and_videos(Path(match) for match in matches)
    if not files:
        what = "no picture and no video is" if matches else "nothing is"
        raise InputError(f"{what} named like {name}; check the folder and the ending")
    return files


def _is_remote(name: str) -> bool:
    """Whether it is no file at all."""
    return name.startswith("demo:") or is_url(name)


def _stands_for_many(name: str) -> bool:
    """Whether it is a folder or a pattern; what exists is never a pattern."""
    if _is_remote(name):
        return False
    return Path(name).is_dir() or (glob.has_magic(name) and not Path(name).exists())


def _entries(folder: Path) -> list[Path]:
    """All but the hidden ones."""
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as exc:
        raise InputError(f"the folder {folder} may not be read; check its permissions") from exc


def _pictures_and_videos(paths: Iterable[Path]) -> list[str]:
    known = [path for path in paths if path.suffix.lower() in READ_PICTURE_ENDINGS + READ_VIDEO_ENDINGS]
    return [str(path) for path in sorted(known, key=_natural) if path.is_file()]


def _natural(path: Path) -> tuple[list[list[str | int]], str]:
    """Sorts numbers in names by their value: img2 before img10."""
    # Splitting at the numbers leaves text at even places and numbers at odd ones, so that like is compared with like.
    parts = [
        [int(piece) if place % 2 else piece.casefold() for place, piece in enumerate(re.split("([0-9]+)", part))]
        for part in path.parts
    ]
    return parts, str(path)

"""Names of inputs: recognises URLs, and lists the files of a folder or pattern."""

from __future__ import annotations

import glob
import re
from collections.abc import Collection, Iterable
from pathlib import Path

from livecam.errors import InputError
from livecam.system.files import exists, is_folder

WHAT_TO_NAME = "name a video, a picture, a folder, a URL, or demo:"
"""The advice in errors about inputs that cannot be read."""


def is_url(name: str) -> bool:
    """Return True if FFmpeg should treat a name as a URL rather than as a file name."""
    return "://" in name and not exists(name)


def is_stream(name: str) -> bool:
    """Return True for a URL, and for a file that describes a stream (.sdp)."""
    return is_url(name) or name.lower().endswith(".sdp")


def without_file_scheme(name: str) -> str:
    """Return the path of a `file:` URL; other names are returned unchanged."""
    return name if exists(name) else re.sub("^file:(//(?=/))?", "", name)


def stands_for_many(name: str) -> bool:
    """Return True for a folder or a pattern; a name of an existing file is never a pattern."""
    return is_folder(name) or (glob.has_magic(name) and not exists(name))


def files_like(name: str, endings: Collection[str]) -> list[str]:
    """List the files with these endings in a folder, or that a pattern matches, in natural order.

    Raises InputError if there are none.
    """
    if is_folder(name):
        files = _known(_entries(Path(name)), endings)
        if not files:
            raise InputError(f"the folder {name} holds no pictures and no videos; name another one")
        return files
    matches = glob.glob(name, recursive=True)  # noqa: PTH207 - Path.glob finds hidden files and no absolute patterns
    files = _known(map(Path, matches), endings)
    if not files:
        what = "no picture and no video is" if matches else "nothing is"
        raise InputError(f"{what} named like {name}; check the folder and the ending")
    return files


def _entries(folder: Path) -> list[Path]:
    """List a folder without hidden files."""
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as exc:
        raise InputError(f"the folder {folder} may not be read; check its permissions") from exc


def _known(paths: Iterable[Path], endings: Collection[str]) -> list[str]:
    known = [path for path in paths if path.suffix.lower() in endings]
    return [str(path) for path in sorted(known, key=_natural) if path.is_file()]


def _natural(path: Path) -> tuple[list[list[str | int]], str]:
    """Return a key that sorts numbers in names by their value: img2 before img10."""
    # Splitting at numbers puts text at even indices and numbers at odd ones, so that types match in comparisons.
    parts = [
        [int(piece) if place % 2 else piece.casefold() for place, piece in enumerate(re.split("([0-9]+)", part))]
        for part in path.parts
    ]
    return parts, str(path)

"""Names of inputs: recognises URLs, and lists the files of a folder or pattern."""

from __future__ import annotations

import glob
import logging
import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path

from livecam.errors import InputError, some_of
from livecam.system.files import exists, is_folder

log = logging.getLogger("livecam")

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
        files, deeper = files_in(name, endings), _folders_inside(name, endings)
        pattern = os.path.join(name, "**", "*")  # noqa: PTH118 - Path would change the name
        if not files:
            advice = f"{pattern!r} takes those in folders inside it" if deeper else "name another one"
            raise InputError(f"the folder {name} holds no pictures and no videos; {advice}")
        if deeper:
            log.warning("folders inside %s are left out: %s; %r takes all", name, some_of(deeper), pattern)
        return files
    matches = glob.glob(name, recursive=True)  # noqa: PTH207 - Path.glob finds hidden files and no absolute patterns
    files = _known(map(Path, matches), endings)
    if not files:
        what = "no picture and no video is" if matches else "nothing is"
        raise InputError(f"{what} named like {name}; check the folder and the ending")
    return files


def files_in(folder: str, endings: Collection[str]) -> list[str]:
    """List the files with these endings in a folder, in natural order. Raises InputError if it may not be read."""
    return _known(_entries(Path(folder)), endings)


def _entries(folder: Path) -> list[Path]:
    """List a folder without hidden files."""
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as exc:
        raise InputError(f"the folder {folder} may not be read; check its permissions") from exc


def _folders_inside(name: str, endings: Collection[str]) -> list[str]:
    """Return the names of the folders in a folder that hold files with these endings, sorted."""
    files = glob.glob(os.path.join(glob.escape(name), "*", "*"))  # noqa: PTH118, PTH207 - as in `files_like`
    return sorted({Path(file).parent.name for file in _known(map(Path, files), endings)})


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

"""Names of inputs: recognises URLs, and lists the files of a folder or pattern."""

from __future__ import annotations

import glob
import logging
import os
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path, PurePath, PurePosixPath

from livecam.errors import InputError, some_of
from livecam.names import READ_PICTURE_ENDINGS, READ_VIDEO_ENDINGS
from livecam.system.paths import exists, is_folder
from livecam.system.stores import StoredPath, is_stored

log = logging.getLogger("livecam")

WHAT_TO_NAME = "name a video, a picture, a folder, a URL, or demo:"
"""The advice in errors about inputs that cannot be read."""


def is_url(name: str) -> bool:
    """Return True if FFmpeg should treat a name as a URL rather than as a file name."""
    return "://" in name and not is_stored(name) and not exists(name)


def is_stream(name: str) -> bool:
    """Return True for a URL, and for a file that describes a stream (.sdp)."""
    return is_url(name) or name.lower().endswith(".sdp")


def without_file_scheme(name: str) -> str:
    """Return the path of a `file:` URL; other names are returned unchanged."""
    return name if exists(name) else re.sub("^file:(//(?=/))?", "", name)


def stands_for_many(name: str) -> bool:
    """Return True for a folder or a pattern; a name of an existing file is never a pattern.

    Raises InputError if an object store has to be asked, and refuses.
    """
    if is_stored(name):
        return _many_are_stored(name)
    return is_folder(name) or (glob.has_magic(name) and not exists(name))


def files_like(name: str, endings: Collection[str]) -> list[str]:
    """List the files with these endings in a folder, or that a pattern matches, in natural order.

    Raises InputError if there are none.
    """
    if is_stored(name):
        return _stored_like(name, endings)
    if is_folder(name):
        pattern = os.path.join(name, "**", "*")  # noqa: PTH118 - Path would change the name
        return _of_folder(name, files_in(name, endings), _folders_inside(name, endings), pattern)
    matches = glob.glob(name, recursive=True)  # noqa: PTH207 - Path.glob finds hidden files and no absolute patterns
    return _of_pattern(name, matches, _known(map(Path, matches), endings))


def files_in(folder: str, endings: Collection[str]) -> list[str]:
    """List the files with these endings in a folder, in natural order. Raises InputError if it may not be read."""
    return _known(_entries(Path(folder)), endings)


def _of_folder(name: str, files: list[str], deeper: Sequence[str], pattern: str) -> list[str]:
    """Return the files of a folder, and tell of the folders inside it that hold others. Raises InputError if empty."""
    if not files:
        advice = f"{pattern!r} takes those in folders inside it" if deeper else "name another one"
        raise InputError(f"the folder {name} holds no pictures and no videos; {advice}")
    if deeper:
        log.warning("folders inside %s are left out: %s; %r takes all", name, some_of(deeper), pattern)
    return files


def _of_pattern(name: str, matches: Sequence[object], files: list[str]) -> list[str]:
    """Return those of the matches of a pattern that are files to be read. Raises InputError if there are none."""
    if not files:
        what = "no picture and no video is" if matches else "nothing is"
        raise InputError(f"{what} named like {name}; check the folder and the ending")
    return files


def _many_are_stored(name: str) -> bool:
    """Return True for a folder of an object store, whose name need not end in a slash, or a pattern of its objects."""
    path = StoredPath.of(name)
    if glob.has_magic(path.key):
        return not path.exists()
    is_named_like_file = path.suffix.lower() in (*READ_PICTURE_ENDINGS, *READ_VIDEO_ENDINGS)
    return name.endswith("/") or path == path.bucket or (not is_named_like_file and any(path.listing()))


def _stored_like(name: str, endings: Collection[str]) -> list[str]:
    path = StoredPath.of(name)
    if not glob.has_magic(path.key):
        listing = path.listing()
        folders = sorted(folder for folder in listing.folders if not folder.startswith("."))
        files = [file for file in listing.files if not file.name.startswith(".")]
        return _of_folder(f"{path}/", _known_stored(files, endings), folders, f"{path}/**/*")
    matches = path.matching()
    return _of_pattern(name, matches, _known_stored(matches, endings))


def _known_stored(files: Iterable[StoredPath], endings: Collection[str]) -> list[str]:
    known = [str(file) for file in files if file.suffix.lower() in endings]
    return sorted(known, key=lambda file: _natural(PurePosixPath(file)))


def _entries(folder: Path) -> list[Path]:
    """List a folder without hidden files."""
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as exc:
        if isinstance(exc, PermissionError):
            raise InputError(f"the folder {folder} may not be read; check its permissions") from exc
        raise InputError(f"the folder {folder} cannot be read ({exc.strerror}); check if it is still there") from exc


def _folders_inside(name: str, endings: Collection[str]) -> list[str]:
    """Return the names of the folders in a folder that hold files with these endings, sorted."""
    files = glob.glob(os.path.join(glob.escape(name), "*", "*"))  # noqa: PTH118, PTH207 - as in `files_like`
    return sorted({Path(file).parent.name for file in _known(map(Path, files), endings)})


def _known(paths: Iterable[Path], endings: Collection[str]) -> list[str]:
    known = [path for path in paths if path.suffix.lower() in endings]
    return [str(path) for path in sorted(known, key=_natural) if path.is_file()]


def _natural(path: PurePath) -> tuple[list[list[str | int]], str]:
    """Return a key that sorts numbers in names by their value: img2 before img10."""
    # Splitting at numbers puts text at even indices and numbers at odd ones, so that types match in comparisons.
    parts = [
        [int(piece) if place % 2 else piece.casefold() for place, piece in enumerate(re.split("([0-9]+)", part))]
        for part in path.parts
    ]
    return parts, str(path)

"""Files: checked before the work begins, and given their names only when complete."""

from __future__ import annotations

import errno
import logging
import os
import re
import signal
import tempfile
import time
import types
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from itertools import count
from pathlib import Path
from typing import IO

from livecam.errors import InputError, LivecamError, OutputError, some_of
from livecam.system.paths import exists, is_folder
from livecam.system.stores import AnyPath, StoredPath, meant_by, path_of
from livecam.text import redacted, similar

try:
    import fcntl as _fcntl
except ImportError:  # Windows, which lets no second process write to an open file anyway
    fcntl: types.ModuleType | None = None
else:
    fcntl = _fcntl

log = logging.getLogger("livecam")

Version = Mapping[str, int | str]
"""What changes when a file does: `bytes` and `mtime_ns`, or `etag` of an object. Empty if nothing is known of it."""

_TEMPORARY = "livecam-part-"
"""How the names of temporary files begin."""
_OLD_SECONDS = 60.0
_LONGEST_NAME = 255
"""The length of the longest name of a file in bytes, on nearly all file systems."""
_ENDING_OF_PART = re.compile(r"(?P<all>(?:\.[a-z]+)?(?P<number>(?:\.\d+)?(?P<part>\.part)))$")


def is_taken(path: AnyPath) -> bool:
    """Return True if there is a file, a folder or an object of this name. Raises InputError if a store refuses."""
    return path.exists() if isinstance(path, StoredPath) else exists(path)


def version_of(name: str | AnyPath) -> Version:
    """Return the version of a file or of an object in a store; nothing is known of what is neither."""
    path = path_of(name)
    if isinstance(path, StoredPath):
        with suppress(LivecamError):  # what cannot be asked for cannot be read either, and that is told
            return {} if (stored := path.facts()) is None else {"bytes": stored.size_bytes, "etag": stored.version}
        return {}
    try:
        facts = path.stat()
    except OSError:
        return {}
    return {"bytes": facts.st_size, "mtime_ns": facts.st_mtime_ns}


def check_file(path: Path) -> None:
    """Check that a file exists, is readable and is not empty. Raises InputError."""
    if not exists(path):
        advice = _advice_on(path)
        raise InputError(f"{redacted(str(path))} does not exist; {advice}")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} may not be read; check its permissions")
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"{path} is empty")


def _advice_on(path: Path) -> str:
    """Return the advice for a name of a file that does not exist."""
    if ":/" in str(path) and (meant := meant_by(str(path))):
        return f"did you mean {meant}?"
    near = similar(path.name, _names_in(path.parent), 1)
    return f"did you mean {path.with_name(near[0])}?" if near else "check its name"


def _names_in(folder: Path) -> list[str]:
    """Return the names of files in a folder; none if it does not exist or may not be read."""
    try:
        return os.listdir(folder)  # noqa: PTH208 - Path.iterdir makes an object of each
    except OSError:
        return []


def check_writable(path: AnyPath) -> None:
    """Check that a file can be written at a path. Raises OutputError, for an object store LivecamError."""
    if isinstance(path, StoredPath):
        path.facts()  # asks the store, so that it is known if access is refused
        return
    if len(os.fsencode(path.name)) > _LONGEST_NAME:
        raise OutputError(f"the name {path.name[:20]}… is too long; shorten it")
    if exists(path) and not path.is_file():
        raise OutputError(f"{path} is {'a folder' if is_folder(path) else 'no file'}; name a file")
    check_parent(path)


def check_parent(path: Path) -> None:
    """Check that the folder of a path exists and may be written to. Raises OutputError."""
    if not is_folder(path.parent):
        raise OutputError(f"the folder {path.parent} does not exist; make it first")
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"the folder {path.parent} may not be written to; check its permissions")


def check_distinct(inputs: Iterable[str | AnyPath], outputs: Iterable[AnyPath]) -> None:
    """Check that no file is both read and written, or written twice, even under different names. Raises OutputError."""
    taken = {_identity(path): "the input" for path in inputs}
    for path in outputs:
        identity = _identity(path)
        if identity in taken:
            raise OutputError(f"{path} would be {taken[identity]} as well; name another file")
        taken[identity] = "an output"


def _identity(name: str | AnyPath) -> object:
    """Return a key that is equal for all paths of the same file."""
    path = path_of(name)
    if isinstance(path, StoredPath):
        return path
    try:
        status = path.stat()
    except OSError:
        return os.path.realpath(path)
    return status.st_dev, status.st_ino


class AtomicFile:
    """A file that gets its name only when complete. Until then it grows in `part`, a new file beside it.

    The part is called NAME.part, or NAME.1.part and so on if that exists: what an earlier run left is never touched,
    and no link is followed. It is locked while it is open, and a file that another run is writing is refused. Where
    there are no locks, both files are written whole, and the last to be complete gets the name. A `label` tells apart
    the parts of two files that are to become the same: it is put before ".part".

    For a path in an object store the part is a temporary file, which becomes the object by being uploaded as a whole.

    As a context manager it is committed at the end of the block, or discarded if the block raises. Other libraries may
    write directly to `part`. All methods raise OutputError with the path.
    """

    def __init__(self, path: AnyPath, label: str = "") -> None:
        self.path = path
        with self._errors_named():
            self.part, self._file = (
                temporary_file(path.suffix) if isinstance(path, StoredPath) else _claimed(path, label)
            )

    def write(self, content: bytes) -> None:
        """Append to the file."""
        with self._errors_named():
            self._file.write(content)

    def write_at_start(self, content: bytes) -> None:
        """Replace the first bytes of the file."""
        with self._errors_named():
            self._file.seek(0)
            self._file.write(content)
            self._file.seek(0, os.SEEK_END)

    def commit(self) -> None:
        """Give the file its name."""
        with self._errors_named():
            if isinstance(self.path, StoredPath):
                self._file.flush()
                self.path.put(self.part)
                self.discard()
                return
            self._file.flush()
            if fcntl is None:
                self._file.close()  # Windows renames no open file
            self.part.replace(self.path)  # while it is locked, else another run may take it for one that was left
            self._file.close()

    @property
    def is_stored(self) -> bool:
        """True if it becomes an object in a store, so that nobody would look for its part."""
        return isinstance(self.path, StoredPath)

    def leave(self) -> bool:
        """Close the part for the user to rescue. Return False, and remove it, if it is empty, or if `is_stored`."""
        if self.is_stored:
            self.discard()
            return False
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            if self.part.stat().st_size > 0:
                return True
            self.part.unlink()
        return False

    def discard(self) -> None:
        """Remove the part. Does not raise."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self.part.unlink(missing_ok=True)

    def __enter__(self) -> AtomicFile:
        return self

    def __exit__(self, exc_type: type[BaseException] | None, *exc: object) -> None:
        try:
            if exc_type is None:
                self.commit()
                return
        except BaseException:
            self.discard()
            raise
        self.discard()

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise OutputError(f"cannot write {self.path}: {exc.strerror or exc}") from exc


def _claimed(path: Path, label: str) -> tuple[Path, IO[bytes]]:
    """Create and lock the part of a file. The lock ends with the process."""
    kept: list[Path] = []
    for part in _parts_of(path, label):
        try:
            file = part.open("x+b")
        except FileExistsError:
            if _is_locked(part):
                raise OutputError(f"another run is writing {part}; wait for it, or name another output") from None
            kept.append(part)
            continue
        if kept:
            log.warning("%s is kept, since it may be all that is left of an earlier run", some_of(kept))
        _lock(file)
        return part, file
    raise AssertionError("there is no end of names")


def _parts_of(path: Path, label: str) -> Iterator[Path]:
    """Return the names that a part may have, in order. A long name is cut so that they are not longer than allowed."""
    for number in count():
        ending = f"{label}.{number}.part" if number else f"{label}.part"
        yield path.parent / (_cut(path.name, _LONGEST_NAME - len(ending)) + ending)


def is_being_written(path: Path) -> bool:
    """Return True if a process on this machine has a file open for writing; False also if that cannot be found out."""
    if fcntl is None or not hasattr(fcntl, "F_SETLEASE"):
        return False
    try:
        with path.open("rb") as file:
            fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)  # else a writer that comes now would end this process
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)  # Linux grants it only where nobody writes
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:  # the file of somebody else, or a file system without leases
        pass
    return False


def parts_of(paths: Iterable[AnyPath]) -> list[Path]:
    """Return the parts of these files that exist. Objects in stores have none."""
    names: dict[Path, list[str]] = {}
    for path in paths:
        if isinstance(path, Path):
            names.setdefault(path.parent, []).append(path.name)
    return [folder / part for folder in names for part in _parts_in(folder, names[folder])]


def sweep_parts(paths: Iterable[AnyPath], *, kept: Collection[Path] = ()) -> list[Path]:
    """Remove the parts of these files that no process is writing: what killed runs left. Return those removed.

    Args:
        paths: The files.
        kept: Parts that stay.
    """
    swept = []
    for part in parts_of(paths):
        if part in kept:
            continue
        with suppress(OSError):
            if not _is_locked(part):
                part.unlink()
                swept.append(part)
    return swept


def _parts_in(folder: Path, names: Sequence[str]) -> list[str]:
    """Return the names of the parts in a folder that belong to files of these names."""

    @cache
    def stems(ending: str) -> frozenset[str]:
        return frozenset(_cut(name, _LONGEST_NAME - len(ending)) for name in names)

    return [
        part for part in _names_in(folder) if any(part.removesuffix(each) in stems(each) for each in _endings(part))
    ]


def _endings(part: str) -> list[str]:
    """Return what may have been put behind the name of a file to name its part, as `_parts_of` does."""
    match = _ENDING_OF_PART.search(part)
    return [match[0][match.start(group) - match.start() :] for group in ("all", "number", "part")] if match else []


def _cut(name: str, longest_bytes: int) -> str:
    in_bytes = os.fsencode(name)
    return name if len(in_bytes) <= longest_bytes else in_bytes[:longest_bytes].decode(errors="ignore")


def _lock(file: IO[bytes]) -> None:
    if fcntl is not None:
        with suppress(OSError):  # the file system has no locks
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_locked(path: Path) -> bool:
    """Return True if a process has locked a file; False also if that cannot be found out."""
    if fcntl is None:
        return False
    try:
        # Without following a link, and without waiting for anyone at the other end of a FIFO.
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:  # noqa: PTH123
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def temporary_file(suffix: str) -> tuple[Path, IO[bytes]]:
    """Create and lock a temporary file whose name has this ending. Whoever takes it removes it."""
    _sweep_temporary_files()
    number, name = tempfile.mkstemp(suffix, _TEMPORARY)
    file = os.fdopen(number, "w+b")
    _lock(file)
    return Path(name), file


@cache
def _sweep_temporary_files() -> None:
    """Remove the temporary files of runs that were killed, which would fill the disk."""
    for path in Path(tempfile.gettempdir()).glob(f"{_TEMPORARY}*"):
        with suppress(OSError):  # of another user, or another process has removed it
            is_old = time.time() - path.stat().st_mtime > _OLD_SECONDS  # a new one may not be locked yet
            if is_old and not path.is_symlink() and not _is_locked(path):
                path.unlink()


def locked(path: Path) -> IO[bytes] | None:
    """Create a file and lock it, until it is closed or the process ends. Return None if another process has locked it.

    Raises OSError if the file cannot be written, or if the system has no locks.
    """
    if fcntl is None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except BaseException:
        file.close()
        raise
    return file


def write_whole(path: AnyPath, content: bytes) -> None:
    """Write a file atomically: it appears complete or not at all. Raises OutputError."""
    with AtomicFile(path) as file:
        file.write(content)

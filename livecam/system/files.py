"""Writing files: checked before the work begins, and given their names only when complete."""

from __future__ import annotations

import os
import types
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from livecam.errors import OutputError

try:
    import fcntl as _fcntl
except ImportError:  # Windows, which lets no second process write to an open file anyway
    fcntl: types.ModuleType | None = None
else:
    fcntl = _fcntl


def check_writable(path: Path) -> None:
    """Check that a file can be written at a path. Raises OutputError."""
    if path.exists() and not path.is_file():
        raise OutputError(f"{path} is {'a folder' if path.is_dir() else 'no file'}; name a file")
    check_parent(path)


def check_parent(path: Path) -> None:
    """Check that the folder of a path exists and may be written to. Raises OutputError."""
    if not path.parent.is_dir():
        raise OutputError(f"the folder {path.parent} does not exist; make it first")
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"the folder {path.parent} may not be written to; check its permissions")


def check_distinct(inputs: Iterable[str | Path], outputs: Iterable[Path]) -> None:
    """Check that no file is both read and written, or written twice, even under different names. Raises OutputError."""
    taken = {_identity(path): "the input" for path in inputs}
    for path in outputs:
        identity = _identity(path)
        if identity in taken:
            raise OutputError(f"{path} would be {taken[identity]} as well; name another file")
        taken[identity] = "an output"


def _identity(path: str | Path) -> object:
    """Return a key that is equal for all paths of the same file."""
    try:
        status = Path(path).stat()
    except OSError:
        return os.path.realpath(path)
    return status.st_dev, status.st_ino


def part_of(path: Path) -> Path:
    """Return where a file grows until it is whole: NAME.part, beside it."""
    return path.parent / f"{path.name}.part"


class AtomicFile:
    """A file that gets its name only when complete; until then it is written to `part`, locked against other runs.

    As a context manager it is committed at the end of the block, or discarded if the block raises. Other libraries may
    write directly to `part`. All methods raise OutputError with the path.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.part = part_of(path)
        with self._errors_named():
            self._file = self._claimed()

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

    def commit(self, whole: Path | None = None) -> None:
        """Rename the part to the final name; or rename another complete file beside it, and remove the part."""
        whole = whole or self.part
        with self._errors_named():
            self._file.close()  # before the names change: Windows neither renames nor removes an open file
            whole.replace(self.path)
            if whole != self.part:
                self.part.unlink()

    def leave(self) -> None:
        """Close the part without removing it, so that the user can rescue it."""
        with suppress(OSError):
            self._file.close()

    def discard(self) -> None:
        """Remove the part. Does not raise."""
        self.leave()
        with suppress(OSError):
            self.part.unlink(missing_ok=True)

    def close(self, *, keep: bool) -> None:
        """Commit or discard the file; also discard it if committing fails."""
        try:
            if keep:
                self.commit()
        except BaseException:
            keep = False
            raise
        finally:
            if not keep:
                self.discard()

    def __enter__(self) -> AtomicFile:
        return self

    def __exit__(self, exc_type: type[BaseException] | None, *exc: object) -> None:
        self.close(keep=exc_type is None)

    def _claimed(self) -> IO[bytes]:
        """Create and lock the part; fails if another run has locked it. The lock ends with the process."""
        self.part.touch()
        file = self.part.open("r+b")
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                file.close()
                raise OutputError(f"another run is writing {self.part}; wait for it, or name another output") from exc
            except OSError:  # the file system has no locks
                pass
        file.truncate()
        return file

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise OutputError(f"cannot write {self.path}: {exc.strerror or exc}") from exc


def write_whole(path: Path, content: bytes) -> None:
    """Write a file atomically: it appears complete or not at all. Raises OutputError."""
    with AtomicFile(path) as file:
        file.write(content)

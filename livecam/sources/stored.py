"""Videos and pictures in object stores. Each is copied here when its turn comes, and read like a file."""

from __future__ import annotations

import io
import logging
import shutil
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from livecam.errors import InputError
from livecam.names import READ_PICTURE_ENDINGS
from livecam.picture.frame import Frame
from livecam.sources.animation import ANIMATION, AnimatedPicture, is_animated, is_numbered
from livecam.sources.base import Source
from livecam.sources.pictures import PICTURE, PictureSource, read_picture
from livecam.sources.video import VIDEO, VideoSource
from livecam.system.files import temporary_file
from livecam.system.stores import AnyPath, StoredPath, contents_of, is_stored

log = logging.getLogger("livecam")

_PICTURES_AT_ONCE = 8
"""So many pictures are read together: each request takes long, and the memory has to hold them."""
_ANIMATED_ENDINGS = (".gif", ".png", ".webp", ".avif")


class _Copy:
    """A local copy of an object, until it is removed. Raises InputError if it cannot be made."""

    def __init__(self, path: StoredPath) -> None:
        facts = path.facts()
        if facts is None:
            raise InputError(f"{path} does not exist (404); check its name")
        if not facts.size_bytes:
            raise InputError(f"{path} is empty")
        self.file, self._locked = temporary_file(path.suffix)
        try:
            _check_room(path, facts.size_bytes, self.file.parent)
            log.debug("fetching %s, %.1f MB", path, facts.size_bytes / 1e6)
            path.fetch(self.file)
        except BaseException:
            self.remove()
            raise

    def remove(self) -> None:
        """Remove the copy. Does not raise."""
        self._locked.close()
        with suppress(OSError):
            self.file.unlink(missing_ok=True)


def _check_room(path: StoredPath, size_bytes: int, folder: Path) -> None:
    free_bytes = shutil.disk_usage(folder).free
    if size_bytes > free_bytes:
        raise InputError(
            f"{path} has {size_bytes / 1e9:.1f} GB, and {folder} has room for {free_bytes / 1e9:.1f} GB; "
            "free some, or set TMPDIR to another folder"
        )


class _Copied(Source):
    """Put before a class of sources of files, it makes one of sources of objects: of a copy, removed at the end."""

    def __init__(self, name: str, **options: Any) -> None:
        self._copy = _Copy(StoredPath.of(name))
        try:
            super().__init__(str(self._copy.file), name=name, **options)  # type: ignore[call-arg]
        except BaseException:
            self._copy.remove()
            raise

    def close(self) -> None:
        super().close()  # type: ignore[safe-super]
        self._copy.remove()


class StoredVideo(_Copied, VideoSource):
    """Reads a copy of a video."""


class StoredAnimation(_Copied, AnimatedPicture):
    """Plays a copy of an animated picture."""


class StoredPictures(PictureSource):
    """Reads pictures without copying them to the disk, some at once."""

    def __init__(self, paths: Sequence[StoredPath], *, many: bool) -> None:
        self._waiting = deque(paths)
        self._read_ahead: dict[StoredPath, bytes | InputError] = {}
        super().__init__(paths, many=many)

    def _picture_at(self, path: AnyPath) -> tuple[Frame, int]:
        assert isinstance(path, StoredPath)
        if path not in self._read_ahead:
            together = [self._waiting.popleft() for _ in range(min(_PICTURES_AT_ONCE, len(self._waiting)))]
            self._read_ahead = dict(zip(together, contents_of(together), strict=True))
        content = self._read_ahead.pop(path)
        if isinstance(content, InputError):
            raise content
        return read_picture(content, path)


def _is_picture(name: str) -> bool:
    if is_stored(name) and is_numbered(name) and not StoredPath.of(name).exists():
        raise InputError(
            f"{name}: numbered pictures of an object store are no video; name them by a pattern, as img_*.png"
        )
    return is_stored(name) and StoredPath.of(name).suffix.lower() in READ_PICTURE_ENDINGS


def _is_animation(name: str) -> bool:
    """Return True for a picture that moves, which only its content tells."""
    if not is_stored(name) or StoredPath.of(name).suffix.lower() not in _ANIMATED_ENDINGS:
        return False
    (content,) = contents_of([StoredPath.of(name)])
    return isinstance(content, bytes) and is_animated(io.BytesIO(content))


STORED_VIDEO = replace(VIDEO, recognises=is_stored, open=StoredVideo, open_live=None)
STORED_PICTURE = replace(PICTURE, recognises=_is_picture, open=StoredPictures)
STORED_ANIMATION = replace(ANIMATION, recognises=_is_animation, open=StoredAnimation)

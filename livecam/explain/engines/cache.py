"""The cache on disk of programs that were built in earlier runs."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path

import torch

from livecam.errors import LivecamError
from livecam.system.files import locked
from livecam.system.machine import version

_KEPT_BYTES = 4 << 30
"""The size of the cache, beyond which the least recently used entries are removed. A ResNet-50 takes 100 MB."""
_FORMAT = "5"
"""The version of the cache; increase it when programs are built in another way."""


def folder() -> Path:
    """Return the cache folder of livecam: LIVECAM_CACHE if it is set, else `livecam` in the user's cache folder.

    For a user without a home it is in the folder for temporary files.
    """
    if named := os.environ.get("LIVECAM_CACHE"):
        return Path(named)
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    if caches.startswith("~"):
        return Path(tempfile.gettempdir()) / f"livecam-{os.getuid() if hasattr(os, 'getuid') else 'cache'}"
    return Path(caches) / "livecam"


class Entry:
    """The cache folder of one program: holds an OpenVINO model or, for a GPU, a package for each precision."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, graph_digest: bytes, shape: Sequence[int], device: torch.device) -> Entry:
        """Return the entry for the graph with a digest, for inputs of this shape on this device and runtime."""
        runtime = [version("livecam"), version("openvino")]
        if device.type == "cuda":
            runtime += [torch.__version__, platform.platform(), torch.cuda.get_device_name(device), str(device)]
        digest = hashlib.sha256("\n".join(map(str, [_FORMAT, tuple(shape), device.type, *runtime])).encode())
        digest.update(graph_digest)
        return cls(folder() / "engines" / digest.hexdigest()[:32])

    def file(self, precision: str, device: torch.device) -> Path:
        """Return the path of OpenVINO's .xml, one for all precisions, or of the GPU package for this precision."""
        return self.path / ("model.xml" if device.type == "cpu" else f"{precision}.pt2")

    def make(self) -> None:
        """Create the folder so that only the user can access it."""
        for path in (self.path.parent, self.path):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def check_is_ours(self) -> None:
        """Raise LivecamError if other users can write to the entry, which may hold code."""
        for path in (self.path, self.path.parent, folder()):
            facts = path.stat()
            is_open = path != folder() and facts.st_mode & 0o022
            if hasattr(os, "getuid") and (facts.st_uid not in (0, os.getuid()) or is_open):
                raise LivecamError(f"others can write to the cache {path}; delete it, or set LIVECAM_CACHE")

    def take(self, draft: Path) -> None:
        """Move a file into the entry atomically, also from another disk."""
        beside = self.path / f"{draft.name}.{os.getpid()}"
        try:
            shutil.move(draft, beside)
            beside.replace(self.path / draft.name)
        finally:
            beside.unlink(missing_ok=True)

    def locked_for_building(self) -> AbstractContextManager[object] | None:
        """Return the lock of the one process on this machine that builds the program; None if another one does."""
        locks = folder() / "locks"
        try:
            locks.mkdir(exist_ok=True)
            return locked(locks / self.path.name)
        except OSError:  # there are no locks: then several build it, and the last result stays
            return nullcontext()

    def touch(self) -> None:
        """Mark the entry as used now."""
        with suppress(OSError):  # the cache is read-only
            os.utime(self.path)


def prune(kept_bytes: int = _KEPT_BYTES) -> None:
    """Remove the least recently used entries until the rest takes at most `kept_bytes`."""
    total = 0
    with suppress(OSError):  # another process may be pruning as well
        for path in sorted((folder() / "engines").glob("*/"), key=lambda each: each.stat().st_mtime, reverse=True):
            total += sum(file.stat().st_size for file in path.iterdir())
            if total > kept_bytes:
                shutil.rmtree(path, ignore_errors=True)

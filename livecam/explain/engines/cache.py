"""Programs that earlier runs built, kept on disk."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch

from livecam.errors import LivecamError
from livecam.system.machine import version

_KEPT_BYTES = 4 << 30
"""Beyond that the programs that were not used for longest are removed. A ResNet-50 takes 100 MB."""
_FORMAT = "3"
"""Raise this when what is built changes without the graph."""


def folder() -> Path:
    """The folder of all that livecam caches: `livecam` in the user's cache, or what LIVECAM_CACHE names."""
    if named := os.environ.get("LIVECAM_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "livecam"  # noqa: PTH111


class Entry:
    """What was built of one program: a model of OpenVINO for the CPU, a compiled package a precision for a GPU."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, graph_digest: bytes, shape: Sequence[int], device: torch.device) -> Entry:
        """Return the entry for a graph by its digest, for inputs of this shape on this device and runtime."""
        runtime = [version("livecam"), version("openvino")]
        if device.type == "cuda":
            runtime += [torch.__version__, platform.platform(), torch.cuda.get_device_name(device), str(device)]
        digest = hashlib.sha256("\n".join(map(str, [_FORMAT, tuple(shape), device.type, *runtime])).encode())
        digest.update(graph_digest)
        return cls(folder() / "engines" / digest.hexdigest()[:32])

    def file(self, precision: str, device: torch.device) -> Path:
        """OpenVINO's .xml, which serves every precision, or the package that was compiled in this one for a GPU."""
        return self.path / ("model.xml" if device.type == "cpu" else f"{precision}.pt2")

    def make(self) -> None:
        """Make the folder, for the user alone."""
        for path in (self.path.parent, self.path):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def check_is_ours(self) -> None:
        """Raise LivecamError where somebody else could have put something into the entry: it may hold code."""
        for path in (self.path, self.path.parent):
            facts = path.stat()
            if hasattr(os, "getuid") and (facts.st_uid not in (0, os.getuid()) or facts.st_mode & 0o022):
                raise LivecamError(f"others can write to the cache {path}; delete it, or set LIVECAM_CACHE")

    def take(self, draft: Path) -> None:
        """Move a file here, from another disk as well; others never see half of it."""
        beside = self.path / f"{draft.name}.{os.getpid()}"
        try:
            shutil.move(draft, beside)
            beside.replace(self.path / draft.name)
        finally:
            beside.unlink(missing_ok=True)

    def touch(self) -> None:
        """Note that it has been used."""
        with suppress(OSError):  # of a cache that can only be read
            os.utime(self.path)


def prune(kept_bytes: int = _KEPT_BYTES) -> None:
    """Remove the entries that were not used for longest, until the rest takes no more than this."""
    total = 0
    with suppress(OSError):  # another process is at it as well
        for path in sorted((folder() / "engines").glob("*/"), key=lambda each: each.stat().st_mtime, reverse=True):
            total += sum(file.stat().st_size for file in path.iterdir())
            if total > kept_bytes:
                shutil.rmtree(path, ignore_errors=True)

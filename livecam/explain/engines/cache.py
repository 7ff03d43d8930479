"""Compiled programs, kept on disk from run to run."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import torch

from livecam.explain.engines.graph import Graph
from livecam.machine import processor

_KEPT_BYTES = 4 << 30
"""Beyond that the programs that were not used for longest are removed. A ResNet-50 takes 50 to 110 MB."""
_RESULTS = "results.json"


def folder() -> Path:
    """Where all of it lies: `livecam` in the user's cache, or what LIVECAM_CACHE names."""
    if named := os.environ.get("LIVECAM_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "livecam"  # noqa: PTH111


class Entry:
    """The compiled forms of one program, by precision, and what was measured of them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, graph: Graph, shape: Sequence[int], device: torch.device) -> Entry:
        """The entry for a graph: of the same operations, weights and input on the same kind of machine and torch."""
        digest = hashlib.sha256("\n".join([str(tuple(shape)), *_circumstances(device)]).encode())
        digest.update(graph.digest())
        return cls(folder() / "programs" / digest.hexdigest()[:32])

    @property
    def results(self) -> dict[str, dict[str, float]]:
        """For each precision that is there, `compile_seconds` and `picture_ms`."""
        return {precision: result for precision, result in self._published().items() if result}

    @property
    def tried(self) -> set[str]:
        """The precisions that are there, or are known not to be possible."""
        return set(self._published())

    def package(self, precision: str) -> Path:
        """The compiled program in this precision."""
        return self.path / f"{precision}.pt2"

    def take(self, draft: Path, precision: str) -> None:
        """Move a compiled program here, from another disk as well; others never see half of it."""
        beside = self.path / f"{precision}.{os.getpid()}"
        try:
            shutil.move(draft, beside)
            beside.replace(self.package(precision))
        finally:
            beside.unlink(missing_ok=True)

    def publish(self, results: Mapping[str, dict[str, float] | None]) -> None:
        """Write down what these precisions came to, None for nothing; another process may be reading."""
        draft = self.path / f"{_RESULTS}.{os.getpid()}"
        draft.write_text(json.dumps({**self._published(), **results}, indent=2), encoding="utf-8")
        draft.replace(self.path / _RESULTS)

    def remove(self) -> None:
        """Forget all of it, to be compiled again."""
        shutil.rmtree(self.path, ignore_errors=True)

    def touch(self) -> None:
        """It has been used."""
        with suppress(OSError):  # of a cache that can only be read
            os.utime(self.path)

    def _published(self) -> dict[str, dict[str, float] | None]:
        try:
            return dict(json.loads((self.path / _RESULTS).read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return {}


def mark(description: str) -> None:
    """Remember that something like this was compiled, so that it pays to look for it."""
    path = _mark(description)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def is_marked(description: str) -> bool:
    """Whether something like this was compiled; it may have been with other weights, or be gone."""
    return os.path.exists(_mark(description))  # noqa: PTH110 - which raises nothing where a folder is closed to us


def _mark(description: str) -> Path:
    return folder() / "marks" / hashlib.sha256(description.encode()).hexdigest()[:32]


def prune(kept_bytes: int = _KEPT_BYTES) -> None:
    """Remove the entries that were not used for longest, until the rest takes no more than this."""
    entries = sorted((folder() / "programs").glob("*/"), key=lambda path: path.stat().st_mtime, reverse=True)
    total = 0
    for path in entries:
        total += sum(file.stat().st_size for file in path.iterdir())
        if total > kept_bytes:
            shutil.rmtree(path, ignore_errors=True)


def runner_library() -> Path:
    """Where the library that runs the programs lies, for this torch."""
    name = hashlib.sha256(f"{torch.__version__} {platform.platform()}".encode()).hexdigest()[:16]
    return folder() / f"runner-{name}.so"


def _circumstances(device: torch.device) -> list[str]:
    """What compiled code depends on besides the graph."""
    gpu = [torch.cuda.get_device_name(device)] if device.type == "cuda" else []
    facts = [torch.__version__, platform.platform(), processor(), str(device), *gpu]
    return [*facts, f"{torch.get_num_threads()} threads", _FORMAT]


_FORMAT = "1"
"""To be raised when what is compiled changes without the graph."""

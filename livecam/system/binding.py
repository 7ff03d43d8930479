"""Binding a process to cores of its own, so that several workers on one machine do not share any."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from livecam.system.files import locked

_PATIENCE_SECONDS = 2.0
"""How long cores are waited for: a process that was killed holds its own for a moment."""
_locks: list[IO[bytes]] = []
"""Those of the cores that this process has claimed. They end with it."""


def claim_cores(count: int) -> bool:
    """Bind this process to cores that no other process has claimed, so that all libraries take as many threads.

    Must be called before torch is imported. What is claimed is free again when the process ends.

    Args:
        count: How many cores.

    Returns:
        False if so many are not free, or if the system cannot bind processes. Then nothing changes.
    """
    if not hasattr(os, "sched_setaffinity"):  # only Linux has it
        return False
    deadline_seconds = time.monotonic() + _PATIENCE_SECONDS
    claimed: dict[int, IO[bytes]] = {}
    with suppress(OSError):  # the folder is another user's, or there are no locks
        folder = Path(tempfile.gettempdir()) / f"livecam-cores-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        while len(claimed := _free_among(folder, count)) < count and time.monotonic() < deadline_seconds:
            claimed.clear()  # with their locks, which others may wait for
            time.sleep(0.1)
    if len(claimed) < count:
        return False
    _locks.extend(claimed.values())
    for thread in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):  # it has ended meanwhile
            os.sched_setaffinity(int(thread.name), claimed)
    return True


def _free_among(folder: Path, count: int) -> dict[int, IO[bytes]]:
    """Return cores that are free, at most so many, with their locks."""
    free: dict[int, IO[bytes]] = {}
    for core in sorted(os.sched_getaffinity(0)):
        if len(free) < count and (lock := locked(folder / str(core))):
            free[core] = lock
    return free

"""A limit on the memory of the process, so that too large a request fails with a message."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_GPUS = Path("/dev/nvidiactl"), Path("/dev/dxg"), Path("/dev/kfd")
"""Devices of the drivers of NVIDIA, of Windows below WSL, and of AMD."""
_CONTAINERS, _OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


@contextmanager
def memory_limited() -> Iterator[None]:
    """Let the process get hardly more memory inside the block than is free when it begins.

    What asks for more gets an error. Without a limit Linux grants it, and kills the process without a word once it is
    used. Elsewhere, and where there is a GPU, whose driver may reserve far more than it uses, there is no limit.
    Processes that are started inside have the same one.
    """
    free = None if has_gpu() else free_bytes()
    if free is None:
        yield
        return
    import resource  # exists only on Unix

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = _listed("/proc/self/status", "VmData") + free + _untouched_bytes()
    given = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([wanted, *given]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def has_gpu() -> bool:
    """Return True if the system has the driver of a GPU that PyTorch may use."""
    return any(driver.exists() for driver in _GPUS)


def free_bytes() -> int | None:
    """Return how many bytes of memory a process can still get from its system or container; None if unknown."""
    try:
        of_system = _listed("/proc/meminfo", "MemAvailable") + _listed("/proc/meminfo", "SwapFree")
    except (OSError, LookupError):  # not Linux
        return None
    with suppress(OSError, LookupError, ValueError):  # there is no container, or none with a limit
        path = _rows(_OWN, ":")["0"][-1]
        container = _CONTAINERS / path.strip("/")
        used = _rows(container / "memory.stat")["anon"][0]
        return min(of_system, int((container / "memory.max").read_text()) - int(used))
    return of_system


def _untouched_bytes() -> int:
    """Return how much memory libraries may reserve and not use, for which none has to be free.

    In runs with OpenVINO on two cores it was 1.0 of 2.5 GB at most. It grows with the cores: PyTorch, OpenVINO, decoder
    and encoder start up to six threads for each, whose stacks are of 8 MB.
    """
    return (3 << 29) + (os.cpu_count() or 1) * (48 << 20)


def _listed(file: str, name: str) -> int:
    """Return the bytes that a file of the kernel lists under a name. Raises LookupError if it does not."""
    return int(_rows(file)[f"{name}:"][0]) * 1024


def _rows(file: str | Path, separator: str | None = None) -> dict[str, list[str]]:
    """Return the lines of a file of the kernel by their first word, as lists of the others."""
    rows = (line.split(separator) for line in Path(file).read_text().splitlines())
    return {row[0]: row[1:] for row in rows if row}

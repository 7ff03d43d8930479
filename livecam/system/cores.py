"""The number of threads of each library, decided in one place."""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SCALER = 1
"""swscale's threads: a picture takes a millisecond or two, less than it takes to wake others up."""
DRAWING = 1
"""OpenCV's threads: it is called many times a frame, each time for less than waking up more threads would take."""
DECODER = 0
ENCODER = 0
"""The decoder's and encoder's threads: 0 is FFmpeg's own choice. They work ahead, in the time that the other threads
leave."""


# mallopt's parameters, in glibc's malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def inference_threads() -> int:
    """Return the number of threads for OpenVINO: that of torch, by default all cores."""
    import torch

    return torch.get_num_threads()


def before_torch_loads() -> None:
    """Keep torch's threads from busy-waiting, which would slow down decoder and encoder.

    Must be called before torch is imported, since OpenMP reads the setting then.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def spare_collector() -> None:
    """Make the garbage collector run less often, and not at the end of the process.

    Importing torch creates 340,000 permanent objects. With Python's default settings, scanning them takes a second of
    every command.
    """
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)


def keep_freed_memory() -> None:
    """Keep freed memory for the next picture instead of returning it to the system, where the C library is glibc.

    By default glibc maps new pages for many of the large arrays of each frame, and the system has to clear them: about
    half a millisecond of processor time per frame at 1280x720.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform.startswith("linux") else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # the largest value that it takes
        mallopt(_M_TRIM_THRESHOLD, 256 << 20)


def give_way() -> None:
    """Give this process, and those that it starts, the lowest priority."""
    if hasattr(os, "SCHED_IDLE"):  # Linux; a nice value alone still takes time from others
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    elif hasattr(os, "nice"):
        os.nice(19)


def leave_real_time() -> None:
    """Return the real-time threads of this process to ordinary scheduling, on Linux.

    Where it may, as for root, libsvtav1 makes its threads and the one that opens it real-time threads. These would keep
    all other programs from the processor.
    """
    for thread in (int(task.name) for task in Path("/proc/self/task").glob("*")):  # none elsewhere
        with suppress(ProcessLookupError):  # it has ended meanwhile
            if os.sched_getscheduler(thread) in (os.SCHED_FIFO, os.SCHED_RR):
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


@contextmanager
def drawing_threads() -> Iterator[None]:
    """Limit OpenCV to its share of threads inside of the block."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(DRAWING)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def module_command(module: str, *arguments: object) -> list[str]:
    """Return the command that runs a module with this Python."""
    # -P keeps a file in the current folder from being taken for a module of its name.
    return [sys.executable, "-P", "-m", module, *map(str, arguments)]


def module_environment(**variables: str) -> dict[str, str]:
    """Return this process's environment plus these variables, for processes started by `module_command`."""
    search_path = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, search_path)), **variables}

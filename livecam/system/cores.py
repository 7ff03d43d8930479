"""How many threads each library may use: decided here for all of them."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SCALER = 1
"""swscale's threads: a picture takes a millisecond or two, less than it takes to wake others up."""
DRAWING = 1
"""OpenCV's threads: it is called many times a frame, each time for less than it takes to wake others up."""
DECODER = 0
ENCODER = 0
"""The decoder's and encoder's threads: 0 is FFmpeg's own choice. They work ahead and fill what the others leave."""


def inference_threads() -> int:
    """Return the number of threads for OpenVINO: torch's, which is all cores unless the user says otherwise."""
    import torch

    return torch.get_num_threads()


def before_torch_loads() -> None:
    """Keep the threads that torch computes with from spinning while they wait, and so slowing decoder and encoder.

    OpenMP reads this setting when torch is imported, so it must be called before that.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def spare_collector() -> None:
    """Let the garbage collector look through this process's objects less often, and not once more at its end.

    Importing torch makes 340,000 objects that stay. With Python's own settings, looking through them takes a second of
    every command.
    """
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)


def give_way() -> None:
    """Let this process, and those that it starts, run only while no other process wants the processor."""
    if hasattr(os, "SCHED_IDLE"):  # Linux; a nice process still takes its share from one that sleeps now and then
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    elif hasattr(os, "nice"):
        os.nice(19)


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
    """Return this process's environment with these variables, in which `module_command` finds livecam."""
    search_path = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, search_path)), **variables}

"""How the cores are shared out among the libraries that start threads of their own: decided here alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SCALER = 1
"""swscale: a picture takes a millisecond or two, less than it takes to wake others up."""
DRAWING = 1
"""OpenCV: the same, many times a frame."""
DECODER = 0
ENCODER = 0
"""FFmpeg's own choice: they work ahead and fill whatever the others leave."""


def inference_threads() -> int:
    """How many threads OpenVINO computes with: as many as torch, which are all cores unless the user says otherwise."""
    import torch

    return torch.get_num_threads()


def before_torch_loads() -> None:
    """Keep OpenMP's threads, which torch computes with on all cores, from spinning while they wait.

    They would take the cores from decoder and encoder. It is read when torch loads.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def give_way() -> None:
    """From here on this process and those that it starts run only while nobody else wants the processor."""
    if hasattr(os, "SCHED_IDLE"):  # Linux; a nice process still takes its share from one that sleeps now and then
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    elif hasattr(os, "nice"):
        os.nice(19)


@contextmanager
def drawing_threads() -> Iterator[None]:
    """OpenCV keeps to its share inside the block."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(DRAWING)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def module_command(module: str, *arguments: object) -> list[str]:
    """The command that runs a module by this Python."""
    # -P: not what happens to lie in the current folder under the name of a module.
    return [sys.executable, "-P", "-m", module, *map(str, arguments)]


def module_environment(**variables: str) -> dict[str, str]:
    """This process's environment, in which the command finds livecam wherever it lies; and these variables."""
    search_path = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, search_path)), **variables}

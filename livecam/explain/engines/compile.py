"""Compiles a traced program: `python -m livecam.explain.engines.compile JOB ENTRY`, a process of its own.

Compiling is mostly Python and takes 10 to 60 seconds; in the program's own process it would hold up every other thread.
A crash, too, is of no consequence here: what does not run as it should is not offered.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import torch
from torch import Tensor
from torch.fx import GraphModule

from livecam import threads
from livecam.explain.engines import cache, runner
from livecam.explain.engines.cache import Entry
from livecam.explain.engines.compiled import CompiledProgram
from livecam.explain.engines.graph import Graph
from livecam.explain.precision import DTYPES

_IMAGES, _JOB = "images.pt", "job.json"
_ROUNDS = 9


@dataclass(frozen=True)
class Job:
    """What is to be compiled: `precisions`, the likely fastest first, on this device, for torch's `threads`."""

    precisions: tuple[str, ...]
    device: str
    threads: int

    def write(self, folder: Path, traced: Graph, images: Tensor) -> None:
        """Everything that `main` needs; `images` are of the shape to compile for."""
        for precision in self.precisions:
            # Each by itself: on their way back through a file, operations on weights alone are done once and for all.
            torch.save(traced.in_precision(DTYPES[precision]), folder / f"graph-{precision}.pt")
        torch.save(images, folder / _IMAGES)
        (folder / _JOB).write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> tuple[Job, Tensor]:
        """The job and its images."""
        job = cls(**json.loads((folder / _JOB).read_text(encoding="utf-8")))
        return job, torch.load(folder / _IMAGES)


def load_graph(folder: Path, precision: str) -> GraphModule:
    """The graph in this precision, from the folder of a job of this program: it is unpickled."""
    return torch.load(folder / f"graph-{precision}.pt", weights_only=False)


def main(folder: Path, entry: Entry, *, patient: bool) -> None:
    """Compile and time each precision that is not in the entry, and publish each as soon as it is known to run.

    A `patient` process leaves the processor to whoever else wants it; after the first precision it is so in any case.
    A precision that cannot be compiled is passed over, and known to be so; if there is no other, its error is raised.
    """
    job, images = Job.read(folder)
    device = torch.device(job.device)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "inductor")  # as large as the weights; gone with the job
    torch.set_num_threads(job.threads)
    if patient:
        threads.give_way()
    runner.build_once(cache.runner_library())
    programs: dict[str, CompiledProgram] = {}
    seconds: dict[str, float] = {}
    errors: list[Exception] = []
    for precision in job.precisions:
        try:
            seconds[precision] = _compile(folder, precision, images.to(device), entry)
            program = CompiledProgram(entry.package(precision), images, device)
            program(images)
        except Exception as exc:
            errors.append(exc)
            entry.publish({precision: None})
            continue
        programs[precision] = program
        times = _picture_ms(programs, images)
        entry.publish({each: {"compile_seconds": seconds[each], "picture_ms": times[each]} for each in programs})
        threads.give_way()
    cache.prune()
    if not programs:
        raise errors[0]


def _compile(folder: Path, precision: str, images: Tensor, entry: Entry) -> float:
    """Compile in one precision, unless the entry has that; how many seconds it took."""
    if precision in entry.results:
        return entry.results[precision]["compile_seconds"]
    begin = time.perf_counter()
    draft = folder / "draft.pt2"
    with torch.no_grad():
        exported = torch.export.export(load_graph(folder, precision), (images,))
        # Freezing folds the weights into the code: normalisations into convolutions, layouts as the kernels want them.
        torch._inductor.aoti_compile_and_package(exported, package_path=str(draft), inductor_configs={"freezing": True})
    entry.take(draft, precision)
    return time.perf_counter() - begin


def _picture_ms(programs: dict[str, CompiledProgram], images: Tensor) -> dict[str, float]:
    """The median time of each for a picture, interleaved so that all meet the same weather."""
    times: dict[str, list[float]] = {precision: [] for precision in programs}
    for _ in range(_ROUNDS):
        for precision, program in programs.items():
            begin = time.perf_counter()
            program(images)
            times[precision].append(1000 * (time.perf_counter() - begin) / len(images))
    return {precision: median(each) for precision, each in times.items()}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Entry(Path(sys.argv[2])), patient="--patient" in sys.argv)

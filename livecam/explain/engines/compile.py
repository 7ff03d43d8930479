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

from livecam.explain.engines import cache, graph, runner
from livecam.explain.engines.agreement import agreement
from livecam.explain.engines.cache import Entry
from livecam.explain.engines.compiled import CompiledProgram
from livecam.explain.engines.graph import Graph
from livecam.explain.precision import DTYPES
from livecam.explain.program import Answer

GRAPH, _IMAGES, _JOB = "graph.pt", "images.pt", "job.json"
_ROUNDS = 9
_LEAST_PRIORITY = 19


@dataclass(frozen=True)
class Job:
    """What is to be compiled: `precisions`, the likely fastest first, on this device, for torch's `threads`."""

    precisions: tuple[str, ...]
    device: str
    threads: int

    def write(self, folder: Path, saved: Graph, images: Tensor) -> None:
        """Everything that `main` needs; `images` are of the shape to compile for."""
        graph.save(saved, folder / GRAPH)
        torch.save(images, folder / _IMAGES)
        (folder / _JOB).write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> tuple[Job, Tensor]:
        """The job and its images."""
        job = cls(**json.loads((folder / _JOB).read_text(encoding="utf-8")))
        return job, torch.load(folder / _IMAGES)


def main(folder: Path, entry: Entry, *, patient: bool) -> None:
    """Compile, check and time each precision, and publish each as soon as it is known to be good.

    A `patient` process leaves the processor to whoever else wants it; after the first precision it is so in any case.
    """
    job, images = Job.read(folder)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "inductor")  # as large as the weights; gone with the job
    torch.set_num_threads(job.threads)
    if patient:
        os.nice(_LEAST_PRIORITY)
    runner.build_once(cache.runner_library())
    device = torch.device(job.device)
    single = graph.load(folder / GRAPH).in_precision(torch.float32)
    with torch.no_grad():
        reference = Answer(*(output.cpu() for output in single(images.to(device))))
    programs: dict[str, CompiledProgram] = {}
    for precision in job.precisions:
        begin = time.perf_counter()
        draft = _compile(
            graph.load(folder / GRAPH).in_precision(DTYPES[precision]), images.to(device), folder / "draft.pt2"
        )
        seconds = time.perf_counter() - begin
        programs[precision] = CompiledProgram(draft, images, device)
        agreed = agreement([Answer(*programs[precision](images))], [reference])
        draft.replace(entry.package(precision))
        entry.add(precision, {"compile_seconds": seconds, **agreed._asdict()})
        for each, program_ms in _times_ms(programs, images).items():
            entry.add(each, {**entry.results[each], "ms": program_ms})
        os.nice(_LEAST_PRIORITY)
    cache.prune()


def _compile(module: GraphModule, images: Tensor, package: Path) -> Path:
    with torch.no_grad():
        exported = torch.export.export(module, (images,))
        # Freezing folds the weights into the code: normalisations into convolutions, layouts as the kernels want them.
        torch._inductor.aoti_compile_and_package(
            exported, package_path=str(package), inductor_configs={"freezing": True}
        )
    return package


def _times_ms(programs: dict[str, CompiledProgram], images: Tensor) -> dict[str, float]:
    """The median time of each, interleaved so that all meet the same weather."""
    times: dict[str, list[float]] = {precision: [] for precision in programs}
    for _ in range(_ROUNDS):
        for precision, program in programs.items():
            begin = time.perf_counter()
            program(images)
            times[precision].append(1000 * (time.perf_counter() - begin))
    return {precision: median(each) for precision, each in times.items()}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Entry(Path(sys.argv[2])), patient="--patient" in sys.argv)

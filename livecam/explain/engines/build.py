"""The process that builds a traced program for its device.

It is run as `python -m livecam.explain.engines.build FOLDER ENTRY < JOB`.

Building is mostly Python code, which would hold up every other thread if it ran in the process of the run. If the build
crashes, the run continues with the engine that it has.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import IO

import torch
from torch import Tensor
from torch.fx import GraphModule

from livecam.explain.engines import cache, cuda
from livecam.explain.engines.cache import Entry
from livecam.explain.engines.openvino import openvino, to_openvino
from livecam.system import cores


def main(job: IO[bytes], folder: Path, entry: Entry) -> None:
    """Build a program in each precision of a job, and move each result to the cache entry as soon as it is done.

    A precision that cannot be built is skipped; if none can be built, the error of the first is raised.

    Args:
        job: A file with the graphs by precision, the likely fastest first; inputs of the shapes to build for; and True
            to run at low priority. It is the standard input, which is empty afterwards.
        folder: The folder for temporary files.
        entry: The folder of the program in the cache.
    """
    cores.spare_collector()
    graphs, inputs, is_patient = torch.load(job, weights_only=False)  # written by our parent process
    with Path(os.devnull).open() as nothing:
        os.dup2(nothing.fileno(), job.fileno())  # the file, as large as the weights, is gone then
    if is_patient:
        cores.give_way()
    errors: list[Exception] = []
    for precision, graph in graphs.items():
        try:
            files = _compile(graph, inputs, precision, folder) if inputs[0].is_cuda else _convert(graph, inputs, folder)
            for file in files:
                entry.take(file)
        except Exception as exc:
            errors.append(exc)
    cache.prune()
    if len(errors) == len(graphs):
        raise errors[0]


def _convert(graph: GraphModule, inputs: tuple[Tensor, ...], folder: Path) -> list[Path]:
    """Write OpenVINO's model and return its files: the .bin first, then the .xml that refers to it."""
    model = folder / "model.xml"
    openvino().save_model(to_openvino(graph, *inputs), model, compress_to_fp16=False)
    return [model.with_suffix(".bin"), model]


def _compile(graph: GraphModule, inputs: tuple[Tensor, ...], precision: str, folder: Path) -> list[Path]:
    """Write a package of TorchInductor for a GPU, and return it."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "inductor")  # large, so deleted with the job
    if home := cuda.toolkit():
        os.environ["CUDA_HOME"] = str(home)
    package = folder / f"{precision}.pt2"
    with torch.no_grad(), torch.cuda.device(inputs[0].device):
        exported = torch.export.export(graph, inputs)
        # Freezing folds normalisations into convolutions, and lays the weights out as the kernels want them.
        torch._inductor.aoti_compile_and_package(
            exported, package_path=str(package), inductor_configs={"freezing": True}
        )
    return [package]


if __name__ == "__main__":
    temporary = Path(sys.argv[1])
    try:
        main(sys.stdin.buffer, temporary, Entry(Path(sys.argv[2])))
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # the run, which also removes it, may have been killed

"""The process that builds a traced program for its device: `python -m livecam.explain.engines.build JOB ENTRY`.

Building is mostly Python code, which in the process of the run would hold up every other thread. And if it crashes, the
run goes on with what it has.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
from torch import Tensor
from torch.fx import GraphModule

from livecam.explain.engines import cache, cuda
from livecam.explain.engines.cache import Entry
from livecam.explain.engines.openvino import openvino, to_openvino
from livecam.system import cores


def main(job: Path, entry: Entry) -> None:
    """Build each precision of a job, and move each to the entry as soon as it is done.

    A precision that cannot be built is passed over; if none can, the error of the first is raised.

    Args:
        job: A file with the graphs by precision, the likely fastest first; pictures of the shape to build for; and True
            if the processor is to be left to others.
        entry: The place in the cache.
    """
    cores.spare_collector()
    graphs, images, is_patient = torch.load(job, weights_only=False)  # written by the run that started this process
    job.unlink()  # it is as large as the weights
    if is_patient:
        cores.give_way()
    errors: list[Exception] = []
    for precision, graph in graphs.items():
        try:
            files = (
                _compile(graph, images, precision, job.parent)
                if images.is_cuda
                else _convert(graph, images, job.parent)
            )
            for file in files:
                entry.take(file)
        except Exception as exc:
            errors.append(exc)
    cache.prune()
    if len(errors) == len(graphs):
        raise errors[0]


def _convert(graph: GraphModule, images: Tensor, folder: Path) -> list[Path]:
    """Write OpenVINO's model, and return its files, the one that refers to the other last."""
    model = folder / "model.xml"
    openvino().save_model(to_openvino(graph, images), model, compress_to_fp16=False)
    return [model.with_suffix(".bin"), model]


def _compile(graph: GraphModule, images: Tensor, precision: str, folder: Path) -> list[Path]:
    """Write a package of TorchInductor for a GPU, and return it."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "inductor")  # as large as the weights; gone with the job
    if home := cuda.toolkit():
        os.environ["CUDA_HOME"] = str(home)
    package = folder / f"{precision}.pt2"
    with torch.no_grad(), torch.cuda.device(images.device):
        exported = torch.export.export(graph, (images,))
        # Freezing folds normalisations into convolutions, and lays the weights out as the kernels want them.
        torch._inductor.aoti_compile_and_package(
            exported, package_path=str(package), inductor_configs={"freezing": True}
        )
    return [package]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Entry(Path(sys.argv[2])))

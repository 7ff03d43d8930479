"""Builds a traced program for its device: `python -m livecam.explain.engines.build JOB ENTRY`, a process of its own.

Building is mostly Python, which in the program's own process would hold up every other thread. A crash, too, is of no
consequence here: what does not run as it should is not taken over.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.fx import GraphModule

from livecam import threads
from livecam.explain.engines import cache, cuda
from livecam.explain.engines.cache import Entry
from livecam.explain.engines.conversion import to_openvino
from livecam.explain.engines.openvino_runtime import openvino


@dataclass(frozen=True)
class Job:
    """What is to be built: these graphs by precision, the likely fastest first, for the shape of `images`.

    A `patient` build leaves the processor to whoever else wants it.
    """

    graphs: Mapping[str, GraphModule]
    images: Tensor
    patient: bool


def main(file: Path, entry: Entry) -> None:
    """Build each precision of the job in a file, and add each to the entry as soon as it is done.

    A precision that cannot be built is passed over; if there is no other, its error is raised.
    """
    job: Job = torch.load(file, weights_only=False)  # written by this program's own run
    if job.patient:
        threads.give_way()
    build = _compile if job.images.is_cuda else _convert
    errors: list[Exception] = []
    for precision, graph in job.graphs.items():
        try:
            for draft in build(graph, job.images, file.with_name(precision)):
                entry.take(draft)
        except Exception as exc:
            errors.append(exc)
    cache.prune()
    if len(errors) == len(job.graphs):
        raise errors[0]


def _convert(graph: GraphModule, images: Tensor, stem: Path) -> list[Path]:
    """Write OpenVINO's model, and give its files, the one that refers to the other last."""
    draft = stem.with_name("model.xml")
    openvino().save_model(to_openvino(graph, images), draft, compress_to_fp16=False)
    return [draft.with_suffix(".bin"), draft]


def _compile(graph: GraphModule, images: Tensor, stem: Path) -> list[Path]:
    """Write a package of TorchInductor for a GPU."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(stem.parent / "inductor")  # as large as the weights; gone with the job
    if home := cuda.toolkit():
        os.environ["CUDA_HOME"] = str(home)
    draft = stem.with_suffix(".pt2")
    with torch.no_grad(), torch.cuda.device(images.device):
        exported = torch.export.export(graph, (images,))
        # Freezing folds the weights into the code: normalisations into convolutions, layouts as the kernels want them.
        torch._inductor.aoti_compile_and_package(exported, package_path=str(draft), inductor_configs={"freezing": True})
    return [draft]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Entry(Path(sys.argv[2])))

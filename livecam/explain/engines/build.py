"""Builds a traced program for its device: `python -m livecam.explain.engines.build JOB ENTRY`, a process of its own.

Building is mostly Python, which in the program's own process would hold up every other thread. A crash, too, is of no
consequence here: what does not run as it should is not taken over.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.fx import GraphModule

from livecam import threads
from livecam.explain.engines import cache, cuda
from livecam.explain.engines.cache import Entry
from livecam.explain.engines.conversion import to_openvino
from livecam.explain.engines.graph import Graph
from livecam.explain.engines.openvino_runtime import openvino
from livecam.explain.precision import DTYPES

_IMAGES, _JOB = "images.pt", "job.json"


@dataclass(frozen=True)
class Job:
    """What is to be built: for this device in these precisions, the likely fastest first; `patient` gives way."""

    device: str
    precisions: tuple[str, ...]
    patient: bool

    def write(self, folder: Path, traced: Graph, images: Tensor) -> None:
        """Write all that `main` needs into a folder; `images` are of the shape to build for."""
        for precision in self.precisions:
            # Each by itself: on their way back through a file, operations on weights alone are done once and for all.
            torch.save(traced.in_precision(DTYPES[precision]), folder / f"graph-{precision}.pt")
        torch.save(images, folder / _IMAGES)
        (folder / _JOB).write_text(json.dumps(asdict(self)), encoding="utf-8")


def load_graph(folder: Path, precision: str) -> GraphModule:
    """The graph in this precision, from the folder of a job of this program: it is unpickled."""
    return torch.load(folder / f"graph-{precision}.pt", weights_only=False)


def main(folder: Path, entry: Entry) -> None:
    """Build each precision, and add each to the entry as soon as it is done.

    A precision that cannot be built is passed over; if there is no other, its error is raised.
    """
    job = Job(**json.loads((folder / _JOB).read_text(encoding="utf-8")))
    images = torch.load(folder / _IMAGES)
    if job.patient:
        threads.give_way()
    build = _compile if torch.device(job.device).type == "cuda" else _convert
    errors: list[Exception] = []
    for precision in job.precisions:
        try:
            for draft in build(load_graph(folder, precision), images.to(job.device), folder / precision):
                entry.take(draft)
        except Exception as exc:
            errors.append(exc)
    cache.prune()
    if len(errors) == len(job.precisions):
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

"""Which models does OpenVINO compute, and as PyTorch does? `python -m benchmarks.conversion [MODEL...] --json FILE`.

The whole step, Grad-CAM of the best class, is traced, converted and loaded in float32, and given a picture of noise.
The table has the cosine of its map to that of the eager engine, if the best class is the same, and the seconds of each
part. Without names all classifiers of torchvision are tried. efficientnet_lite0 and `shapes` have real weights.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.timing import print_machine, print_table, weights_of
from livecam import Explainer
from livecam.bench.timing import write_json
from livecam.explain.answer import Answer, agreement
from livecam.explain.engines.compilation import first_line
from livecam.explain.engines.graph import trace
from livecam.explain.engines.openvino import OpenVINOProgram, openvino, to_openvino
from livecam.models import torchvision_models


def convert(model: str) -> dict[str, Any]:
    """Return the results of one model, or only a `problem` if it cannot be converted."""
    explainer = Explainer(model, weights=weights_of(model), engine="eager", precision="fp32", device="cpu")
    preprocessing, engine = explainer.classifier.preprocessing, explainer._runtime.engine
    shape = (2, 1, *preprocessing.size, preprocessing.channels)
    traced_with, given = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0)).byte()
    begin = time.perf_counter()
    graph = trace(engine.make_program(torch.float32), explainer.classifier.module, traced_with)
    seconds = {"trace": time.perf_counter() - begin}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.xml"
        begin = time.perf_counter()
        try:
            openvino().save_model(to_openvino(graph.in_precision(torch.float32), traced_with), file, False)
        except Exception as exc:  # whatever the front end raises
            return {"problem": first_line(exc)}
        seconds["convert"] = time.perf_counter() - begin
        begin = time.perf_counter()
        program = OpenVINOProgram(file, "fp32")
        seconds["load"] = time.perf_counter() - begin
        agreed = agreement([Answer(*program(given))], [explainer.answer(given)])
    return {"cosine": agreed.cosine, "same_best": agreed.same_best, "seconds": seconds}


def main() -> None:
    """Print the table, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = {model: convert(model) for model in options.models or torchvision_models.names()}
    print_machine()
    header = ["", "cosine", "same best class", "trace, s", "convert, s", "load, s"]
    print_table(header, [[model, *_cells(of)] for model, of in found.items()])
    if options.json:
        write_json(options.json, {"models": found})


def _cells(of: dict[str, Any]) -> list[str]:
    if "problem" in of:
        return [of["problem"], "-", "-", "-", "-"]
    return [
        f"{of['cosine']:.6f}",
        "yes" if of["same_best"] else "no",
        *(f"{each:.1f}" for each in of["seconds"].values()),
    ]


if __name__ == "__main__":
    main()

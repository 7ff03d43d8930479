"""Where does the map come from? `python -m benchmarks.survey [MODEL...] --json FILE`.

The table has the layers that are chosen by default, their grids, and if they respond where the picture changes; the
seconds that the survey of all layers takes, and those of a forward pass. Without names all classifiers of torchvision
and 24 architectures of timm are tried. efficientnet_lite0 and `shapes` have real weights.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.timing import print_machine, print_table, weights_of
from livecam import Explainer
from livecam.bench.timing import write_json
from livecam.explain.preprocess import pictures_to_survey
from livecam.explain.program import Normalisation
from livecam.explain.tap import frozen
from livecam.models import torchvision_models
from livecam.models.survey.locality import occluded
from livecam.models.survey.recording import record

OF_TIMM = (
    "beit_base_patch16_224",
    "coatnet_pico_rw_224",
    "convnext_atto",
    "deit_tiny_distilled_patch16_224",
    "efficientformer_l1",
    "efficientnet_b0",
    "ghostnet_050",
    "gmlp_s16_224",
    "inception_v4",
    "maxvit_rmlp_pico_rw_256",
    "mixer_s32_224",
    "mobilenetv3_small_100",
    "naflexvit_base_patch16_gap",
    "pvt_v2_b0",
    "regnety_002",
    "resmlp_12_224",
    "resnet10t",
    "swin_tiny_patch4_window7_224",
    "swinv2_tiny_window8_256",
    "tresnet_m",
    "vit_base_patch14_dinov2",
    "vit_little_patch16_reg4_gap_256",
    "vit_tiny_patch16_224",
    "xcit_nano_12_p16_224",
)


def survey(model: str) -> dict[str, Any]:
    """Return the default layers of a model with the results of their check, and the seconds."""
    explainer = Explainer(model, weights=weights_of(model), engine="eager", device="cpu")
    classifier, task = explainer.classifier, explainer.task
    normalisation = Normalisation(classifier.preprocessing, torch.device("cpu"), torch.float32)
    inputs = normalisation(occluded(next(pictures_to_survey(classifier.preprocessing))))
    with frozen(classifier.module):
        begin = time.perf_counter()
        record(classifier.module, inputs, classifier.preprocessing.extent).survey(task.total, task.holds_scores)
        surveyed = time.perf_counter()
        with torch.no_grad():
            classifier.module(inputs[:1])
        end = time.perf_counter()
    layers = [(layer, layer.grid) for layer in explainer.survey.automatic if layer.grid]
    return {
        "layers": [
            {"name": layer.label, "grid": (grid.height, grid.width), "check": layer.check, "agreement": layer.agreement}
            for layer, grid in layers
        ],
        "seconds": {"survey": surveyed - begin, "forward": end - surveyed},
    }


def main() -> None:
    """Print the table, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    names = options.models or [*torchvision_models.names(), *(f"timm:{name}" for name in OF_TIMM)]
    found = {model: survey(model) for model in names}
    print_machine()
    print_table(
        ["", "layer", "grid", "check", "agreement", "survey, s", "forward pass, s"],
        [[model, *_cells(of)] for model, of in found.items()],
    )
    if options.json:
        write_json(options.json, {"models": found})


def _cells(of: dict[str, Any]) -> list[str]:
    layers, seconds = of["layers"], of["seconds"]
    return [
        ", ".join(layer["name"] for layer in layers),
        ", ".join("{}x{}".format(*layer["grid"]) for layer in layers),
        ", ".join(layer["check"] for layer in layers),
        ", ".join(f"{layer['agreement']:.2f}" for layer in layers),
        f"{seconds['survey']:.2f}",
        f"{seconds['forward']:.2f}",
    ]


if __name__ == "__main__":
    main()

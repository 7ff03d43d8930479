"""What do ten classes cost against one? `python -m benchmarks.classes --model resnet50 --top 10 --json FILE`.

The model has random weights, the batch is one picture of noise; rounds are interleaved. Each map is also compared with
the map of a run for its class alone, to show that explaining several classes at once is only cheaper, not different.
"""

from __future__ import annotations

import argparse
import copy
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.timing import print_machine, print_table, spread
from livecam import Explainer
from livecam.bench.timing import interleaved, write_json
from livecam.models import load_model

SAME = 1e-6
"""Relative to the largest value of a map."""


def largest_difference(several: Explainer, one: Explainer, picture: np.ndarray) -> float:
    """Return the largest difference between maps of a run with several classes and of one per class, relative."""
    differences = []
    for found in several(picture).classes:
        alone = one(picture, target=found.index).cam
        differences.append(float(np.abs(found.cam - alone).max() / np.abs(alone).max()))
    return max(differences)


def main() -> None:
    """Print the table, and write it as JSON if asked to. Fails if the maps differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--top", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    classifier = load_model(options.model, weights="none")
    height, width = classifier.preprocessing.size
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)

    def explainer(top: int) -> Explainer:
        return Explainer(copy.deepcopy(classifier.module), preprocessing=classifier.preprocessing, top=top)

    with explainer(1) as one, explainer(options.top) as several:
        difference = largest_difference(several, one, picture)
        assert difference <= SAME, f"the maps differ by {difference:.1e} from those of their own runs"
        works = {"top 1": partial(one, picture), f"top {options.top}": partial(several, picture)}
        times_ms = interleaved(works, options.rounds)
    medians_ms = {name: median(times) for name, times in times_ms.items()}
    ratio = medians_ms[f"top {options.top}"] / medians_ms["top 1"]
    print_machine()
    print(f"{options.model}, {width}x{height}, batch 1, Grad-CAM at {one.layer}, {options.rounds} rounds\n")
    print_table(
        ["", "ms a picture (median)", "least-most"],
        [[name, f"{medians_ms[name]:.1f}", spread(times)] for name, times in times_ms.items()],
    )
    print(f"\nratio {ratio:.2f}; largest difference of a map to that of its own run {difference:.0e}")
    if options.json:
        settings = {"model": options.model, "top": options.top, "rounds": options.rounds}
        results = {"median_ms": medians_ms, "ratio": ratio, "largest_relative_difference": difference}
        write_json(options.json, {"settings": settings, **results, "times_ms": times_ms})


if __name__ == "__main__":
    main()

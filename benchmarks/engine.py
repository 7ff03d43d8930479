"""What does an explanation cost beside the prediction alone? `python -m benchmarks.engine --batch 1 --json FILE`.

Each model has random weights and is measured by each engine in each precision, prediction and explanation interleaved,
from uint8 input on the CPU to maps and scores on the CPU. The cosine is that of the least similar map to the one by the
eager engine in fp32.

With `--frames 1000` the shipped model `shapes` explains so many generated frames besides: how many best classes are
those of the eager engine in fp32, and how similar the maps are where they are of the same class.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.timing import print_machine, print_table
from livecam import Explainer
from livecam.bench.tax import REFERENCE, TIMED, Variant, measure_tax, pictures, variants
from livecam.bench.timing import write_json
from livecam.choices import ENGINES, PRECISIONS
from livecam.explain.device import find_device, usual_batch
from livecam.explain.engines.agreement import agreement
from livecam.explain.program import Answer

MODELS = (
    *("resnet50", "resnet18", "mobilenet_v3_large", "efficientnet_b0", "convnext_tiny"),
    *("swin_t", "vit_b_16"),
)


def agreement_over(frames: int, wanted: Sequence[Variant]) -> dict[str, dict[str, Any]]:
    """Each variant with `shapes` against the reference: equal best classes, and the cosines of the maps."""
    reference = Explainer("shapes", **REFERENCE._asdict())
    batch = usual_batch(reference.device)
    images = torch.split(pictures(reference, frames), batch)
    with reference:
        expected = [one for part in images for one in _each(reference.answer(part))]
    results = {}
    for variant in wanted:
        explainer = Explainer("shapes", **variant._asdict())
        explainer.expect(None, batch=batch)
        with explainer:
            answers = [one for part in images for one in _each(explainer.answer(part))]
        pairs = [(a, e) for a, e in zip(answers, expected, strict=True) if a.best[0, 0] == e.best[0, 0]]
        cosines = [agreement([a], [e]).cosine for a, e in pairs]
        results[str(variant)] = {
            "frames": frames,
            "same_best": len(pairs),
            "least_cosine": min(cosines),
            "median_cosine": median(cosines),
        }
    return results


def _each(answer: Answer) -> list[Answer]:
    """The answer for each picture, as a batch of one."""
    return [Answer(*(output[index : index + 1] for output in answer)) for index in range(len(answer.maps))]


def main() -> None:
    """Print the tables, and write them as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(MODELS), help="of torchvision, by comma")
    parser.add_argument("--engine", choices=ENGINES, default="auto", help="auto for all")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="auto for all")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--frames", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    wanted = variants(find_device("auto", "shapes"), options.engine, options.precision)
    print_machine()
    tax: dict[str, list[dict[str, Any]]] = {}
    for model in options.models.split(","):

        def explainer(variant: Variant, model: str = model) -> Explainer:
            return Explainer(model, weights="none", **variant._asdict())

        tax[model] = measure_tax(explainer, wanted, options.batch, options.rounds)
    print(f"Milliseconds a batch of {options.batch}, {TIMED}, {options.rounds} rounds, medians.\n")
    print_table(
        ["", "engine", "prediction", "explanation", "ratio", "cosine"],
        [_row(model, row) for model, rows in tax.items() for row in rows],
    )
    frames = agreement_over(options.frames, [each for each in wanted if each != REFERENCE]) if options.frames else {}
    if frames:
        print(f"\nshapes, {options.frames} generated frames, against {REFERENCE}.\n")
        print_table(
            ["", "same best class", "least cosine", "median cosine"],
            [
                [name, of["same_best"], f"{of['least_cosine']:.6f}", f"{of['median_cosine']:.6f}"]
                for name, of in frames.items()
            ],
        )
    if options.json:
        settings = {"batch": options.batch, "rounds": options.rounds, "timed": TIMED}
        write_json(options.json, {"settings": settings, "tax": tax, "frames": frames})


def _row(model: str, row: dict[str, Any]) -> list[str]:
    return [
        model,
        f"{row['engine']} {row['precision']}",
        *(f"{row[f'{what}_ms']['p50']:.1f}" for what in ("prediction", "explanation")),
        *(f"{row['ratio']:.2f}", f"{row['cosine']:.5f}"),
    ]


if __name__ == "__main__":
    main()

"""What does an explanation cost compared with a prediction? `python -m benchmarks.engine --batch 1 --json FILE`.

Each model is measured by each engine in each precision, prediction and explanation interleaved, from uint8 input on the
CPU to maps and scores on the CPU; and beside them OpenVINO's own plain prediction, from float input to scores, as its
documentation converts a model. The cosine is that of the least similar map to the one by the eager engine in fp32.
efficientnet_lite0 has real weights, the others random ones, since only the architecture matters here.

`--models` may also name models of clips, masks and boxes. The prediction of a detector goes up to its boxes and scores;
its explanation has the map of all boxes of the best class as well. Random weights find no box, but that changes nothing
for the time: maps are computed of as many boxes as a picture may have. A model that cannot be compiled is measured
eagerly.

The floor is what the operations of a batch of ResNet-50s would take at the rate of this machine's own matrix product,
in the fastest precision that it computes in.

With `--clip FILE` efficientnet_lite0 also explains every frame of a video, by every method in each precision. Counted
are the best classes that equal those of the eager engine in fp32; for these, the maps are compared.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from benchmarks.timing import print_machine, print_table, weights_of
from livecam import Explainer, open_source
from livecam.bench.overhead import REFERENCE, TIMED, Variant, measure_overhead, variants
from livecam.bench.timing import interleaved, write_json
from livecam.explain.answer import Answer, agreement
from livecam.explain.device import find_device, likely_fast, usual_batch
from livecam.explain.engines.openvino import HINTS, openvino
from livecam.explain.methods import METHODS
from livecam.explain.preprocess import Preprocessor
from livecam.models import Classifier, load_model
from livecam.names import ENGINES, LAYER_METHODS, PRECISIONS
from livecam.system.cores import inference_threads

MODELS = (
    *("resnet50", "resnet18", "mobilenet_v3_large", "efficientnet_b0", "efficientnet_lite0"),
    *("convnext_tiny", "swin_t", "vit_b_16"),
)
RESNET50_OPERATIONS = 8.2e9
"""Multiplications and additions of one picture of 224x224."""
SIDE = 2048
"""Of the matrices whose product is timed."""
OWN = "OpenVINO's own prediction"


class OnlyTensors(nn.Module):
    """Returns the tensors in what a module returns, such as masks in a dictionary, or boxes and their scores."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(leaf for leaf in tree_leaves(self.module(inputs)) if isinstance(leaf, Tensor))


def plain_predictions(classifier: Classifier, batch: int, precisions: Iterable[str]) -> dict[str, Callable[[], object]]:
    """OpenVINO's prediction of a batch in precisions, converted as its documentation does it; from floats to scores."""
    inputs = torch.randn(batch, *classifier.preprocessing.input_shape, generator=torch.Generator().manual_seed(0))
    module = OnlyTensors(classifier.module).eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    converted = openvino().convert_model(module, example_input=inputs, input=list(inputs.shape))

    def compiled(precision: str) -> Callable[[], object]:
        settings = {
            "INFERENCE_PRECISION_HINT": HINTS[precision],
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": inference_threads(),
        }
        request = openvino().Core().compile_model(converted, "CPU", settings).create_infer_request()
        return lambda: request.infer([inputs.numpy()], share_inputs=True, share_outputs=True)

    return {f"{OWN} {precision}": compiled(precision) for precision in precisions}


def product_seconds(precision: str, rounds: int) -> float:
    """Return the seconds per operation of a large matrix product in OpenVINO on this machine."""
    operations = openvino().opset13
    left = operations.parameter([SIDE, SIDE], np.float32)
    right = operations.constant(np.random.default_rng(0).normal(size=(SIDE, SIDE)).astype(np.float32))
    product = openvino().Model([operations.matmul(left, right, False, True)], [left])
    compiled = openvino().Core().compile_model(product, "CPU", {"INFERENCE_PRECISION_HINT": HINTS[precision]})
    given = np.random.default_rng(1).normal(size=(SIDE, SIDE)).astype(np.float32)
    (times_ms,) = interleaved({"product": partial(compiled, [given])}, rounds).values()
    return median(times_ms) / 1000 / (2 * SIDE**3)


def frames_of(clip: Path, explainer: Explainer) -> Tensor:
    """Return every frame of a video as model input: (frames, h, w, channels) uint8."""
    prepare = Preprocessor(explainer.classifier.preprocessing)
    with open_source(clip) as source:
        return torch.from_numpy(np.stack([prepare(frame)[0] for frame in source.frames(lambda packet: None)]))


def agreement_over(clip: Path, wanted: Sequence[Variant]) -> dict[str, dict[str, Any]]:
    """Compare each method and variant with the reference: equal best classes, and the cosines of the maps."""
    results = {}
    batch = usual_batch(torch.device("cpu"))
    for method in (name for name in LAYER_METHODS if METHODS[name].is_traceable):
        make = partial(Explainer, "efficientnet_lite0", method=method, device="cpu")
        reference = make(**REFERENCE._asdict())
        images = torch.split(frames_of(clip, reference), batch)
        expected = _answers(reference, images)
        for variant in wanted:
            explainer = make(**variant._asdict())
            explainer.expect(None, batch=batch)
            answers = _answers(explainer, images)
            if explainer.engine != variant.engine:
                continue
            pairs = [(a, e) for a, e in zip(answers, expected, strict=True) if a.best[0, 0] == e.best[0, 0]]
            cosines = [agreement([a], [e]).cosine for a, e in pairs]
            results[f"{method}, {variant}"] = {
                "frames": len(answers),
                "same_best": len(pairs),
                "least_cosine": min(cosines),
                "median_cosine": median(cosines),
            }
    return results


def _answers(explainer: Explainer, images: Sequence[Tensor]) -> list[Answer]:
    """Yield the answer for each picture, as a batch of one."""
    with explainer:
        batches = [explainer.answer(part) for part in images]
    return [
        Answer(*(output[index : index + 1] for output in answer.tensors))
        for answer in batches
        for index in range(len(answer.maps))
    ]


def main() -> None:
    """Print the tables, and write them as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(MODELS), help="comma-separated")
    parser.add_argument("--engine", choices=ENGINES, default="auto", help="auto for all")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="auto for all")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--clip", type=Path, help="a video to compare the maps on")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    device = find_device("auto", "shapes")
    wanted = variants(device, options.engine, options.precision)
    print_machine()
    overhead = {model: _measured(model, wanted, options) for model in options.models.split(",") if model}
    if overhead:
        print(f"Milliseconds a batch of {options.batch}, {TIMED}, {options.rounds} rounds, medians.\n")
        header = ["", "engine", "prediction", "explanation", "ratio", OWN, "explanation / that", "cosine"]
        print_table(header, [_row(model, row) for model, rows in overhead.items() for row in rows])
    precision = likely_fast(device)[0]
    floor_ms = 1000 * RESNET50_OPERATIONS * options.batch * product_seconds(precision, options.rounds)
    print(
        f"\nThe operations of {options.batch} x resnet50 at the rate of a matrix product: {floor_ms:.1f} ms {precision}"
    )
    frames = agreement_over(options.clip, [each for each in wanted if each != REFERENCE]) if options.clip else {}
    if frames:
        print(f"\nefficientnet_lite0, every frame of {options.clip.name}, against {REFERENCE}.\n")
        header = ["", "frames", "same best class", "least cosine", "median cosine"]
        print_table(header, [[name, *_of_frames(of)] for name, of in frames.items()])
    if options.json:
        settings = {"batch": options.batch, "rounds": options.rounds, "timed": TIMED, "floor_ms": floor_ms}
        write_json(options.json, {"settings": settings, "overhead": overhead, "frames": frames})


def _measured(model: str, wanted: Sequence[Variant], options: argparse.Namespace) -> list[dict[str, Any]]:
    make = partial(Explainer, model, weights=weights_of(model))
    classifier = load_model(model, weights=weights_of(model))
    if classifier.obstacle:
        wanted = list(dict.fromkeys(each._replace(engine="eager") for each in wanted))
    precisions = dict.fromkeys(each.precision for each in wanted if each.engine == "compiled")
    beside = plain_predictions(classifier, options.batch, precisions) if precisions else {}
    return measure_overhead(
        lambda variant: make(**variant._asdict()), wanted, options.batch, options.rounds, beside=beside
    )


def _row(model: str, row: dict[str, Any]) -> list[str]:
    own = row.get("beside_ms", {}).get(f"{OWN} {row['precision']}")
    explanation_ms = row["explanation_ms"]["p50"]
    return [
        model,
        f"{row['engine']} {row['precision']}",
        *(f"{row[f'{what}_ms']['p50']:.1f}" for what in ("prediction", "explanation")),
        f"{row['ratio']:.2f}",
        *([f"{own['p50']:.1f}", f"{explanation_ms / own['p50']:.2f}"] if own else ["-", "-"]),
        f"{row['cosine']:.5f}",
    ]


def _of_frames(of: dict[str, Any]) -> list[object]:
    return [of["frames"], of["same_best"], f"{of['least_cosine']:.6f}", f"{of['median_cosine']:.6f}"]


if __name__ == "__main__":
    main()

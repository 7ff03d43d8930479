"""How much does explaining every Nth frame save, and how accurate are the maps of the frames between?

    python -m benchmarks.every [CLIP...] [--every 2,3,5] [--seconds 4] [--rounds 5] [--json FILE]

Speed: whole runs into `null:`, rounds interleaved, by the first of the models. Accuracy: every frame is explained, and
its signed map is compared, by the cosine, with the earlier map moved along to it, by age in frames; `held` is the
cosine to the earlier map without moving it. Frames for which the best class has changed count as well.
efficientnet_lite0 and `shapes` have real weights. The random weights of other models give maps that hardly move with
the picture: they show the speed, not the accuracy.
"""

from __future__ import annotations

import argparse
from functools import partial
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.timing import print_machine, print_table, spread, weights_of
from livecam import Explainer, annotate, open_source
from livecam.bench.timing import interleaved, write_json
from livecam.explain.motion import Carrier

DEMO = "demo:?size=1280x720&fps=30&seed=1"


def measure_speed(
    clip: str, explainer: Explainer, spacings: list[int], seconds: float, rounds: int
) -> dict[str, dict[str, Any]]:
    """Return by spacing the frames per second of each round, and their ratio to explaining every frame."""
    run = partial(annotate, clip, "null:", explainer, duration_seconds=seconds)
    with explainer:
        frames = run().delivered
        times_ms = interleaved({str(every): partial(run, every=every) for every in (1, *spacings)}, rounds)
    return {
        every: {
            "fps": [1000 * frames / time_ms for time_ms in times],
            "ratio": [alone / time_ms for alone, time_ms in zip(times_ms["1"], times, strict=True)],
        }
        for every, times in times_ms.items()
    }


def measure_truth(clip: str, explainer: Explainer, spacings: list[int], seconds: float) -> dict[str, dict[str, Any]]:
    """Return by spacing how many frames were explained, and the cosines to each frame's own map by age in frames."""
    carriers = {every: Carrier(every) for every in spacings}
    results: dict[str, dict[str, Any]] = {str(every): {"explained": 0, "carried": {}, "held": {}} for every in carriers}
    sources = {}
    with open_source(clip, duration_seconds=seconds) as source, explainer:
        for frame in source.frames(lambda packet: None):
            own = explainer(frame)
            for every, carrier in carriers.items():
                (got,) = carrier.explanations([frame], lambda due, own=own: [own] * len(due))  # type: ignore[misc]
                result = results[str(every)]
                if not got.age_frames:
                    sources[every] = own
                    result["explained"] += 1
                    continue
                result["carried"].setdefault(got.age_frames, []).append(cosine(got.cam, own.cam))
                result["held"].setdefault(got.age_frames, []).append(cosine(sources[every].cam, own.cam))
    return results


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Return the cosine similarity of two maps; 1 if both are all 0."""
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float((one * other).sum()) / lengths if lengths else float(not one.any() and not other.any())


def print_truth(clip: str, model: str, results: dict[str, dict[str, Any]]) -> None:
    """Print a table with a row for each spacing and age."""
    rows: list[list[object]] = []
    for every, result in results.items():
        ages = {f"{age} old": (values, result["held"][age]) for age, values in sorted(result["carried"].items())}
        together = tuple(list(chain(*result[kind].values())) for kind in ("carried", "held"))
        for name, (carried, held) in {"all": together, **ages}.items():
            rows.append([every, name, len(carried), *(f"{np.mean(each):.4f}" for each in (carried, held))])
            rows[-1].append(f"{np.quantile(carried, 0.05):.4f}")
        rows[-len(ages) - 1][0] = f"{every}, {result['explained']} explained"
    print(f"\n{model} on {clip}: cosine to the frame's own map\n")
    print_table(["every", "frames", "carried", "mean", "held: mean", "5 % are below"], rows)


def main() -> None:
    """Print the tables, and write them as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", default=[DEMO])
    parser.add_argument("--models", default="efficientnet_lite0,shapes")
    parser.add_argument("--every", default="2,3,5")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    spacings = [int(every) for every in options.every.split(",")]
    explainers = {model: Explainer(model, weights=weights_of(model)) for model in options.models.split(",")}
    fastest = next(iter(explainers))
    results: list[dict[str, Any]] = []
    print_machine()
    for clip in options.clips:
        speed = measure_speed(clip, explainers[fastest], spacings, options.seconds, options.rounds)
        print(f"\n{fastest} on {clip}: {options.seconds:g} s of it, {options.rounds} rounds\n")
        print_table(
            ["every", "fps (median)", "least-most", "times every frame (median)"],
            [
                [n, f"{median(of['fps']):.1f}", spread(of["fps"]), f"{median(of['ratio']):.2f}"]
                for n, of in speed.items()
            ],
        )
        truth = {}
        for model, explainer in explainers.items():
            truth[model] = measure_truth(clip, explainer, spacings, options.seconds)
            print_truth(clip, model, truth[model])
        results.append({"clip": clip, "speed_of": fastest, "speed": speed, "cosines": truth})
    if options.json:
        write_json(options.json, {"seconds": options.seconds, "rounds": options.rounds, "clips": results})


if __name__ == "__main__":
    main()

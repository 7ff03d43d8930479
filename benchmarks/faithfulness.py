"""How good are the methods' maps? `python -m benchmarks.faithfulness --scenes 200 --seed 0 --json FILE`.

Every method explains, with the model `shapes`, unseen scenes of one shape, for the class of that shape:

points at it    the share of scenes in which the map's peak lies on the shape
deletion        pixels are blotted out in order of the map, the strongest first, a twentieth at a time; the mean score
                of the class over the way (the area under its curve). Low is good
insertion       the same the other way round: pixels come back into a picture that is blotted out. High is good.
                Petsiuk et al., "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC 2018
drop, increase  only what is hot is left, the heatmap being the opacity: by how much the score falls, max(0, y - o) / y,
                and in which share of the scenes it rises. Chattopadhyay et al., "Grad-CAM++", WACV 2018

Blotted out means the picture's mean colour. Maps are interpolated to the input's size, 160 x 160, first. The score is
the probability of the class. A random map, a map of the distance from the centre, and the visible shape itself serve as
baselines.

A star marks the layer that livecam chooses by itself. On a busy machine set OMP_WAIT_POLICY=PASSIVE, as livecam does
for itself: with busy-waiting threads the times would depend on other programs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import torch
from numpy.random import default_rng

from benchmarks.pointing import FRAME_SIZES, draw, points_at
from benchmarks.timing import print_machine, print_table
from benchmarks.witness import has_class
from livecam import Explainer
from livecam.bench.timing import interleaved, write_json
from livecam.explain.preprocess import Preprocessor
from livecam.explanation import ClassMap, Explanation
from livecam.models import Classifier, load_model
from livecam.names import LAYER_METHODS
from livecam.picture.frame import Frame

MODEL = "shapes"
LAYERS = ("evidence", "features")
FRAME_SIZE = FRAME_SIZES["16:9"]
STEPS = 20
CELLS = 21
"""The maps that are made up have so many cells each way: an odd number, so that the centre is one of them."""


@dataclass(frozen=True)
class Drawn:
    """A frame (H, W, 3) uint8 RGB of a scene of one shape, the shape's visible pixels (H, W) bool, and its class."""

    frame: np.ndarray
    mask: np.ndarray
    target: int


Explain = Callable[[Drawn], Explanation]


class Judge:
    """Scores pictures of the model's input size."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._preprocess = Preprocessor(classifier.preprocessing)

    def input_of(self, frame: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 RGB -> (h, w, 3) float32 in 0..255, as the model gets it."""
        return self._preprocess(Frame.from_rgb(frame))[0].astype(np.float32)

    def scores(self, pictures: np.ndarray, target: int) -> np.ndarray:
        """(N, h, w, 3) float in 0..255 -> the probability of the class in each."""
        preprocessing = self._classifier.preprocessing
        normalised = (pictures / 255 - preprocessing.mean) / preprocessing.std
        with torch.inference_mode():
            logits = self._classifier.module(torch.from_numpy(normalised).permute(0, 3, 1, 2).float())
        probabilities = logits.sigmoid() if self._classifier.scores == "sigmoid" else logits.softmax(dim=1)
        return probabilities[:, target].numpy()


def judged(judge: Judge, drawn: Drawn, explanation: Explanation) -> dict[str, float]:
    """Return the figures of one map."""
    picture = judge.input_of(drawn.frame)
    blotted = np.broadcast_to(picture.mean(axis=(0, 1)), picture.shape)
    height, width = picture.shape[:2]
    # In order of the signed map, which is the heat's where there is any, and goes on below it.
    order = np.argsort(-_resized(explanation.cam, width, height), axis=None, kind="stable")
    rank = np.empty(order.size)
    rank[order] = np.arange(order.size) / order.size
    taken = (rank.reshape(height, width) < np.linspace(0, 1, STEPS + 1)[:, None, None])[..., None]
    hot = _resized(explanation.heatmap, width, height)[None, :, :, None]
    pictures = [
        np.where(taken, blotted, picture),
        np.where(taken, picture, blotted),
        hot * picture + (1 - hot) * blotted,
    ]
    scores = judge.scores(np.concatenate(pictures), drawn.target)
    deletion, insertion, only_hot = np.split(scores, [STEPS + 1, 2 * STEPS + 2])
    whole, left = float(deletion[0]), float(only_hot[0])
    return {
        "points": points_at(explanation.peak, drawn.mask),
        "deletion": _area(deletion),
        "insertion": _area(insertion),
        "drop": max(0.0, whole - left) / whole,
        "increase": left > whole,
    }


def _resized(cam: np.ndarray, width: int, height: int) -> np.ndarray:
    return cv2.resize(cam, (width, height), interpolation=cv2.INTER_LINEAR)


def _area(curve: np.ndarray) -> float:
    """Return the area under a curve over 0..1, by trapezoids."""
    return float((curve[1:] + curve[:-1]).mean() / 2)


def made_up(seed: int) -> dict[str, Explain]:
    """Return the baselines: a random map, the distance from the centre, and the visible shape."""
    rng = default_rng(seed)
    offset = np.linspace(-1, 1, CELLS)
    centre = 1 - np.hypot(offset, offset[:, None]) / np.sqrt(2)

    def explain(make: Callable[[Drawn], np.ndarray], drawn: Drawn) -> Explanation:
        cam = make(drawn).astype(np.float32)
        return Explanation(
            classes=(ClassMap(index=drawn.target, label="", title="", score=0.0, cam=cam, heatmap=cam),), predictions=()
        )

    return {
        "chance": partial(explain, lambda drawn: rng.random((CELLS, CELLS))),
        "centre": partial(explain, lambda drawn: centre),
        "the shape itself": partial(explain, lambda drawn: drawn.mask),
    }


def explained_by(explainer: Explainer, drawn: Drawn) -> Explanation:
    """Return the map of the shape's class, or of no class if the method ignores classes."""
    return explainer(drawn.frame, target=drawn.target if has_class(explainer.method) else None)


def scenes(count: int, seed: int) -> Iterator[Drawn]:
    """Yield scenes of one shape each, unseen in training."""
    rng = default_rng(seed)
    for _ in range(count):
        frame, masks, (target,) = draw(rng, 1, FRAME_SIZE)
        yield Drawn(frame, masks[0], target)


def measure(rows: dict[str, Explain], count: int, seed: int) -> dict[str, dict[str, float]]:
    """Return the mean of each figure over the scenes, for each row."""
    judge = Judge(load_model(MODEL))
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in rows}
    for drawn in scenes(count, seed):
        for name, explain in rows.items():
            figures[name].append(judged(judge, drawn, explain(drawn)))
    return {
        name: {figure: float(np.mean([one[figure] for one in of])) for figure in of[0]} for name, of in figures.items()
    }


def main() -> None:
    """Print the table, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=20, help="of the timing")
    parser.add_argument("--methods", default=",".join(LAYER_METHODS), help="comma-separated, from this list")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with ExitStack() as stack:
        rows: dict[str, Explain] = {
            f"{method} at {layer}{'*' if layer == Explainer(MODEL, method=method).layer else ''}": partial(
                explained_by, stack.enter_context(Explainer(MODEL, method=method, layer=layer))
            )
            for layer in LAYERS
            for method in options.methods.split(",")
        }
        figures = measure(made_up(options.seed) | rows, options.scenes, options.seed)
        example = next(scenes(1, options.seed))
        times_ms = interleaved({name: partial(explain, example) for name, explain in rows.items()}, options.rounds)
    report(figures, {name: median(times) for name, times in times_ms.items()}, options)


def report(figures: dict[str, dict[str, float]], median_ms: dict[str, float], options: argparse.Namespace) -> None:
    """Print the table, and write the JSON if asked to."""
    print_machine()
    width, height = FRAME_SIZE
    print(f"{MODEL}, {options.scenes} scenes of one shape, {width}x{height}, seed {options.seed}\n")
    header = ["", "points at it", "deletion", "insertion", "drop", "increase", "ms a frame"]
    print_table(header, [_row(name, of, median_ms.get(name)) for name, of in figures.items()])
    if options.json:
        settings = {"model": MODEL, "scenes": options.scenes, "seed": options.seed, "rounds": options.rounds}
        write_json(options.json, {"settings": settings, "figures": figures, "median_ms": median_ms})


def _row(name: str, of: dict[str, float], time_ms: float | None) -> Sequence[Any]:
    return [
        name,
        f"{of['points']:.1%}",
        f"{of['deletion']:.3f}",
        f"{of['insertion']:.3f}",
        f"{of['drop']:.1%}",
        f"{of['increase']:.1%}",
        "" if time_ms is None else f"{time_ms:.1f}",
    ]


if __name__ == "__main__":
    main()

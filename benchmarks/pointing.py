"""Does the heatmap point at what it explains? ``python -m benchmarks.pointing --scenes 1000 --seed 0 --json FILE``.

Scenes of one and of two shapes are drawn at full size, squeezed to the model's input, and explained. A map hits if the
centre of its highest cell, seen from the whole picture, lies on the visible pixels of the class's own shape.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.random import Generator, default_rng

from benchmarks.timing import print_machine
from livecam import Explainer
from livecam.bench.timing import write_json
from livecam.scene import SHAPES, Scene

FRAME_SIZES = {"16:9": (1280, 720), "4:3": (960, 720), "1:1": (720, 720)}
UNSEEN = 1 << 41  # the first of the seeds that training and its validation never draw
SCENE_SECONDS = 60.0

Measure = Callable[[Explainer, tuple[int, int], int, int], dict[str, float]]
"""Returns shares in [0, 1] for an explainer, the width and height of frames, a number of scenes, and a seed."""


def points_at(peak: tuple[float, float] | None, mask: np.ndarray) -> bool:
    """Return True if a peak, in fractions of the picture, lies on a mask, ``(H, W)`` bool; False without a peak."""
    if peak is None:
        return False
    height, width = mask.shape
    x, y = peak
    return bool(mask[int(y * height), int(x * width)])


def draw(rng: Generator, shapes: int, frame_size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Draw a random scene: a frame ``(H, W, 3)`` uint8 RGB, its shapes' masks ``(n, H, W)`` bool, and their classes."""
    targets = rng.permutation(len(SHAPES))[:shapes].tolist()
    seed = int(rng.integers(UNSEEN, 2 * UNSEEN))
    scene = Scene(seed, tuple(SHAPES[target] for target in targets), *frame_size)
    time_seconds = rng.uniform(0, SCENE_SECONDS)
    return scene.render(time_seconds), scene.masks(time_seconds), targets


def measure(explainer: Explainer, frame_size: tuple[int, int], scenes: int, seed: int) -> dict[str, float]:
    """Return the shares in [0, 1] for frames of a size, width and height in pixels."""
    rng = default_rng(seed)
    right, alone, paired = [], [], []
    for _ in range(scenes):
        frame, masks, (target,) = draw(rng, 1, frame_size)
        explanation = explainer(frame)
        right.append(explanation.index == target)
        alone.append(points_at(explanation.peak, masks[0]))
        frame, masks, targets = draw(rng, 2, frame_size)
        explanation = explainer(frame, target=targets)
        paired += [
            points_at(explanation.peak_of(one), mask) for one, mask in zip(explanation.classes, masks, strict=True)
        ]
    return {
        "one shape: top-1 right": float(np.mean(right)),
        "one shape: top-1 map points at it": float(np.mean(alone)),
        "two shapes: each map points at its own": float(np.mean(paired)),
    }


def report(model: str, description: str | None, measure: Measure, scenes: int) -> None:
    """Measure the heatmaps of a model by the arguments of the command line; print a table, and write JSON if asked."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--scenes", type=int, default=scenes)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with Explainer(model) as explainer:
        results = {name: measure(explainer, size, options.scenes, options.seed) for name, size in FRAME_SIZES.items()}
    print_machine()
    print(f"{options.scenes} scenes each".ljust(40) + "".join(name.rjust(8) for name in results))
    for measured in next(iter(results.values())):
        print(measured.ljust(40) + "".join(f"{result[measured]:8.1%}" for result in results.values()))
    if options.json:
        write_json(options.json, {"scenes": options.scenes, "seed": options.seed, "shares": results})


def main() -> None:
    """Print the shares as a table, and write them as JSON if asked to."""
    report("shapes", __doc__, measure, scenes=1000)


if __name__ == "__main__":
    main()

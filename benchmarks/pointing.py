"""Does the heatmap point at what it explains? ``python benchmarks/pointing.py --scenes 1000 --seed 0 --json FILE``.

Scenes of one and of two shapes are drawn at full size, squeezed to the model's input, and explained. A map hits if the
centre of its highest cell, seen from the whole picture, lies on the visible pixels of the class's own shape.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.random import Generator, default_rng

from livecam.models.shapes import INPUT_SIZE, MEAN, STD, ShapesNet, load
from livecam.scene import SHAPES, Scene

FRAME_SIZES = {"16:9": (1280, 720), "4:3": (960, 720), "1:1": (720, 720)}
UNSEEN = 1 << 41  # the first of the seeds that training and its validation never draw
SCENE_SECONDS = 60.0


def prepare(frame: np.ndarray) -> torch.Tensor:
    """``(H, W, 3)`` uint8 RGB of any size to the model's ``(1, 3, h, w)`` float32."""
    squeezed = cv2.resize(frame, INPUT_SIZE[::-1], interpolation=cv2.INTER_AREA)
    normalised = (torch.from_numpy(squeezed) / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    return normalised.permute(2, 0, 1)[None]


def explain(model: ShapesNet, frame: np.ndarray, targets: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """The logits ``(K,)`` and signed Grad-CAM maps ``(n, h, w)`` float32, of the targets or else of the top class."""
    evidence = model.evidence(model.features(prepare(frame)))
    logits = model.pool(evidence)[0]
    maps = []
    for target in targets or [int(logits.argmax())]:
        (gradient,) = torch.autograd.grad(logits[target], evidence, retain_graph=True)
        maps.append((gradient.mean((2, 3), keepdim=True) * evidence).sum(1)[0])
    return logits.detach().numpy(), torch.stack(maps).detach().numpy()


def peak_on_mask(cam: np.ndarray, mask: np.ndarray) -> bool:
    """Whether the highest cell of a map, ``(h, w)``, lies on a mask, ``(H, W)`` bool; a dark map misses."""
    row, column = np.unravel_index(cam.argmax(), cam.shape)
    y, x = ((np.array([row, column]) + 0.5) / cam.shape * mask.shape).astype(int)
    return bool(cam.max() > 0 and mask[y, x])


def draw(rng: Generator, shapes: int, frame_size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """A frame ``(H, W, 3)`` uint8 RGB of a random scene, its shapes' masks ``(n, H, W)`` bool, and their classes."""
    targets = rng.permutation(len(SHAPES))[:shapes].tolist()
    seed = int(rng.integers(UNSEEN, 2 * UNSEEN))
    scene = Scene(seed, tuple(SHAPES[target] for target in targets), *frame_size)
    time_seconds = rng.uniform(0, SCENE_SECONDS)
    return scene.render(time_seconds), scene.masks(time_seconds), targets


def measure(model: ShapesNet, frame_size: tuple[int, int], scenes: int, seed: int) -> dict[str, float]:
    """Shares in [0, 1] for frames of a size, width and height in pixels."""
    rng = default_rng(seed)
    right, alone, paired = [], [], []
    for _ in range(scenes):
        frame, masks, (target,) = draw(rng, 1, frame_size)
        logits, cams = explain(model, frame, [])
        right.append(logits.argmax() == target)
        alone.append(peak_on_mask(cams[0], masks[0]))
        frame, masks, targets = draw(rng, 2, frame_size)
        _, cams = explain(model, frame, targets)
        paired += [peak_on_mask(cam, mask) for cam, mask in zip(cams, masks, strict=True)]
    return {
        "one shape: top-1 right": float(np.mean(right)),
        "one shape: top-1 map points at it": float(np.mean(alone)),
        "two shapes: each map points at its own": float(np.mean(paired)),
    }


def main() -> None:
    """Print the shares as a table, and write them as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    model = load()
    results = {name: measure(model, size, options.scenes, options.seed) for name, size in FRAME_SIZES.items()}
    print(f"{options.scenes} scenes each".ljust(40) + "".join(name.rjust(8) for name in results))
    for measured in next(iter(results.values())):
        print(measured.ljust(40) + "".join(f"{result[measured]:8.1%}" for result in results.values()))
    if options.json:
        report = {"scenes": options.scenes, "seed": options.seed, **results}
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""Does the heatmap of a real classifier point at the dog? `python -m benchmarks.pasted [--clip FILE] --json FILE`.

Dogs are cut out along an outline drawn by hand, and pasted in a random size and at a random place, in half of the
scenes mirrored, onto random backgrounds of three kinds: noise of several octaves, stripes, and blurred colours. There
is a bulldog of a photograph. With the clip of a dog from the demo of SAM 2, there are also two frames of that dog.

efficientnet_lite0 is right if its best class is one of ImageNet's dogs. Then the map of this class is looked at, in the
pointing game of "Top-down Neural Attention by Excitation Backprop" (Zhang et al., 2016): is the centre of its highest
cell in the box of the dog, or at most 15 pixels beside it? And more strictly: is it on the dog itself? Chance is what a
random point would reach. A map of 7 x 7 cells is coarse here: a cell is 91 x 69 pixels of a scene, and a dog is 168 to
336 pixels long.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator, default_rng
from PIL import Image

from benchmarks.pointing import points_at
from benchmarks.timing import print_machine, print_table
from livecam import Explainer, open_source
from livecam.bench.timing import write_json

PHOTOGRAPH = Path(__file__).parents[1] / "tests" / "data" / "dog.jpg"
# fmt: off
BULLDOG = (
    (115, 152), (121, 136), (136, 133), (150, 143), (186, 138), (207, 146), (224, 155), (238, 162), (244, 180),
    (254, 192), (238, 196), (232, 207), (210, 230), (190, 238), (172, 247), (168, 285), (160, 320), (0, 320), (0, 262),
    (30, 238), (62, 213), (92, 186), (125, 166),
)
"""The outline of the dog in the photograph: (x, y) in pixels."""
FRAMES_OF_THE_CLIP = {
    0: (
        (444, 405), (455, 387), (475, 382), (500, 382), (530, 390), (560, 396), (600, 392), (640, 390), (672, 398),
        (694, 420), (699, 445), (690, 470), (678, 490), (682, 515), (680, 530), (660, 548), (640, 545), (652, 520),
        (630, 490), (610, 470), (590, 472), (570, 480), (556, 500), (562, 525), (558, 540), (535, 538), (542, 515),
        (530, 500), (512, 528), (505, 505), (530, 480), (525, 465), (505, 450), (480, 440), (455, 432),
    ),
    240: (
        (598, 555), (622, 530), (618, 485), (632, 472), (662, 475), (690, 480), (712, 465), (740, 445), (770, 430),
        (800, 420), (840, 420), (880, 428), (905, 424), (918, 440), (912, 460), (908, 500), (912, 545), (918, 590),
        (905, 592), (890, 545), (870, 545), (850, 580), (845, 605), (825, 605), (838, 570), (815, 540), (790, 545),
        (775, 560), (785, 610), (788, 625), (760, 628), (765, 600), (740, 570), (720, 555), (690, 580), (660, 610),
        (655, 622), (632, 620), (650, 595), (690, 555), (672, 535), (655, 540), (645, 560), (620, 566),
    ),
}
"""The outline of the dog in frames of the clip, by their index."""
# fmt: on
DOGS = range(151, 269)
"""The classes of ImageNet that are breeds of dogs."""
WIDTH, HEIGHT = 640, 480
TOLERANCE_PIXELS = 15
"""How far a peak may be beside the box of the dog."""
SIZES = (0.35, 0.7)
"""The least and the greatest length of the dog's longer side, as a fraction of the scene's height."""
WAYS: tuple[tuple[str, str | None], ...] = (("gradcam", None), ("gradcam++", None), ("layercam", "_blocks.10"))
"""Methods and layers; None for the layer that livecam chooses. The last block of 14 x 14 cells is `_blocks.10`."""


class Dog(NamedTuple):
    """A dog that is cut out: its box (h, w, 3) uint8 RGB, and the pixels of the dog in it, (h, w) bool."""

    picture: np.ndarray
    mask: np.ndarray


def cut_out(picture: np.ndarray, outline: Sequence[tuple[int, int]]) -> Dog:
    """Cut a dog out of a picture (H, W, 3) along its outline."""
    points = np.array(outline)
    mask = cv2.fillPoly(np.zeros(picture.shape[:2], np.uint8), [points], 1).astype(bool)
    x, y, width, height = cv2.boundingRect(points)
    box = slice(y, y + height), slice(x, x + width)
    return Dog(picture[box], mask[box])


def dogs(clip: Path | None) -> list[Dog]:
    """Return the dog of the photograph, and those of the clip if there is one."""
    found = [cut_out(np.asarray(Image.open(PHOTOGRAPH).convert("RGB")), BULLDOG)]
    if clip is not None:
        with open_source(clip) as source:
            frames = islice(source.frames(lambda packet: None), max(FRAMES_OF_THE_CLIP) + 1)
            found += [
                cut_out(frame.picture.to_ndarray(format="rgb24"), FRAMES_OF_THE_CLIP[frame.index])
                for frame in frames
                if frame.index in FRAMES_OF_THE_CLIP
            ]
    return found


def octaves(rng: Generator) -> np.ndarray:
    """Return noise of six octaves, (HEIGHT, WIDTH, 3) float32."""
    layers = [_grown(rng.uniform(-1, 1, (3 * 2**octave, 4 * 2**octave, 3))) / 2**octave for octave in range(6)]
    return np.sum(layers, axis=0) * 80 + rng.uniform(60, 200, 3)


def stripes(rng: Generator) -> np.ndarray:
    """Return stripes of two colours, of a random width and direction, (HEIGHT, WIDTH, 3) float32."""
    angle, width_pixels = rng.uniform(0, np.pi), rng.uniform(8, 60)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    is_one = (rows * np.sin(angle) + columns * np.cos(angle)) % (2 * width_pixels) < width_pixels
    one, other = rng.uniform(0, 255, (2, 3))
    return np.where(is_one[:, :, None], one, other)


def blurred_colours(rng: Generator) -> np.ndarray:
    """Return soft patches of colour, (HEIGHT, WIDTH, 3) float32."""
    return _grown(rng.uniform(0, 255, (6, 8, 3)))


BACKGROUNDS = (octaves, stripes, blurred_colours)


def scene(rng: Generator, dog: Dog, background: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Paste a dog onto a background; return the frame (HEIGHT, WIDTH, 3) uint8 RGB, and the dog's pixels in it."""
    height, width = dog.mask.shape
    scale = rng.uniform(*SIZES) * HEIGHT / max(height, width)
    size = round(width * scale), round(height * scale)
    picture = cv2.resize(dog.picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    mask = cv2.resize(dog.mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(bool)
    if rng.random() < 0.5:
        picture, mask = picture[:, ::-1], mask[:, ::-1]
    x, y = rng.integers(WIDTH - size[0] + 1), rng.integers(HEIGHT - size[1] + 1)
    box = slice(y, y + size[1]), slice(x, x + size[0])
    frame = np.clip(background, 0, 255).astype(np.uint8)
    frame[box][mask] = picture[mask]
    visible = np.zeros((HEIGHT, WIDTH), bool)
    visible[box] = mask
    return frame, visible


def scenes(count: int, seed: int, clip: Path | None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return scenes, each a frame and its dog's pixels, with dogs and backgrounds in turn."""
    rng, found = default_rng(seed), dogs(clip)
    return [
        scene(rng, found[number // len(BACKGROUNDS) % len(found)], BACKGROUNDS[number % len(BACKGROUNDS)](rng))
        for number in range(count)
    ]


def measure(explainer: Explainer, drawn: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Return in how many scenes the model is right, and shares of these in [0, 1], of the map and by chance."""
    told = [(explainer(frame), mask) for frame, mask in drawn]
    right = [(explanation, mask) for explanation, mask in told if explanation.index in DOGS]
    areas = [_area_of_the_game(mask) for _, mask in right]
    return {
        "right": len(right),
        "game": _mean([points_at(explanation.peak, area) for (explanation, _), area in zip(right, areas, strict=True)]),
        "game by chance": _mean([area.mean() for area in areas]),
        "centre": _mean([points_at(explanation.peak, mask) for explanation, mask in right]),
        "centre by chance": _mean([mask.mean() for _, mask in right]),
    }


def _area_of_the_game(mask: np.ndarray) -> np.ndarray:
    """Return the box around a mask (H, W) and what is at most `TOLERANCE_PIXELS` beside it, (H, W) bool."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    area = np.zeros_like(mask)
    area[
        max(y - TOLERANCE_PIXELS, 0) : y + height + TOLERANCE_PIXELS,
        max(x - TOLERANCE_PIXELS, 0) : x + width + TOLERANCE_PIXELS,
    ] = True
    return area


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 0.0


def _grown(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture.astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def main() -> None:
    """Print the shares as a table, and write them as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clip", type=Path, help="the clip of the dog from the demo of SAM 2")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    drawn = scenes(options.scenes, options.seed, options.clip)
    results = {}
    for method, layer in WAYS:
        with Explainer("efficientnet_lite0", method=method, layer=layer, engine="eager") as explainer:
            results[f"{method} at {explainer.layer}{'' if layer else '*'}"] = measure(explainer, drawn)
    print_machine()
    print(f"{options.scenes} scenes\n")
    print_table(
        ("", "the model is right", "pointing game", "by chance", "peak on the dog itself", "by chance"),
        [(way, of["right"], *(f"{of[share]:.1%}" for share in list(of)[1:])) for way, of in results.items()],
    )
    if options.json:
        write_json(options.json, {"scenes": options.scenes, "seed": options.seed, "ways": results})


if __name__ == "__main__":
    main()

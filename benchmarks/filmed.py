"""Does `--target dog` point at the dog of a film? `python -m benchmarks.filmed --clip FILE --json FILE`.

The clip is that of a dog from the demo of SAM 2, 1280x720. It shows the dog in 259 of its 289 frames; boxes around it
were drawn by hand, the motion between them is linear. The heat is made steady, as in `livecam annotate`.

A heatmap hits in the box if its highest pixel, as it is drawn over the frame, is in the box. It touches if the cell of
the map that is highest and the box have a point in common. Chance is what a random pixel or a random cell would reach.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from benchmarks.timing import print_machine, print_table
from livecam import Explainer, open_source
from livecam.bench.timing import write_json
from livecam.explain.heat import Steadiness
from livecam.explanation import Explanation
from livecam.picture.frame import Frame


class Box(NamedTuple):
    """A box around a dog in pixels."""

    left: float
    top: float
    right: float
    bottom: float


PHOTOGRAPH = Path(__file__).parents[1] / "tests" / "data" / "dog.jpg"
BOX_OF_THE_PHOTOGRAPH = Box(0.0, 0.41, 0.54, 1.0)
"""In shares of its width and height."""
# fmt: off
BOXES = {
    0: Box(444, 380, 700, 548), 10: Box(450, 358, 695, 532), 20: Box(478, 322, 705, 538), 30: Box(548, 328, 714, 526),
    40: Box(595, 343, 832, 542), 45: Box(680, 282, 876, 532), 50: Box(790, 250, 1050, 530),
    55: Box(828, 320, 1122, 538), 60: Box(932, 392, 1228, 548), 63: Box(1024, 392, 1280, 548),
    66: Box(1124, 398, 1280, 536), 68: Box(1164, 398, 1280, 528), 70: Box(1206, 398, 1280, 520),
    71: Box(1238, 400, 1280, 516), 72: Box(1268, 410, 1280, 500),
    103: Box(1216, 402, 1280, 490), 105: Box(1172, 402, 1280, 500), 107: Box(1132, 396, 1280, 525),
    110: Box(1080, 378, 1280, 562), 120: Box(884, 384, 1200, 553), 130: Box(692, 384, 1034, 556),
    140: Box(502, 388, 772, 560), 150: Box(392, 382, 650, 558), 160: Box(358, 352, 596, 552),
    170: Box(378, 328, 626, 552), 180: Box(444, 352, 620, 540), 190: Box(552, 348, 835, 548),
    200: Box(702, 272, 938, 532), 205: Box(762, 264, 1010, 534), 210: Box(756, 298, 1002, 534),
    215: Box(794, 378, 970, 538), 220: Box(745, 400, 972, 540), 230: Box(752, 398, 906, 594),
    240: Box(598, 414, 922, 628), 250: Box(484, 426, 820, 628), 260: Box(412, 400, 690, 612),
    270: Box(438, 378, 726, 602), 280: Box(466, 382, 650, 580), 284: Box(512, 382, 672, 580),
    288: Box(490, 374, 700, 562),
}
"""The dog in frames of the clip, by their index. It is out of the picture after frame 72 and before frame 103."""
# fmt: on
AWAY = range(73, 103)
WAYS = (
    {"target": "top1"},
    {"target": "dog"},
    {"target": "dog", "preprocessing": {"size": (160, 288)}},
    {"target": "dog", "method": "layercam", "layer": "_blocks.10"},
    {"target": "dog", "method": "layercam", "layer": "_blocks.10,_swish"},
)
"""What is asked; the layer that livecam chooses has 7x7 cells, and `_blocks.10` is the last block of 14x14.

An input of 288x160 has the shape of the clip and fewer pixels than the model's own of 224x224.
"""


def box_in(index: int) -> Box | None:
    """Return the box of the dog in a frame of the clip; None if the frame does not show it."""
    if index in AWAY:
        return None
    before, after = next((before, after) for before, after in pairwise(BOXES) if before <= index <= after)
    share = (index - before) / (after - before)
    return Box(*(share * there + (1 - share) * here for here, there in zip(BOXES[before], BOXES[after], strict=True)))


def drawn_peak(explanation: Explanation, width: int, height: int) -> tuple[int, int]:
    """Return the (x, y) of the highest pixel of the heat as it is drawn over a frame of this size."""
    drawn = cv2.resize(explanation.heatmap, (width, height), interpolation=cv2.INTER_CUBIC)
    y, x = np.unravel_index(int(drawn.argmax()), drawn.shape)
    return int(x), int(y)


def touches(explanation: Explanation, box: Box, width: int, height: int) -> np.ndarray:
    """Return which cells of the map have a point in common with a box, (h, w) bool."""
    rows, columns = explanation.heatmap.shape
    left, top = np.arange(columns) * width / columns, np.arange(rows) * height / rows
    across = (left <= box.right) & (left + width / columns >= box.left)
    down = (top <= box.bottom) & (top + height / rows >= box.top)
    return down[:, None] & across


def measure(explained: Sequence[tuple[Explanation, Box]], width: int, height: int) -> dict[str, float]:
    """Return the shares in [0, 1] of explanations that hit the box, or touch it, and those by chance."""
    hits, touched, chances, chances_of_cells = [], [], [], []
    for explanation, box in explained:
        x, y = drawn_peak(explanation, width, height)
        cells = touches(explanation, box, width, height)
        hits.append(box.left <= x <= box.right and box.top <= y <= box.bottom)
        touched.append(explanation.heatmap[cells].max() == explanation.heatmap.max())
        chances.append((box.right - box.left) * (box.bottom - box.top) / (width * height))
        chances_of_cells.append(cells.mean())
    return {
        "in the box": float(np.mean(hits)),
        "by chance": float(np.mean(chances)),
        "touches": float(np.mean(touched)),
        "touches by chance": float(np.mean(chances_of_cells)),
        "frames": len(hits),
    }


def filmed(explainer: Explainer, frames: Sequence[Frame]) -> list[tuple[Explanation, Box]]:
    """Return the steady explanations of the frames that show the dog, with its box."""
    steady = Steadiness(explainer.heat_options)
    explained = [(steady(frame, explainer.explain([frame], heat=False)[0]), box_in(frame.index)) for frame in frames]
    return [(explanation, box) for explanation, box in explained if box is not None]


def photographed(explainer: Explainer) -> dict[str, float]:
    """Return the shares for the photograph."""
    picture = np.asarray(Image.open(PHOTOGRAPH).convert("RGB"))
    height, width = picture.shape[:2]
    left, top, right, bottom = BOX_OF_THE_PHOTOGRAPH
    box = Box(left * width, top * height, right * width, bottom * height)
    return measure([(explainer(picture), box)], width, height)


def main() -> None:
    """Print the shares as a table, and write them as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, help="the clip of the dog from the demo of SAM 2")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    frames: list[Frame] = []
    if options.clip:
        with open_source(options.clip) as source:
            frames = list(source.frames(lambda packet: None))
    results = {}
    for way in WAYS:
        with Explainer("efficientnet_lite0", engine="eager", **way) as explainer:
            height, width = explainer.classifier.preprocessing.size
            where = f"{explainer.layer}{'' if 'layer' in way else '*'} of {width}x{height}"
            name = f"{way['target']}: {explainer.method} at {where}"
            results[f"{name}, photograph"] = photographed(explainer)
            if frames:
                results[f"{name}, clip"] = measure(filmed(explainer, frames), *frames[0].upright_size)
    print_machine()
    print_table(
        ("", "frames", "peak in the box of the dog", "by chance", "its cell touches the box", "by chance"),
        [(way, of["frames"], *(f"{of[share]:.1%}" for share in list(of)[:-1])) for way, of in results.items()],
    )
    if options.json:
        write_json(options.json, {"ways": results})


if __name__ == "__main__":
    main()

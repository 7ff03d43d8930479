"""Each cell of a map is drawn in the middle of what it looks at."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from torch import Tensor, nn

from livecam import Explainer, Style
from livecam.models import Preprocessing
from livecam.picture.frame import Frame
from livecam.picture.region import Region
from livecam.render import Renderer
from tests.support.explanations import explanation_of

SIDE, CELLS = 64, 8
FIELD = 7 / 2 / SIDE
"""How far beside its place a cell looks after three convolutions with stride 2, half a pixel times 1 + 2 + 4."""


class Brightness(nn.Module):
    """Three convolutions that average, and a score for bright pixels."""

    def __init__(self, padding: nn.Module) -> None:
        super().__init__()
        layers = (each for _ in range(3) for each in (padding, nn.Conv2d(1, 1, 3, 2, bias=False)))
        self.features = nn.Sequential(*layers)
        for parameter in self.parameters():
            nn.init.constant_(parameter, 1 / 9)

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x.mean(dim=1, keepdim=True)).mean(dim=(2, 3))


PADDINGS = {"ResNet": (nn.ZeroPad2d(1), -FIELD), "TensorFlow": (nn.ZeroPad2d((0, 1, 0, 1)), FIELD)}
OPTIONS: dict[str, Any] = {
    "preprocessing": Preprocessing(size=(SIDE, SIDE), mean=(0, 0, 0), std=(1, 1, 1), resize=SIDE),
    "target": lambda output: output[:, 0],
    "engine": "eager",
}


@pytest.mark.parametrize("family", PADDINGS)
def test_the_middle_of_the_heat_is_on_a_bright_dot(family: str) -> None:
    padding, offset = PADDINGS[family]
    aligned, even = (Explainer(Brightness(padding), **OPTIONS, align=align) for align in (True, False))
    dots = [(place, place) for place in range(24, 40)]  # over two cells
    distances: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for x, y in dots:
        picture = np.zeros((SIDE, SIDE, 3), np.uint8)
        picture[y, x] = 255
        for explainer in (aligned, even):
            told = explainer(picture)
            heat = np.maximum(told.cam, 0)
            left, top, right, bottom = told.region
            places = (np.arange(CELLS) + 0.5) / CELLS
            middle = (
                left + (right - left) * (heat.sum(0) @ places) / heat.sum(),
                (top + (bottom - top) * (heat.sum(1) @ places) / heat.sum()),
            )
            distances[explainer is aligned].append(np.array(middle) - ((x + 0.5) / SIDE, (y + 0.5) / SIDE))
    assert np.mean(distances[True], axis=0) == pytest.approx([0, 0], abs=0.25 / SIDE)
    assert np.mean(distances[False], axis=0) == pytest.approx([-offset, -offset], abs=0.25 / SIDE)


def test_region_and_seen_follow_the_fit() -> None:
    padding, offset = PADDINGS["TensorFlow"]
    explainer = Explainer(Brightness(padding), **OPTIONS, fit="crop")
    told = explainer(np.zeros((SIDE, 2 * SIDE, 3), np.uint8))
    assert told.seen == Region(0.25, 0.0, 0.75, 1.0)
    assert told.region == pytest.approx((0.25 + offset / 2, offset, 0.75 + offset / 2, 1 + offset))
    fused = Explainer(Brightness(padding), **OPTIONS, layer="features.1,features.5")
    assert fused(np.zeros((SIDE, SIDE, 3), np.uint8)).region.left == pytest.approx((offset + 1 / 2 / SIDE) / 2)


@pytest.mark.parametrize("view", ["overlay", "heatmap", "raw", "tints"])
def test_heat_is_moved_within_what_the_model_saw(view: str) -> None:
    """By half a cell of 8: as much as the picture of the map moves, what is uncovered is like its border."""
    random = np.random.default_rng(0).uniform(0.2, 1, (CELLS, CELLS)).astype(np.float32)
    seen = Region(0.25, 0.0, 0.75, 1.0)
    even = explanation_of(random, region=seen)
    moved = dataclasses.replace(even, region=Region(0.25 + 1 / 32, 1 / 16, 0.75 + 1 / 32, 1 + 1 / 16))
    frame = Frame.from_rgb(np.full((256, 512, 3), 90, np.uint8))
    draw = Renderer("gbrp", Style(view=view, blend="uniform", caption=False))
    before, after = (draw(frame, told).to_ndarray(format="rgb24").astype(int) for told in (even, moved))
    assert np.array_equal(after[:, :124], before[:, :124])  # beside what the model saw
    assert np.array_equal(after[:, 388:], before[:, 388:])
    if view != "tints":  # the outlines of which end elsewhere
        assert np.abs(after[24:, 152:380] - before[8:-8, 136:-148][: 256 - 24]).mean() < 3
        if view == "raw":
            assert np.array_equal(after[:30, 140:370], np.repeat(after[:1, 140:370], 30, axis=0))

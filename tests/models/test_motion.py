"""The classifier `motion` says how a shape moves, and its heat is on that shape while it moves."""

from __future__ import annotations

import pytest
import torch

from benchmarks.motion import MEASURED, measure
from livecam import Explainer
from livecam.models import load_model
from livecam.models.motion import FRAMES, FRAMES_PER_SECOND, LABELS, WEIGHTS
from livecam.motion_scene import MOTIONS, MotionScene


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    return Explainer("motion", engine="eager", precision="fp32")


def test_the_shipped_weights_are_small_and_plain() -> None:
    assert WEIGHTS.stat().st_size <= 1_000_000
    assert all(isinstance(value, torch.Tensor) for value in torch.load(WEIGHTS, weights_only=True).values())
    assert load_model("motion").labels == LABELS == MOTIONS


def test_the_heat_is_on_the_shape_that_moves_while_it_moves(explainer: Explainer) -> None:
    """30 unseen scenes; benchmarks/motion.py draws as many as one likes."""
    shares = measure(explainer, (320, 180), scenes=30, seed=7)
    assert list(shares) == list(MEASURED)
    assert shares.pop("peak on what moves itself") >= 0.8  # a cell may peak in the notch of a star or a moon
    assert min(shares.values()) >= 0.9


def test_without_a_motion_all_stands(explainer: Explainer) -> None:
    scenes = [MotionScene(seed, width=320, height=180) for seed in range(5)]
    assert [explainer([scene.render(0.0)] * FRAMES).label for scene in scenes] == ["stands"] * 5


def test_its_map_is_the_evidence_of_the_class(explainer: Explainer) -> None:
    """Behind the layer are a mean and a linear layer, so Grad-CAM is exact: its maps sum up to the logit."""
    scene = MotionScene(3, width=320, height=180)
    frames = [scene.render(0.4 + number / FRAMES_PER_SECOND) for number in range(FRAMES)]
    cells = explainer(frames, target=list(range(len(LABELS)))).cells
    sums = torch.tensor([sum(cell.classes[number].cam.sum() for cell in cells) for number in range(len(LABELS))])
    scores = torch.tensor([one.score for one in cells[0].classes])
    torch.testing.assert_close(sums.softmax(0), scores, rtol=1e-3, atol=1e-5)

"""The logits of chosen candidates have the values and the gradient that they have among those of all."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from livecam.models.scored_cells import ScoredCells, are_scored_alone

CLASSES = 3
SHARED = nn.Conv2d(4, 2 * CLASSES, 3, padding=1)
HEADS: dict[str, list[nn.Conv2d]] = {
    "shared": [SHARED, SHARED, SHARED],
    "their own": [nn.Conv2d(4, 2 * CLASSES, 3, padding=1), nn.Conv2d(4, CLASSES, 1), nn.Conv2d(4, CLASSES, 1)],
    "without padding": [nn.Conv2d(4, CLASSES, (1, 3)), SHARED, SHARED],
}


@pytest.mark.parametrize("head", HEADS)
def test_chosen_candidates_have_the_gradient_that_they_have_among_all(head: str) -> None:
    """Also candidates at the border, neighbours, one that is chosen twice, and a map of fewer cells than are chosen."""
    generator = torch.Generator().manual_seed(0)
    maps = [torch.randn(2, 4, *size, generator=generator, dtype=torch.float64) for size in ((6, 7), (3, 4), (2, 1))]
    convolutions = [each.double() for each in HEADS[head]]
    maps = [each.requires_grad_() for each in maps]
    scored = ScoredCells(maps, convolutions, CLASSES)
    count = scored.logits.shape[1]
    places = torch.tensor([[0, 1, 1, count // 2, count - 1], [3, count - 2, 20, 21, 5]])
    weights = torch.randn(2, 5, CLASSES, generator=generator, dtype=torch.float64)
    expected = scored.logits.gather(1, places[..., None].expand(-1, -1, CLASSES))
    given = scored.at(places)
    torch.testing.assert_close(given, expected)
    torch.testing.assert_close(gradients(given, weights, maps), gradients(expected, weights, maps))


def gradients(logits: Tensor, weights: Tensor, maps: list[Tensor]) -> list[Tensor]:
    return list(torch.autograd.grad((logits * weights).sum(), maps, retain_graph=True, materialize_grads=True))


@pytest.mark.parametrize(
    "convolution",
    [
        nn.Conv2d(4, 4, 3, padding=1, groups=2),
        nn.Conv2d(4, 4, 3, stride=2),
        nn.Conv2d(4, 4, 3, dilation=2),
        nn.Conv2d(4, 4, 3, padding="same"),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 1)),
        nn.Linear(4, 4),
    ],
)
def test_other_heads_are_left_as_they_are(convolution: nn.Module) -> None:
    assert are_scored_alone([SHARED])
    assert not are_scored_alone([SHARED, convolution])

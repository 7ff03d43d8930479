"""The check that proves a layer's grid: where the picture changes, the layer responds.

Three pictures are equal but for a patch, which lies elsewhere in each. A cell of a layer responds to the patch of a
picture if its activation differs from that for both other pictures. On a grid that lies as the picture does, the
responses lie where the patches are. No other reading of an output has its three responses there: not a mirrored or
transposed one, not a matrix of attention, not a row of channels, steps or queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

PLACES = ((0.2, 0.3), (0.75, 0.2), (0.4, 0.8))
"""The centres (x, y) of the patches in units of the picture's sides. No symmetry of a square maps them onto another."""
PATCH = 0.2
"""The side of a patch in units of the picture's."""
LEAST_AGREEMENT = 0.2
"""The correlation with the expected responses from which a grid counts as proven."""

_SPREAD = 0.15  # the standard deviation of an expected response in units of the side
_FAINT = 2  # levels of 255 by which the third picture differs everywhere, so that what never changes is known
_FINEST = 64  # cells of a side that are compared
_NUMBERS = 1 << 15  # numbers of an output that are compared

_FLIPS = ((), (3,), (2,), (2, 3))  # the axes of (B, C, h, w) along which the first four readings are mirrored
_Place = tuple[float | None, float | None]


def _readings(x: float, y: float) -> list[_Place]:
    """Return where the response to a patch lies in each reading: mirrored, transposed, on a diagonal, in bands."""
    upright: list[_Place] = [(x, y), (1 - x, y), (x, 1 - y), (1 - x, 1 - y)]
    transposed: list[_Place] = [(y, x), (1 - y, x), (y, 1 - x), (1 - y, 1 - x)]
    return [*upright, *transposed, (x, x), (y, y), (x, None), (None, y)]


def occluded(picture: Tensor) -> Tensor:
    """Return three copies of a picture, (h, w, channels) uint8, with a black or white patch each: (3, h, w, channels).

    Besides its patch, the third differs from the others by two levels everywhere.
    """
    pictures = torch.stack([picture, picture, picture ^ _FAINT])
    for each, (x, y) in zip(pictures, PLACES, strict=True):
        patch = each[_extent(y, picture.shape[0]), _extent(x, picture.shape[1])]
        patch.fill_(255 if patch.float().mean() < 128 else 0)
    return pictures


def sample(by_channel: Tensor) -> Tensor:
    """Copy a part of an output (C, h, w) or (C, N) that is enough to compare: some channels, and cells if many."""
    if by_channel.ndim == 3:
        step = -(-max(by_channel.shape[1:]) // _FINEST)
        by_channel = by_channel[:, ::step, ::step]
    cells = by_channel[0].numel()
    return by_channel[:: -(-by_channel.shape[0] * cells // _NUMBERS)].to(torch.float32, copy=True)


def responses(samples: Sequence[Tensor]) -> Tensor:
    """Return the responses of each cell to the three patches, (3, h, w) or (3, N), given a sample for each picture."""
    first, second, third = samples
    first_second, first_third, second_third = (
        (one - other).abs().sum(dim=0) for one, other in ((first, second), (first, third), (second, third))
    )
    return torch.stack(
        [first_second.minimum(first_third), first_second.minimum(second_third), first_third.minimum(second_third)]
    )


def locate(response: Tensor) -> tuple[tuple[int, ...] | None, float]:
    """Find out how the responses (3, h, w) lie in the picture.

    Returns:
        The axes of (B, C, h, w) along which they are mirrored, None if they do not lie where the patches are; and their
        correlation with the responses expected there, -1 to 1.
    """
    centred = _centred(response / response.mean(dim=(1, 2), keepdim=True).clamp(min=1e-30))
    agreements = (_expected(*response.shape[1:], response.device) * centred).sum(dim=(1, 2, 3)).tolist()
    best = max(range(len(agreements)), key=agreements.__getitem__)
    if best < len(_FLIPS) and agreements[best] >= LEAST_AGREEMENT:
        return _FLIPS[best], agreements[best]
    return None, agreements[0]


def touched(height: int, width: int, input_size: tuple[int, int]) -> Tensor:
    """Return which cells of a grid each patch touches, (3, height, width) bool."""
    input_height, input_width = input_size
    pixels = torch.zeros(3, 1, input_height, input_width)
    for of_patch, (x, y) in zip(pixels, PLACES, strict=True):
        of_patch[:, _extent(y, input_height), _extent(x, input_width)] = 1
    return functional.adaptive_max_pool2d(pixels, (height, width))[:, 0] > 0


def similarities(response: Tensor, others: Tensor) -> Tensor:
    """Return the correlations of responses, (3, N), with each of several others, (3, several, N): (several,)."""
    centred = _centred(response)[:, None]
    differences = others - others.mean(dim=0)
    return (centred * differences).sum(dim=(0, 2)) / differences.norm(dim=(0, 2)).clamp(min=1e-30)


def _extent(centre: float, pixels: int) -> slice:
    return slice(round((centre - PATCH / 2) * pixels), round((centre + PATCH / 2) * pixels))


@lru_cache(maxsize=256)
def _expected(height: int, width: int, device: torch.device) -> Tensor:
    """Return the expected responses in all readings, (readings, 3, height, width), each centred and of length 1."""
    across, down = (torch.arange(cells, device=device).add(0.5) / cells for cells in (width, height))

    def near(cells: Tensor, centre: float | None) -> Tensor:
        return torch.ones_like(cells) if centre is None else (-((cells - centre) ** 2) / (2 * _SPREAD**2)).exp()

    of_places = [
        torch.stack([near(down, y)[:, None] * near(across, x) for x, y in _readings(*place)]) for place in PLACES
    ]
    return torch.stack([_centred(reading) for reading in torch.stack(of_places, dim=1)])


def _centred(response: Tensor) -> Tensor:
    """Subtract what the three responses have in common, and scale to length 1."""
    differences = response - response.mean(dim=0)
    return differences / differences.norm().clamp(min=1e-30)

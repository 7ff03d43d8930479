"""The check that proves a layer's grid: where the picture changes, the layer responds.

Three pictures are equal but for a patch, which lies elsewhere in each. A cell of a layer responds to the patch of a
picture if its activation differs from that for both other pictures. On a grid that lies as the picture does, the
responses lie where the patches are. No other reading of an output has its three responses there: not a mirrored or
transposed one, not a matrix of attention, not a row of channels, steps or queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

Flips = tuple[int, ...]
"""The axes of (B, C, h, w) along which a picture is mirrored: 2 and 3."""
Check = Literal["failed", "unclear", "passed"]
"""The result of the check: a layer responds elsewhere than where the picture changes, or nowhere in particular, or
there."""
CHECKS: tuple[Check, ...] = ("failed", "unclear", "passed")
"""The results from the worst to the best."""

PLACES = ((0.2, 0.3), (0.75, 0.2), (0.4, 0.8))
"""The centres (x, y) of the patches in units of the picture's sides. No symmetry of a square maps them onto another."""
PATCH = 0.2
"""The side of a patch in units of the picture's."""
_LEAST_AGREEMENT = 0.3  # the correlation with the expected responses from which a reading counts
_CLEAR_AGREEMENT = 0.5  # from which another reading refutes that of a grid
_CLEAR_FLIPS = 0.7  # from which other flips than the usual ones count: where a network mirrors, it has lost nothing yet
_LEAST_CELLS = 16  # of which such evidence is no accident
_MARGIN = 0.1  # by which another reading has to agree better to count instead
_SPREAD = 0.15  # the standard deviation of an expected response in units of the side
_FAINT = 3e-4  # the relative change of the third picture as a whole
_FINEST = 64  # cells of a side that are compared
_NUMBERS = 1 << 13  # numbers of an output that are compared

_FLIPS: tuple[Flips, ...] = ((), (3,), (2,), (2, 3))  # of the first four readings
_Place = tuple[float | None, float | None]


def _readings(x: float, y: float) -> list[_Place]:
    """Return where the response to a patch lies in each reading: mirrored, transposed, on a diagonal, in bands."""
    upright: list[_Place] = [(x, y), (1 - x, y), (x, 1 - y), (1 - x, 1 - y)]
    transposed: list[_Place] = [(y, x), (1 - y, x), (y, 1 - x), (1 - y, 1 - x)]
    return [*upright, *transposed, (x, x), (y, y), (x, None), (None, y)]


def occluded(picture: Tensor) -> Tensor:
    """Return a picture, (h, w, channels) uint8, with a black or white patch at each place: (3, h, w, channels)."""
    pictures = torch.stack([picture] * len(PLACES))
    for each, (x, y) in zip(pictures, PLACES, strict=True):
        patch = _extent(y, picture.shape[0]), _extent(x, picture.shape[1])
        each[patch] = 255 if picture[patch].float().mean() < 128 else 0
    return pictures


def faintly_changed(inputs: Tensor) -> Tensor:
    """Return three inputs (3, ...) with a contrast in the third that is higher by as little as counts.

    Whatever comes from the picture differs then, if only in its last digits: what does not is told from it.
    """
    factor = inputs.new_ones(len(inputs), 1, 1, 1)
    factor[-1] += max(_FAINT, torch.finfo(inputs.dtype).eps)
    return inputs * factor


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


class Located(NamedTuple):
    """How a layer's cells lie in the picture.

    Attributes:
        check: The result of the check.
        agreement: The correlation of the responses with those expected, -1 to 1.
        flips: How the cells are mirrored.
    """

    check: Check
    agreement: float
    flips: Flips = ()


def locate(samples: Sequence[Tensor], usual_flips: Flips = ()) -> Located:
    """Find out how a layer's cells lie in the picture, given a sample (C, h, w) for each of the three pictures.

    Other flips than the usual ones, those of the layers that it is computed from, need clear evidence.

    The responses are read as they are, and if these do not pass, with standardised channels. A patch also changes the
    gain of whole channels where a layer is scaled by what it sees, as by squeeze and excitation; but to standardise a
    few cells spreads the change of one over all of them.
    """
    cells = samples[0][0].numel()
    plain = _agreements(responses(samples))
    located = _read(plain, usual_flips, cells)
    if located.check == "passed":
        return located
    standardised = _agreements(responses([_standardised(each) for each in samples]))
    return _read(max(plain, standardised, key=max), usual_flips, cells)


def is_coarse(cells: int) -> bool:
    """Return True for so few cells that they may agree with a reading by accident."""
    return cells < _LEAST_CELLS


def _agreements(response: Tensor) -> list[float]:
    """Return the correlation of responses, (3, h, w), with those expected in each reading."""
    centred = _centred(_levelled(response))
    return (_expected(*response.shape[1:], response.device) * centred).sum(dim=(1, 2, 3)).tolist()


def _read(agreements: list[float], flips: Flips, cells: int) -> Located:
    agreement = agreements[_FLIPS.index(flips)]
    best_flipped, best_other = max(agreements[: len(_FLIPS)]), max(agreements[len(_FLIPS) :])
    is_fine = not is_coarse(cells)
    if is_fine and best_flipped >= _CLEAR_FLIPS and best_flipped > agreement + _MARGIN:
        agreement, flips = best_flipped, _FLIPS[agreements.index(best_flipped)]
    is_refuted = best_other > agreement + _MARGIN and (is_fine or agreement < _CLEAR_AGREEMENT)
    if agreement >= _LEAST_AGREEMENT and not is_refuted:
        return Located("passed", agreement, flips)
    is_elsewhere = is_fine and agreement < _LEAST_AGREEMENT and best_other >= _CLEAR_AGREEMENT
    is_silent = not any(agreements)
    return Located("failed" if is_elsewhere or is_silent else "unclear", agreement, flips)


def keeps_the_aspect(samples: Sequence[Tensor], input_size: tuple[int, int]) -> bool:
    """Return True if a map with another aspect than the input's lies as if the picture was padded or cropped to it.

    Args:
        samples: A sample (C, h, w) for each of the three pictures.
        input_size: (height, width) of the input.
    """
    response = responses(samples)
    height, width = response.shape[1:]
    ratio = input_size[1] / input_size[0] * height / width  # of the sides of a cell, in pixels
    padded, cropped = ((ratio, 1.0), (1.0, 1 / ratio)) if ratio < 1 else ((1.0, 1 / ratio), (ratio, 1.0))
    scaled = [
        [(fixed + (x - fixed) * across, fixed + (y - fixed) * down) for x, y in PLACES]
        for across, down in (padded, cropped)
        for fixed in (0, 0.5)  # the corner or the centre stays in its place
    ]
    found = _centred(_levelled(response))
    upright, *others = (
        float((found * _pattern(height, width, places, response.device)).sum()) for places in (PLACES, *scaled)
    )
    return max(others) > max(upright, _CLEAR_AGREEMENT)


def touched(height: int, width: int, input_size: tuple[int, int]) -> Tensor:
    """Return which cells of a grid each patch touches, (3, height, width) bool."""
    input_height, input_width = input_size
    pixels = torch.zeros(3, 1, input_height, input_width)
    for of_patch, (x, y) in zip(pixels, PLACES, strict=True):
        of_patch[:, _extent(y, input_height), _extent(x, input_width)] = 1
    return functional.adaptive_max_pool2d(pixels, (height, width))[:, 0] > 0


def similarity(response: Tensor, other: Tensor) -> float:
    """Return the correlation of responses, (3, h, w), with those on another grid, on the coarser of the two."""
    height, width = (min(sides) for sides in zip(response.shape[1:], other.shape[1:], strict=True))
    one, two = (_centred(functional.adaptive_avg_pool2d(each, (height, width))) for each in (response, other))
    return float((one * two).sum())


def similarities(response: Tensor, other: Tensor) -> Tensor:
    """Return the correlation of responses of tokens, (3, N), from each of them on, with those on a grid, (3, h, w)."""
    differences, kernel = response - response.mean(dim=0), _centred(other).flatten(1)
    lengths = differences.square().sum(dim=0).unfold(0, kernel.shape[1], 1).sum(dim=1).sqrt()
    return functional.conv1d(differences[None], kernel[None])[0, 0] / lengths.clamp(min=1e-30)


def _standardised(sample: Tensor) -> Tensor:
    deviation, mean = torch.std_mean(sample, dim=(1, 2), correction=0, keepdim=True)
    return (sample - mean) / deviation.clamp(min=max(1e-3 * float(deviation.max()), 1e-30))


def _extent(centre: float, pixels: int) -> slice:
    return slice(round((centre - PATCH / 2) * pixels), round((centre + PATCH / 2) * pixels))


@lru_cache(maxsize=256)
def _expected(height: int, width: int, device: torch.device) -> Tensor:
    """Return the expected responses in all readings, (readings, 3, height, width), each centred and of length 1."""
    readings = zip(*(_readings(*place) for place in PLACES), strict=True)
    return torch.stack([_pattern(height, width, reading, device) for reading in readings])


def _pattern(height: int, width: int, places: Sequence[_Place], device: torch.device) -> Tensor:
    """Return responses that lie at three places, (3, height, width), centred and of length 1."""
    across, down = (torch.arange(cells, device=device).add(0.5) / cells for cells in (width, height))

    def near(cells: Tensor, centre: float | None) -> Tensor:
        return torch.ones_like(cells) if centre is None else (-((cells - centre) ** 2) / (2 * _SPREAD**2)).exp()

    return _centred(_levelled(torch.stack([near(down, y)[:, None] * near(across, x) for x, y in places])))


def _levelled(response: Tensor) -> Tensor:
    """Scale each of the responses, (3, h, w), to the mean 1."""
    return response / response.mean(dim=(1, 2), keepdim=True).clamp(min=1e-30)


def _centred(response: Tensor) -> Tensor:
    """Subtract what the three responses have in common, and scale to length 1."""
    differences = response - response.mean(dim=0)
    return differences / differences.norm().clamp(min=1e-30)

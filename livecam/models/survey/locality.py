"""The check that proves a layer's grid: where the picture changes, the layer responds.

Three pictures are equal but for a patch, which lies elsewhere in each. (So are three clips, in each of which the patch
also comes at another time.) A cell of a layer responds to the patch of a
picture if its activation differs from that for both other pictures. On a grid that lies as the picture does, the
responses lie where the patches are. No other reading of an output has its three responses there: not a mirrored or
transposed one, not a matrix of attention, not a row of channels, steps or queries.
"""

from __future__ import annotations

import math
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
TIMES = (0.15, 0.6, 0.85)
"""The times of the middle of the patches in units of the length of a clip. In no direction of space do they lie so."""
PATCH = 0.2
"""The side of a patch in units of the picture's, and how long it lasts in units of the length of a clip."""
_LEAST_AGREEMENT = 0.3  # the correlation with the expected responses from which a reading counts
_CLEAR_AGREEMENT = 0.5  # from which another reading refutes that of a grid
_CLEAR_FLIPS = 0.7  # from which other flips than the usual ones count: where a network mirrors, it has lost nothing yet
_LEAST_CELLS = 16  # of which such evidence is no accident
_LEAST_TIMES = 4
_MARGIN = 0.1  # by which another reading has to agree better to count instead
_SPREAD = 0.15  # the standard deviation of an expected response in units of the side
_FAINT = 3e-4  # the relative change of the third picture as a whole

_FLIPS: tuple[Flips, ...] = ((), (3,), (2,), (2, 3))  # of the first four readings
_Place = tuple[float | None, float | None]


def _readings(x: float, y: float) -> list[_Place]:
    """Return where the response to a patch lies in each reading: mirrored, transposed, on a diagonal, in bands."""
    upright: list[_Place] = [(x, y), (1 - x, y), (x, 1 - y), (1 - x, 1 - y)]
    transposed: list[_Place] = [(y, x), (1 - y, x), (y, 1 - x), (1 - y, 1 - x)]
    return [*upright, *transposed, (x, x), (y, y), (x, None), (None, y)]


def _readings_of_clips(x: float, y: float, time: float) -> list[_Place]:
    """Return also where the response lies if an axis of space is that of time."""
    return [*_readings(x, y), (x, time), (time, y), (y, time), (time, x)]


def occluded(picture: Tensor) -> Tensor:
    """Return a picture or clip, ([t,] h, w, channels) uint8, with a black or white patch at each place: (3, ...)."""
    pictures = torch.stack([picture] * len(PLACES))
    *frames, height, width, _ = picture.shape
    for each, (x, y), time in zip(pictures, PLACES, TIMES, strict=True):
        patch = (*(_extent(time, count) for count in frames), _extent(y, height), _extent(x, width))
        each[patch] = 255 if picture[patch].float().mean() < 128 else 0
    return pictures


def faintly_changed(inputs: Tensor) -> Tensor:
    """Return three inputs (3, ...) with a contrast in the third that is higher by as little as counts.

    Whatever comes from the picture differs then, if only in its last digits: what does not is told from it.
    """
    factor = inputs.new_ones(len(inputs), *(1 for _ in inputs.shape[1:]))
    factor[-1] += max(_FAINT, torch.finfo(inputs.dtype).eps)
    return inputs * factor


def responses(samples: Tensor) -> Tensor:
    """Return the responses of each cell to the three patches, (3, t, h, w) or (3, N), given a sample for each picture.

    The samples are (3, C, t, h, w) or (3, C, N); t is 1 for pictures.
    """
    to_next = (samples - samples.roll(-1, dims=0)).abs().sum(dim=1)
    return to_next.minimum(to_next.roll(1, dims=0))


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


def locate(samples: Tensor, response: Tensor, usual_flips: Flips = ()) -> Located:
    """Find out how a layer's cells lie in the picture.

    The responses are read as they are, and if these do not pass, with standardised channels. A patch also changes the
    gain of whole channels where a layer is scaled by what it sees, as by squeeze and excitation; but to standardise a
    few cells spreads the change of one over all of them.

    Args:
        samples: A sample for each of the three pictures, (3, C, t, h, w).
        response: Their responses, (3, t, h, w).
        usual_flips: The flips of the layers that it is computed from; others need clear evidence.
    """
    located = _located([response], usual_flips)
    if located.check == "passed":
        return located
    return _located([response, responses(_standardised(samples))], usual_flips)


def _located(found: Sequence[Tensor], usual_flips: Flips) -> Located:
    """Find out where responses, (3, t, h, w), lie: in space and, if there are several times, in time.

    Of several, those count that agree best with any reading.
    """
    _, times, *sides = found[0].shape
    agreements = max((_agreements(each.sum(dim=1), is_clip=times > 1) for each in found), key=max)
    in_space = _read(agreements, usual_flips, math.prod(sides))
    if times == 1:
        return in_space
    forward, *others = max((_agreements_in_time(each.sum(dim=(2, 3))) for each in found), key=max)
    check = min(in_space.check, _check(forward, max(others), is_fine=True), key=CHECKS.index)
    return Located(check, min(in_space.agreement, forward), in_space.flips)


def is_coarse(size: tuple[int, int, int], input_size: tuple[int, int, int]) -> bool:
    """Return True for so few cells in space or in time that they may agree with a reading by accident."""
    times, height, width = size
    return height * width < _LEAST_CELLS or 1 < times < min(_LEAST_TIMES, input_size[0])


def _agreements(response: Tensor, *, is_clip: bool) -> list[float]:
    """Return the correlation of responses, (3, h, w), with those expected in each reading."""
    return _correlations(response, _expected(response.shape[1], response.shape[2], is_clip, response.device))


def _agreements_in_time(response: Tensor) -> list[float]:
    """Return the correlation of responses, (3, t), with those expected in order, in reverse, and along each side."""
    return _correlations(response[:, None], _expected_in_time(response.shape[1], response.device))


def _correlations(response: Tensor, patterns: Tensor) -> list[float]:
    found: list[float] = torch.mv(patterns.flatten(1), _centred(_levelled(response)).flatten()).tolist()
    return found


def _read(agreements: list[float], flips: Flips, cells: int) -> Located:
    agreement = agreements[_FLIPS.index(flips)]
    best_flipped, best_other = max(agreements[: len(_FLIPS)]), max(agreements[len(_FLIPS) :])
    is_fine = cells >= _LEAST_CELLS
    if is_fine and best_flipped >= _CLEAR_FLIPS and best_flipped > agreement + _MARGIN:
        agreement, flips = best_flipped, _FLIPS[agreements.index(best_flipped)]
    check = _check(agreement, best_other, is_fine=is_fine)
    return Located(check if any(agreements) else "failed", agreement, flips)


def _check(agreement: float, best_other: float, *, is_fine: bool) -> Check:
    """Judge the agreement with a reading, given the best of those that would refute it."""
    is_refuted = best_other > agreement + _MARGIN and (is_fine or agreement < _CLEAR_AGREEMENT)
    if agreement >= _LEAST_AGREEMENT and not is_refuted:
        return "passed"
    is_elsewhere = is_fine and agreement < _LEAST_AGREEMENT and best_other >= _CLEAR_AGREEMENT
    return "failed" if is_elsewhere else "unclear"


def keeps_the_aspect(response: Tensor, input_size: tuple[int, int]) -> bool:
    """Return True if a map with another aspect than the input's lies as if the picture was padded or cropped to it.

    Args:
        response: The responses of its cells to the three patches, (3, h, w).
        input_size: (height, width) of the input.
    """
    height, width = response.shape[1:]
    ratio = input_size[1] / input_size[0] * height / width  # of the sides of a cell, in pixels
    padded, cropped = ((ratio, 1.0), (1.0, 1 / ratio)) if ratio < 1 else ((1.0, 1 / ratio), (ratio, 1.0))
    scaled = [
        [(fixed + (x - fixed) * across, fixed + (y - fixed) * down) for x, y in PLACES]
        for across, down in (padded, cropped)
        for fixed in (0, 0.5)  # the corner or the centre stays in its place
    ]
    upright, *others = _correlations(response, _patterns(height, width, [PLACES, *scaled], response.device))
    return max(others) > max(upright, _CLEAR_AGREEMENT)


def touched(size: tuple[int, int, int], input_size: tuple[int, int, int]) -> Tensor:
    """Return which cells of a grid each patch touches, (3, t, h, w) bool."""
    frames, height, width = input_size
    pixels = torch.zeros(3, 1, *input_size)
    for of_patch, (x, y), time in zip(pixels, PLACES, TIMES, strict=True):
        of_patch[:, _extent(time, frames) if frames > 1 else 0, _extent(y, height), _extent(x, width)] = 1
    return functional.adaptive_max_pool3d(pixels, size)[:, 0] > 0


def similarity(response: Tensor, other: Tensor) -> float:
    """Return the correlation of responses, (3, t, h, w), with those on another grid, on the coarser of the two."""
    times, height, width = (min(sides) for sides in zip(response.shape[1:], other.shape[1:], strict=True))
    pooled = (functional.adaptive_avg_pool3d(each, (times, height, width)) for each in (response, other))
    one, two = (_centred(each.flatten(1, 2)) for each in pooled)
    return float((one * two).sum())


def similarities(response: Tensor, other: Tensor) -> Tensor:
    """Return the correlation of responses of tokens, (3, N), from each of them on, with other responses, (3, n)."""
    differences, kernel = response - response.mean(dim=0), _centred(other[:, None])[:, 0]
    lengths = differences.square().sum(dim=0).unfold(0, kernel.shape[1], 1).sum(dim=1).sqrt()
    return functional.conv1d(differences[None], kernel[None])[0, 0] / lengths.clamp(min=1e-30)


def _standardised(samples: Tensor) -> Tensor:
    deviation, mean = torch.std_mean(samples, dim=(2, 3, 4), correction=0, keepdim=True)
    least = (1e-3 * deviation.amax(dim=1, keepdim=True)).clamp(min=1e-30)
    return (samples - mean) / deviation.maximum(least)


def _extent(centre: float, count: int) -> slice:
    """Return the pixels or frames of a patch, at least one."""
    first = min(round((centre - PATCH / 2) * count), count - 1)
    return slice(first, max(round((centre + PATCH / 2) * count), first + 1))


@lru_cache(maxsize=256)
def _expected(height: int, width: int, is_clip: bool, device: torch.device) -> Tensor:
    """Return the expected responses in all readings, (readings, 3, height, width), each centred and of length 1."""
    of_patches = zip(PLACES, TIMES, strict=True)
    read = [_readings_of_clips(x, y, time) if is_clip else _readings(x, y) for (x, y), time in of_patches]
    readings = list(zip(*read, strict=True))
    return _patterns(height, width, readings, device)


@lru_cache(maxsize=256)
def _expected_in_time(times: int, device: torch.device) -> Tensor:
    """Return the expected responses in all readings of an axis of time, (readings, 3, 1, times)."""
    across, down = zip(*PLACES, strict=True)
    in_order: list[Sequence[float]] = [TIMES, across, down]
    both_ways = [each for one in in_order for each in (one, [1 - place for place in one])]
    return _patterns(1, times, [[(place, None) for place in reading] for reading in both_ways], device)


def _patterns(height: int, width: int, readings: Sequence[Sequence[_Place]], device: torch.device) -> Tensor:
    """Return responses that lie at three places in each reading, (readings, 3, height, width)."""
    # Without a coordinate a place is a band: not a number then, which stands for near everywhere.
    centres = torch.tensor([[[math.nan if x is None else x for x in place] for place in places] for places in readings])

    def near(cells: int, centre: Tensor) -> Tensor:
        distance = torch.arange(cells).add(0.5) / cells - centre[..., None]
        return (-(distance**2) / (2 * _SPREAD**2)).exp().nan_to_num(nan=1)

    across, down = near(width, centres[..., 0]), near(height, centres[..., 1])
    return _centred(_levelled(down[..., :, None] * across[..., None, :])).to(device)


def _levelled(response: Tensor) -> Tensor:
    """Scale each of the responses, (..., 3, h, w), to the mean 1."""
    return response / response.mean(dim=(-2, -1), keepdim=True).clamp(min=1e-30)


def _centred(response: Tensor) -> Tensor:
    """Subtract what three responses, (..., 3, h, w), have in common, and scale them to length 1."""
    differences = response - response.mean(dim=-3, keepdim=True)
    lengths = torch.linalg.vector_norm(differences, dim=(-3, -2, -1), keepdim=True)
    return differences / lengths.clamp(min=1e-30)

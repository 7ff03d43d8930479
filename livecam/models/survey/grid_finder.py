"""Finding the grid of each output of a model, in the order in which it runs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from livecam.models.survey.grid import TOKENS, Grid, Size, covers, size_of_map, spans_of
from livecam.models.survey.locality import (
    Check,
    Flips,
    is_coarse,
    keeps_the_aspect,
    locate,
    responses,
    similarities,
    similarity,
    touched,
)
from livecam.models.survey.streams import Streams

LEAST_SIMILARITY = 0.5
"""The correlation of the responses of the first tokens with those of a grid from which they are its cells."""

_LEAST_SIMILARITY_ANYWHERE = 0.9  # where the cells are searched for among more tokens, of which many are a bit similar


class Found(NamedTuple):
    """The grid of an output, None if it has none; the result of its check, and how well responses agree with it."""

    grid: Grid | None
    check: Check = "failed"
    agreement: float | None = None


class GridFinder:
    """Finds the grids of outputs, which have to be given in the order of execution.

    Maps (B, C, h, w) and (B, h, w, C) with the input's aspect have a grid by their shape; others, if they respond where
    the patches are. Tokens have one only if the network has shown it before, or one that is finer by a whole factor, or
    if the first of them respond exactly where the patches are.

    Args:
        input_size: (frames, height, width) of the input, with one frame for pictures.
        streams: The order in which the outputs are computed from one another.
    """

    def __init__(self, input_size: Size, streams: Streams) -> None:
        self._input_size, self._streams = input_size, streams
        self._proven: dict[Flips, int] = defaultdict(int)  # the outputs with a proven grid by its flips, as bits
        self._unproven = 0  # those whose grid is not, as bits
        # The last responses on each proven grid by its flips, (3, t, h, w); of some cells if they are many.
        self._shown: dict[Flips, dict[Size, Tensor]] = defaultdict(dict)
        # The outputs with another aspect than the input, as bits: the picture is padded or cropped, or stretched.
        self._rescaled = self._stretched = 0
        self._tokens: dict[tuple[int, ...], Grid | None] = {}  # the proven grid of each number of tokens

    def find(self, number: int, samples: Mapping[str, Tensor], shape: tuple[int, ...]) -> Found:
        """Return the grid of an output.

        Args:
            number: Its place in the order of execution.
            samples: A sample of it for each picture in each layout that its shape allows: (3, C, t, h, w), (3, C, N),
                or where frames are pictures of a batch (3, C, t, N).
            shape: The shape of the output.
        """
        usual_flips = self._usual_flips(number)
        found = [
            self._find_tokens(layout, of_pictures, usual_flips)
            if layout in TOKENS
            else self._find_map(number, _grid_of_map(layout, shape, usual_flips), of_pictures)
            for layout, of_pictures in samples.items()
        ]
        best = max(found, key=lambda each: each.agreement or -1, default=Found(None))
        if best.grid and best.check == "passed" and self._is_doubtful(best.grid, number):
            best = best._replace(check="unclear")
        if best.grid and best.check == "passed":
            self._proven[best.grid.flips] |= 1 << number
        elif best.grid:
            self._unproven |= 1 << number
        return best

    def _is_doubtful(self, grid: Grid, number: int) -> bool:
        """Return True for a few cells, which may agree by accident, behind grids of which none is proven.

        Those of time are doubtful wherever no grid is proven.
        """
        sources = self._streams.sources(number)
        is_proven = any(outputs & sources for outputs in self._proven.values())
        is_suspect = bool(self._unproven & sources) or grid.times > 1
        return is_suspect and is_coarse(grid.size, self._input_size) and not is_proven

    def _usual_flips(self, number: int) -> Flips:
        """Return the flips of all outputs that an output is computed from, none if they differ."""
        sources = self._streams.sources(number)
        flips = [flips for flips, outputs in self._proven.items() if outputs & sources]
        return flips[0] if len(flips) == 1 else ()

    def _find_map(self, number: int, grid: Grid, samples: Tensor) -> Found:
        response = responses(samples)
        if covers(grid.size, self._input_size):
            return self._checked(grid, samples, response)
        if grid.times > self._input_size[0]:
            return Found(None)
        sources = self._streams.sources(number)
        is_stretched = bool(self._stretched & sources)
        if not is_stretched and (
            self._rescaled & sources or keeps_the_aspect(response.sum(dim=1), self._input_size[1:])
        ):
            self._rescaled |= 1 << number
            return Found(None)
        found = self._checked(grid, samples, response)
        if found.check != "passed":
            return Found(None)
        self._stretched |= 1 << number
        return found

    def _find_tokens(self, layout: str, samples: Tensor, usual_flips: Flips) -> Found:
        response, tokens = responses(samples), tuple(samples.shape[2:])
        known = self._tokens.get(tokens)
        if known:
            grid = replace(known, layout=layout, flips=usual_flips)
            return self._checked(grid, _cells(grid, samples), _cells(grid, response))
        for search in (self._of_shown_size, self._confined):
            grids = search(layout, response, usual_flips)
            found = [self._checked(grid, _cells(grid, samples), _cells(grid, response)) for grid in grids]
            if passed := [each for each in found if each.check == "passed"]:
                best = max(passed, key=_cells_and_agreement)
                self._tokens[tokens] = best.grid
                return best
        return Found(None)

    def _checked(self, grid: Grid, samples: Tensor, response: Tensor) -> Found:
        check, agreement, flips = locate(samples, response, grid.flips)
        if check == "passed":
            self._shown[flips][grid.size] = response
        return Found(replace(grid, flips=flips), check, agreement)

    def _of_shown_size(self, layout: str, response: Tensor, flips: Flips) -> list[Grid]:
        """Return the grids of tokens that respond as the grids do that were shown."""
        is_split = response.ndim == 3
        found: list[Grid] = []
        for size, shown in self._sizes(flips).items():
            if is_split:
                whole = Grid(layout, *size[1:], flips=flips, times=response.shape[1])
                spans = _spans(response.sum(dim=1), replace(whole, times=1), shown.sum(dim=1, keepdim=True))
                found += [replace(whole, spans=spans)] if spans else []
            else:
                for grid in _in_each_order(Grid(layout, *size[1:], flips=flips, times=size[0])):
                    spans = _spans(response, grid, shown)
                    found += [replace(grid, spans=spans)] if spans else []
        return found

    def _sizes(self, flips: Flips) -> dict[Size, Tensor]:
        """Return the sizes of the grids that were shown and of those that pooling makes of them, with the responses."""
        pooled = {
            (-(-times // stride_in_time), -(-height // stride), -(-width // stride)): shown
            for (times, height, width), shown in self._shown[flips].items()
            for stride in range(1, max(height, width))
            for stride_in_time in range(1, times + 1)
        }
        return pooled | self._shown[flips]

    def _confined(self, layout: str, response: Tensor, flips: Flips) -> list[Grid]:
        """Return the grids whose cells respond exactly if a patch touches them."""
        places = response.sum(dim=1) if response.ndim == 3 else response
        varying = places.sum(dim=0) > 0
        cells, changes = int(varying.sum()), (places[:2, varying] > 0).any(dim=0).cpu()
        frames, input_height, input_width = self._input_size
        found: list[Grid] = []
        for times in range(1, frames + 1 if response.ndim == 2 else 2):
            height = max(round((cells / times * input_height / input_width) ** 0.5), 1)
            size = (times, height, cells // times // height)
            if math.prod(size) != cells or not covers(size, self._input_size):
                continue
            # Of the first two patches only, since the third picture differs from the others everywhere.
            expected = touched(size, self._input_size)[:2].any(dim=0)
            found += [
                replace(grid, spans=spans_of(varying))
                for grid in _in_each_order(Grid(layout, *size[1:], times=times))
                if torch.equal(grid.arranged(changes), expected)
            ]
        return [replace(grid, times=frames) for grid in found] if response.ndim == 3 else found


def _in_each_order(grid: Grid) -> list[Grid]:
    """Return grids of the tokens of a clip with the times of each place in a row, or the places of each time."""
    return [grid, replace(grid, time_is_last=True)] if grid.times > 1 else [grid]


def _cells_and_agreement(found: Found) -> tuple[int, float]:
    return found.grid.cells if found.grid else 0, found.agreement or 0.0


def _grid_of_map(layout: str, shape: tuple[int, ...], flips: Flips) -> Grid:
    """Return the grid of a map, given the shape of the output for one picture or clip."""
    times, height, width = size_of_map(layout, shape)
    return Grid(layout, height, width, flips=flips, times=times)


def _cells(grid: Grid, values: Tensor) -> Tensor:
    """Return values of the picture's tokens among all, (..., N), as (..., t, h, w)."""
    cells = torch.cat([values[..., first:end] for first, end in grid.spans], dim=-1)
    return torch.unflatten(cells, -1, (grid.height, grid.width)) if grid.splits_clips else grid.arranged(cells)


def _spans(response: Tensor, grid: Grid, shown: Tensor) -> tuple[tuple[int, int], ...]:
    """Return where the tokens of a grid are among all, given their responses, (3, N), and the grid's; or nothing.

    The others are those that never change, since they come from no picture. Once attention has mixed them, all change;
    then those of the picture are one span, where they respond most like the grid.
    """
    varying = response.sum(dim=0) > 0
    if int(varying.sum()) == grid.cells:
        alike = similarity(grid.arranged(response[:, varying]), shown)
        return spans_of(varying) if alike >= LEAST_SIMILARITY else ()
    if shown.shape[1:] != grid.size or response.shape[1] < grid.cells:
        return ()
    of_starts = similarities(response, grid.as_tokens(shown))
    first = int(of_starts.argmax())
    return ((first, first + grid.cells),) if of_starts[first] >= _LEAST_SIMILARITY_ANYWHERE else ()

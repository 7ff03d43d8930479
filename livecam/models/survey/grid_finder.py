"""Finding the grid of each output of a model, in the order in which it runs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from livecam.models.survey.grid import Grid, covers, spans_of
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

Size = tuple[int, int]
"""(height, width)"""


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
        input_size: (height, width) of the input.
        streams: The order in which the outputs are computed from one another.
    """

    def __init__(self, input_size: tuple[int, int], streams: Streams) -> None:
        self._input_size, self._streams = input_size, streams
        self._proven: dict[Flips, int] = defaultdict(int)  # the outputs with a proven grid by its flips, as bits
        self._unproven = 0  # those whose grid is not, as bits
        # The last responses on each proven grid by its flips, (3, h, w); of some cells if they are many.
        self._shown: dict[Flips, dict[Size, Tensor]] = defaultdict(dict)
        # The outputs with another aspect than the input, as bits: the picture is padded or cropped, or stretched.
        self._rescaled = self._stretched = 0
        self._tokens: dict[int, Grid] = {}  # the proven grid of each number of tokens

    def find(self, number: int, samples: Mapping[str, Tensor], shape: tuple[int, ...]) -> Found:
        """Return the grid of an output.

        Args:
            number: Its place in the order of execution.
            samples: A sample of it for each picture, (3, C, h, w) or (3, C, N), in each layout that its shape allows.
            shape: The shape of the output.
        """
        usual_flips = self._usual_flips(number)
        found = [
            self._find_map(number, Grid(layout, *_size(layout, shape), flips=usual_flips), of_pictures)
            if of_pictures.ndim == 4
            else self._find_tokens(layout, of_pictures, usual_flips)
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
        """Return True for a few cells, which may agree by accident, behind grids of which none is proven."""
        sources = self._streams.sources(number)
        is_proven = any(outputs & sources for outputs in self._proven.values())
        return is_coarse(grid.height * grid.width) and bool(self._unproven & sources) and not is_proven

    def _usual_flips(self, number: int) -> Flips:
        """Return the flips of all outputs that an output is computed from, none if they differ."""
        sources = self._streams.sources(number)
        flips = [flips for flips, outputs in self._proven.items() if outputs & sources]
        return flips[0] if len(flips) == 1 else ()

    def _find_map(self, number: int, grid: Grid, samples: Tensor) -> Found:
        response = responses(samples)
        if covers(grid.height, grid.width, self._input_size):
            return self._checked(grid, samples, response)
        sources = self._streams.sources(number)
        is_stretched = bool(self._stretched & sources)
        if not is_stretched and (self._rescaled & sources or keeps_the_aspect(response, self._input_size)):
            self._rescaled |= 1 << number
            return Found(None)
        found = self._checked(grid, samples, response)
        if found.check != "passed":
            return Found(None)
        self._stretched |= 1 << number
        return found

    def _find_tokens(self, layout: str, samples: Tensor, usual_flips: Flips) -> Found:
        response, tokens = responses(samples), samples.shape[2]
        known = self._tokens.get(tokens)
        if known:
            grid = replace(known, layout=layout, flips=usual_flips)
            return self._checked(grid, _cells(grid, samples), _cells(grid, response))
        for grid in self._of_size(layout, response, usual_flips) + self._confined(layout, response):
            found = self._checked(grid, _cells(grid, samples), _cells(grid, response))
            if found.check == "passed":
                self._tokens[tokens] = grid
                return found
        return Found(None)

    def _checked(self, grid: Grid, samples: Tensor, response: Tensor) -> Found:
        check, agreement, flips = locate(samples, response, grid.flips)
        if check == "passed":
            self._shown[flips][grid.height, grid.width] = response
        return Found(replace(grid, flips=flips), check, agreement)

    def _of_size(self, layout: str, response: Tensor, flips: Flips) -> list[Grid]:
        """Return the grids of tokens that respond as the grids do that were shown; those with most cells first."""
        grids = [
            Grid(layout, *size, spans, flips)
            for size, shown in self._sizes(flips).items()
            if (spans := _spans(response, size, shown))
        ]
        return sorted(grids, key=lambda grid: -grid.height * grid.width)

    def _sizes(self, flips: Flips) -> dict[Size, Tensor]:
        """Return the sizes of the grids that were shown and of those that pooling makes of them, with the responses."""
        pooled = {
            (-(-height // stride), -(-width // stride)): shown
            for (height, width), shown in self._shown[flips].items()
            for stride in range(2, max(height, width))
        }
        return pooled | self._shown[flips]

    def _confined(self, layout: str, response: Tensor) -> list[Grid]:
        """Return the grid whose cells respond exactly if a patch touches them."""
        varying = response.sum(dim=0) > 0
        cells = int(varying.sum())
        input_height, input_width = self._input_size
        height = max(round((cells * input_height / input_width) ** 0.5), 1)
        width = cells // height
        if height * width != cells or not covers(height, width, self._input_size):
            return []
        # Of the first two patches only, since the third picture differs from the others everywhere.
        expected = touched(height, width, self._input_size)[:2].any(dim=0).flatten()
        if not torch.equal((response[:2, varying] > 0).any(dim=0).cpu(), expected):
            return []
        return [Grid(layout, height, width, spans_of(varying))]


def _size(layout: str, shape: tuple[int, ...]) -> Size:
    return (shape[2], shape[3]) if layout == "nchw" else (shape[1], shape[2])


def _cells(grid: Grid, values: Tensor) -> Tensor:
    """Return values of the picture's tokens among all, (..., N), as (..., h, w)."""
    cells = torch.cat([values[..., first:end] for first, end in grid.spans], dim=-1)
    return cells.reshape(*values.shape[:-1], grid.height, grid.width)


def _spans(response: Tensor, size: Size, shown: Tensor) -> tuple[tuple[int, int], ...]:
    """Return where the tokens of a grid are among all, given their responses, (3, N), and the grid's; or nothing.

    The others are those that never change, since they come from no picture. Once attention has mixed them, all change;
    then those of the picture are one span, where they respond most like the grid.
    """
    varying, cells = response.sum(dim=0) > 0, math.prod(size)
    if int(varying.sum()) == cells:
        alike = similarity(response[:, varying].reshape(3, *size), shown)
        return spans_of(varying) if alike >= LEAST_SIMILARITY else ()
    if shown.shape[1:] != size or response.shape[1] < cells:
        return ()
    of_starts = similarities(response, shown)
    first = int(of_starts.argmax())
    return ((first, first + cells),) if of_starts[first] >= _LEAST_SIMILARITY_ANYWHERE else ()

"""Finding the grid of each output of a model, in the order in which it runs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from livecam.models.grid import Grid, covers, spans_of
from livecam.models.locality import locate, similarities, touched

_LEAST_SIMILARITY = 0.5


class Found(NamedTuple):
    """The grid of an output, None if it has none; how well responses agree with it, and if that proves it."""

    grid: Grid | None
    agreement: float | None = None
    is_proven: bool = False


class Grids:
    """Finds the grids of outputs, which have to be given in the order of execution.

    Maps (B, C, h, w) and (B, h, w, C) have a grid by their shape. Tokens have one only if the network has shown it
    before as such a map, or if the first of them respond exactly where the patches are.

    Args:
        input_size: (height, width) of the input.
    """

    def __init__(self, input_size: tuple[int, int]) -> None:
        self._input_size = input_size
        self._shown: dict[tuple[int, int], Tensor] = {}  # the last responses on each proven grid, (3, cells)
        self._tokens: dict[int, Grid] = {}  # the proven grid of each number of tokens

    def find(self, responses: dict[str, Tensor], shape: tuple[int, ...]) -> Found:
        """Return the grid of an output.

        Args:
            responses: Its responses in each layout that its shape allows, (3, h, w) or (3, N); of a large map, those of
                some cells.
            shape: The shape of the output.
        """
        found = [
            self._find_map(layout, shape, response) if response.ndim == 3 else self._find_tokens(layout, response)
            for layout, response in responses.items()
        ]
        # A proven grid if there is one, or else the first.
        return max(found, key=lambda each: (each.is_proven, each.grid is not None), default=Found(None))

    def _find_map(self, layout: str, shape: tuple[int, ...], response: Tensor) -> Found:
        height, width = shape[2:] if layout == "nchw" else shape[1:3]
        flips, agreement = locate(response)
        if flips is None:
            return Found(Grid(layout, height, width), agreement)
        if flips == ():
            self._shown[height, width] = response.flatten(1)
        return Found(Grid(layout, height, width, flips=flips), agreement, is_proven=True)

    def _find_tokens(self, layout: str, response: Tensor) -> Found:
        known = self._tokens.get(response.shape[1])
        if known:
            return _checked(replace(known, layout=layout), response)
        for grid in (*self._among_shown(layout, response), *self._confined(layout, response)):
            found = _checked(grid, response)
            if found.is_proven:
                self._tokens[response.shape[1]] = replace(grid, flips=())
                return found
        return Found(None)

    def _among_shown(self, layout: str, response: Tensor) -> list[Grid]:
        """Return the grids that were shown and have at most as many cells as there are tokens, the largest first."""
        tokens = response.shape[1]
        fitting = sorted((size for size in self._shown if math.prod(size) <= tokens), key=math.prod, reverse=True)
        return [
            Grid(layout, *size, spans)
            for size in fitting
            if (spans := _spans(response, math.prod(size), self._shown[size]))
        ]

    def _confined(self, layout: str, response: Tensor) -> list[Grid]:
        """Return the grid whose cells respond exactly if a patch touches them."""
        varying = response.sum(dim=0) > 0
        cells = int(varying.sum())
        input_height, input_width = self._input_size
        height = max(round((cells * input_height / input_width) ** 0.5), 1)
        width = cells // height
        if height * width != cells or not covers(height, width, self._input_size):
            return []
        # The third picture differs from the others everywhere.
        expected = touched(height, width, self._input_size).flatten(1)[:2].to(response.device)
        if not torch.equal(response[:2, varying] > 0, expected):
            return []
        return [Grid(layout, height, width, spans_of(varying))]


def _checked(grid: Grid, response: Tensor) -> Found:
    """Compare the responses of tokens, (3, N), with a grid."""
    cells = torch.cat([response[:, first:end] for first, end in grid.spans], dim=1)
    flips, agreement = locate(cells.reshape(3, grid.height, grid.width))
    return Found(replace(grid, flips=flips or ()), agreement, flips is not None)


def _spans(response: Tensor, cells: int, shown: Tensor) -> tuple[tuple[int, int], ...]:
    """Return where the tokens of the picture are among all, given the responses (3, cells) that they had as a map.

    The others are those that never change, since they come from no picture. Once attention has mixed them, all change;
    then those of the picture are one span, where they respond most like the map.
    """
    varying = response.sum(dim=0) > 0
    if int(varying.sum()) == cells:
        return spans_of(varying)
    if shown.shape[1] != cells:
        return ()
    similar = similarities(shown, response.unfold(1, cells, 1))
    first = int(similar.argmax())
    return ((first, first + cells),) if similar[first] >= _LEAST_SIMILARITY else ()

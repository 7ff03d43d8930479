"""The spatial layout of the outputs of layers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

_FINEST = 64  # cells of a side that are compared
_NUMBERS = 1 << 13  # numbers of an output that are compared


@dataclass(frozen=True)
class Grid:
    """The spatial layout of a layer's output.

    Attributes:
        layout: "nchw", "nhwc", "tokens" for (B, N, C), or "sequence" for (N, B, C).
        height: The number of rows.
        width: The number of columns.
        spans: Where the tokens of the picture are among all N, row by row, as (first, end) pairs; the others are class,
            register and prompt tokens.
        flips: The axes of (B, C, h, w) along which the layer sees the picture mirrored: 2 and 3.
    """

    layout: str
    height: int
    width: int
    spans: tuple[tuple[int, int], ...] = ()
    flips: tuple[int, ...] = ()

    @property
    def batch_axis(self) -> int:
        """The axis of the pictures in the layer's own output."""
        return 1 if self.layout == "sequence" else 0

    @property
    def channel_axis(self) -> int:
        """The axis of the channels in the layer's own output."""
        return {"nchw": 1, "nhwc": 3, "tokens": 2, "sequence": 2}[self.layout]

    def fold(self, output: Tensor) -> Tensor:
        """Convert the layer's output, or its gradient, to (B, C, h, w), as the picture lies."""
        channels_first = self._channels_first(output)
        return channels_first.flip(self.flips) if self.flips else channels_first

    def _channels_first(self, output: Tensor) -> Tensor:
        if self.layout == "nchw":
            return output
        if self.layout == "nhwc":
            return output.permute(0, 3, 1, 2)
        tokens = output.transpose(0, 1) if self.layout == "sequence" else output
        patches = torch.cat([tokens[:, first:end] for first, end in self.spans], dim=1).transpose(1, 2)
        return patches.reshape(*patches.shape[:2], self.height, self.width)


def possible_layouts(shape: tuple[int, ...], input_size: tuple[int, int]) -> list[str]:
    """Return the layouts that the shape of an output for one picture allows; the input is (height, width).

    A map (B, C, h, w) with the input's aspect is no map (B, h, w, C) with another.
    """
    if len(shape) == 4 and shape[0] == 1:
        sizes = {"nchw": shape[2:], "nhwc": shape[1:3]}
        covering = [layout for layout, size in sizes.items() if covers(*size, input_size)]
        return covering if "nchw" in covering else [layout for layout, size in sizes.items() if math.prod(size) > 1]
    if len(shape) == 3 and shape[0] == 1 < min(shape[1:]):
        return ["tokens"]
    if len(shape) == 3 and shape[1] == 1 < min(shape[0], shape[2]):
        return ["sequence"]
    return []


def sample(output: Tensor, layout: str) -> Tensor:
    """Copy a part of an output for one picture that is enough to compare: some channels, and cells if many.

    Returns it as (C, h, w) or (C, N), in float32.
    """
    part = output.detach()[_part(tuple(output.shape), layout)]
    return (part if layout == "nchw" else part.movedim(-1, 0)).to(torch.float32, copy=True)


@lru_cache(maxsize=256)
def _part(shape: tuple[int, ...], layout: str) -> tuple[slice | int, ...]:
    """Return the index of such a part, which leaves out the axis of the pictures."""
    grid = Grid(layout, 0, 0)
    sides = [axis for axis in range(len(shape)) if axis not in (grid.batch_axis, grid.channel_axis)]
    step = -(-max(shape[axis] for axis in sides) // _FINEST) if len(sides) == 2 else 1
    cells = math.prod(-(-shape[axis] // step) for axis in sides)
    steps = dict.fromkeys(sides, step) | {grid.channel_axis: -(-shape[grid.channel_axis] * cells // _NUMBERS)}
    return tuple(slice(None, None, steps[axis]) if axis in steps else 0 for axis in range(len(shape)))


def covers(height: int, width: int, input_size: tuple[int, int]) -> bool:
    """Return True if a grid has several cells and, to within a cell, the aspect of the input, (height, width)."""
    input_height, input_width = input_size
    smaller = height <= input_height and width <= input_width
    return smaller and height * width > 1 and abs(height - input_height * width / input_width) <= 1


def spans_of(positions: Tensor) -> tuple[tuple[int, int], ...]:
    """Convert a mask of tokens, (N,) bool, to (first, end) pairs."""
    edges = torch.nn.functional.pad(positions.int(), (1, 1)).diff().nonzero()[:, 0].tolist()
    return tuple(zip(edges[::2], edges[1::2], strict=True))

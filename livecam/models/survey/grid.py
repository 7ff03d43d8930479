"""The layout of the outputs of layers in space and, for clips, in time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

Size = tuple[int, int, int]
"""(time cells, height, width) of a grid; one time cell for pictures."""

_CHANNEL_AXES = {
    **{"nchw": 1, "nhwc": 3, "tokens": 2, "sequence": 2},
    **{"ncthw": 1, "nthwc": 4, "ntchw": 2, "(nt)chw": 1, "(nt)hwc": 3, "(nt)tokens": 2},
}
TOKENS = ("tokens", "sequence", "(nt)tokens")
_FINEST = 64  # cells of a side that are compared, half as many of a clip
_NUMBERS = 1 << 13  # numbers of an output that are compared


@dataclass(frozen=True)
class Grid:
    """The layout of a layer's output in space and time.

    Attributes:
        layout: "nchw", "nhwc", "tokens" for (B, N, C), or "sequence" for (N, B, C); for clips also "ncthw", "nthwc" and
            "ntchw", and "(nt)chw", "(nt)hwc" and "(nt)tokens" where frames are pictures of a batch, those of a clip in
            a row.
        height: The number of rows.
        width: The number of columns.
        spans: Where the tokens of the picture are among all N, as (first, end) pairs; the others are class, register
            and prompt tokens.
        flips: The axes of (B, C, h, w) along which the layer sees the picture mirrored: 2 and 3.
        times: The number of time cells, 1 for pictures.
        time_is_last: True if tokens of a clip go through all times of one place before the next place; otherwise they
            go through the places of one time, row by row, before the next time.
    """

    layout: str
    height: int
    width: int
    spans: tuple[tuple[int, int], ...] = ()
    flips: tuple[int, ...] = ()
    times: int = 1
    time_is_last: bool = False

    @property
    def size(self) -> Size:
        """The number of time cells, rows and columns."""
        return self.times, self.height, self.width

    @property
    def cells(self) -> int:
        """The number of cells."""
        return math.prod(self.size)

    @property
    def batch_axis(self) -> int:
        """The axis of the pictures in the layer's own output."""
        return 1 if self.layout == "sequence" else 0

    @property
    def channel_axis(self) -> int:
        """The axis of the channels in the layer's own output."""
        return _CHANNEL_AXES[self.layout]

    @property
    def splits_clips(self) -> bool:
        """True if the frames of a clip are pictures of a batch to the layer."""
        return self.layout.startswith("(nt)")

    def by_clip(self, output: Tensor) -> Tensor:
        """Return the layer's output with its batch of pictures or clips on one axis, before that of the frames."""
        return torch.unflatten(output, 0, (-1, self.times)) if self.splits_clips else output

    def by_frame(self, output: Tensor) -> Tensor:
        """Return what `by_clip` returns as the layer's output."""
        return output.flatten(0, 1) if self.splits_clips else output

    def fold(self, output: Tensor) -> Tensor:
        """Convert the layer's output, or its gradient, to (B, C, h, w), as the picture lies.

        The time cells of a clip are stacked as rows, the first on top: (B, C, t * h, w).
        """
        channels_first = self._channels_first(output)
        if self.times == 1 and channels_first.ndim == 4:
            return channels_first.flip(self.flips) if self.flips else channels_first
        cells = self._in_order_of_time(channels_first)
        upright = cells.flip([axis + 1 for axis in self.flips]) if self.flips else cells
        return upright.flatten(2, 3)

    def _channels_first(self, output: Tensor) -> Tensor:
        if self.layout not in TOKENS:
            return output if self.channel_axis == 1 else output.movedim(self.channel_axis, 1)
        tokens = output.transpose(0, 1) if self.layout == "sequence" else output
        patches = torch.cat([tokens[:, first:end] for first, end in self.spans], dim=1).transpose(1, 2)
        return patches.reshape(*patches.shape[:2], -1, self.width)

    def _in_order_of_time(self, cells: Tensor) -> Tensor:
        """Return (B, C, t, h, w), given the cells with the channels first."""
        if self.splits_clips:
            return self.by_clip(cells).transpose(1, 2)
        return self.arranged(cells.flatten(2)) if cells.ndim == 4 else cells

    def arranged(self, tokens: Tensor) -> Tensor:
        """Return the tokens of pictures or clips alone, (..., N), as (..., t, h, w)."""
        if not self.time_is_last:
            return torch.unflatten(tokens, -1, self.size)
        return torch.unflatten(tokens, -1, (self.height, self.width, self.times)).movedim(-1, -3)

    def as_tokens(self, cells: Tensor) -> Tensor:
        """Return cells (..., t, h, w) in the order of the tokens, (..., N)."""
        return (cells.movedim(-3, -1) if self.time_is_last else cells).flatten(-3)


def possible_layouts(shape: tuple[int, ...], input_size: Size) -> list[str]:
    """Return the layouts that the shape of an output for one picture allows; the input is (frames, height, width).

    A map (B, C, h, w) with the input's aspect is no map (B, h, w, C) with another.
    """
    frames, *_ = input_size
    if len(shape) == 5 and shape[0] == 1:
        return _of_maps(("ncthw", "nthwc", "ntchw"), shape, input_size)
    if len(shape) == 4 and shape[0] == 1:
        return _of_maps(("nchw", "nhwc"), shape, input_size)
    if len(shape) == 4 and shape[0] == frames:
        return _of_maps(("(nt)chw", "(nt)hwc"), shape, input_size)
    if len(shape) == 3 and shape[0] == 1 < min(shape[1:]):
        return ["tokens"]
    if len(shape) == 3 and shape[1] == 1 < min(shape[0], shape[2]):
        return ["sequence"]
    if len(shape) == 3 and shape[0] == frames > 1 < min(shape[1:]):
        return ["(nt)tokens"]
    return []


def _of_maps(layouts: tuple[str, ...], shape: tuple[int, ...], input_size: Size) -> list[str]:
    sizes = {layout: size_of_map(layout, shape) for layout in layouts}
    covering = [layout for layout, size in sizes.items() if covers(size, input_size)]
    return covering if layouts[0] in covering else [layout for layout, size in sizes.items() if math.prod(size[1:]) > 1]


def size_of_map(layout: str, shape: tuple[int, ...]) -> Size:
    """Return the size of the grid of a map, given the shape of the output for one picture or clip."""
    axes = [axis for axis in range(len(shape)) if axis != Grid(layout, 0, 0).channel_axis]
    times = shape[axes[-3]] if "t" in layout else 1
    return times, shape[axes[-2]], shape[axes[-1]]


def sample(output: Tensor, layout: str) -> Tensor:
    """Copy a part of an output for one picture or clip that is enough to compare: some channels, and cells if many.

    Returns it as (C, t, h, w) or (C, N), or of "(nt)tokens" as (C, t, N), in float32.
    """
    part = output.detach()[_part(tuple(output.shape), layout)]
    part = part.movedim(Grid(layout, 0, 0).channel_axis - (part.ndim < output.ndim), 0).to(torch.float32, copy=True)
    return part[:, None] if layout in ("nchw", "nhwc") else part


@lru_cache(maxsize=256)
def _part(shape: tuple[int, ...], layout: str) -> tuple[slice | int, ...]:
    """Return the index of such a part, which leaves out the axis of the pictures."""
    grid = Grid(layout, 0, 0)
    sides = [axis for axis in range(len(shape)) if axis != grid.channel_axis]
    if not grid.splits_clips:
        sides.remove(grid.batch_axis)
    steps = dict.fromkeys(sides, 1)
    if layout not in TOKENS:
        finest = _FINEST // 2 if len(sides) == 3 else _FINEST
        steps |= dict.fromkeys(sides[-2:], -(-max(shape[axis] for axis in sides[-2:]) // finest))
    cells = math.prod(-(-shape[axis] // steps[axis]) for axis in sides)
    steps[grid.channel_axis] = -(-shape[grid.channel_axis] * cells // _NUMBERS)
    return tuple(slice(None, None, steps[axis]) if axis in steps else 0 for axis in range(len(shape)))


def covers(size: tuple[int, ...], input_size: Size) -> bool:
    """Return True if a grid (t, h, w) has several cells in space and, to within a cell, the aspect of the input."""
    frames, input_height, input_width = input_size
    times, height, width = size
    is_smaller = times <= frames and height <= input_height and width <= input_width
    return is_smaller and height * width > 1 and abs(height - input_height * width / input_width) <= 1


def spans_of(positions: Tensor) -> tuple[tuple[int, int], ...]:
    """Convert a mask of tokens, (N,) bool, to (first, end) pairs."""
    edges = torch.nn.functional.pad(positions.int(), (1, 1)).diff().nonzero()[:, 0].tolist()
    return tuple(zip(edges[::2], edges[1::2], strict=True))

"""The grids that layers' outputs lie on."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Grid:
    """How a layer's output is laid out in space.

    `layout` is "nchw", "nhwc" or "tokens": (B, leading + h * w, C), where the leading ones are class and register
    tokens.
    """

    layout: str
    height: int
    width: int
    leading_tokens: int = 0

    @property
    def channel_axis(self) -> int:
        """Which axis of the layer's own output counts the channels."""
        return {"nchw": 1, "nhwc": 3, "tokens": 2}[self.layout]

    def fold(self, output: Tensor) -> Tensor:
        """The layer's output or its gradient -> (B, C, h, w)."""
        if self.layout == "nchw":
            return output
        if self.layout == "nhwc":
            return output.permute(0, 3, 1, 2)
        patches = output[:, self.leading_tokens :].transpose(1, 2)
        return patches.reshape(*patches.shape[:2], self.height, self.width)


def find_grid(shape: tuple[int, ...], input_size: tuple[int, int]) -> Grid | None:
    """The grid of an output of this shape, given the input's (height, width); None where it has no spatial extent."""
    if len(shape) == 4:
        for layout, (height, width) in (("nchw", shape[2:]), ("nhwc", shape[1:3])):
            if _covers(height, width, input_size):
                return Grid(layout, height, width)
    if len(shape) == 3:
        return _find_token_grid(shape[1], input_size)
    return None


def _covers(height: int, width: int, input_size: tuple[int, int]) -> bool:
    """Whether this could be the input seen at a lower resolution: more than one cell, and the same aspect to a cell."""
    input_height, input_width = input_size
    smaller = height <= input_height and width <= input_width
    return smaller and height * width > 1 and abs(height - input_height * width / input_width) <= 1


def _find_token_grid(tokens: int, input_size: tuple[int, int]) -> Grid | None:
    """The smallest number of leading tokens that leaves a grid with the input's aspect."""
    input_height, input_width = input_size
    for leading in range(min(tokens - 1, 17)):
        height = round(math.sqrt((tokens - leading) * input_height / input_width))
        width = (tokens - leading) // max(height, 1)
        if height * width == tokens - leading and _covers(height, width, input_size):
            return Grid("tokens", height, width, leading)
    return None

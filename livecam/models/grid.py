"""The spatial layout of the outputs of layers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Grid:
    """The spatial layout of a layer's output.

    Attributes:
        layout: "nchw", "nhwc", or "tokens" for (B, leading_tokens + height * width, C).
        height: The number of rows.
        width: The number of columns.
        leading_tokens: The number of class and register tokens before those of the picture.
    """

    layout: str
    height: int
    width: int
    leading_tokens: int = 0

    @property
    def channel_axis(self) -> int:
        """The axis of the channels in the layer's own output."""
        return {"nchw": 1, "nhwc": 3, "tokens": 2}[self.layout]

    def fold(self, output: Tensor) -> Tensor:
        """Convert the layer's output, or its gradient, to (B, C, h, w)."""
        if self.layout == "nchw":
            return output
        if self.layout == "nhwc":
            return output.permute(0, 3, 1, 2)
        patches = output[:, self.leading_tokens :].transpose(1, 2)
        return patches.reshape(*patches.shape[:2], self.height, self.width)


def find_grid(shape: tuple[int, ...], input_size: tuple[int, int]) -> Grid | None:
    """Return the grid of an output of this shape, None if it has no spatial extent; the input is (height, width)."""
    if len(shape) == 4:
        for layout, (height, width) in (("nchw", shape[2:]), ("nhwc", shape[1:3])):
            if _covers(height, width, input_size):
                return Grid(layout, height, width)
    if len(shape) == 3:
        return _find_token_grid(shape[1], input_size)
    return None


def _covers(height: int, width: int, input_size: tuple[int, int]) -> bool:
    """Return True if a grid has several cells and, to within a cell, the aspect of the input."""
    input_height, input_width = input_size
    smaller = height <= input_height and width <= input_width
    return smaller and height * width > 1 and abs(height - input_height * width / input_width) <= 1


def _find_token_grid(tokens: int, input_size: tuple[int, int]) -> Grid | None:
    """Return the grid with the input's aspect that leaves the fewest leading tokens, None if there is none."""
    input_height, input_width = input_size
    for leading in range(min(tokens - 1, 17)):
        height = round(math.sqrt((tokens - leading) * input_height / input_width))
        width = (tokens - leading) // max(height, 1)
        if height * width == tokens - leading and _covers(height, width, input_size):
            return Grid("tokens", height, width, leading)
    return None

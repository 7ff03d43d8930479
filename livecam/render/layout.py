"""How the tiles of a view make up one picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

from livecam.media import Orientation

LARGEST_SIDE = 4096
"""Pixels; several tiles are made smaller to stay within what hardware decodes. A single one is never scaled."""


@dataclass(frozen=True)
class Layout:
    """A grid of tiles, counted upright; sizes are those of the coded picture."""

    columns: int
    rows: int
    tile_width: int
    tile_height: int
    orientation: Orientation = Orientation()

    @classmethod
    def of(cls, tiles: int, width: int, height: int, orientation: Orientation) -> Layout:
        """Tiles for coded frames of this size: up to three side by side, more in a grid that is about square."""
        if tiles == 1:
            return cls(1, 1, width, height, orientation)
        columns = tiles if tiles <= 3 else math.ceil(math.sqrt(tiles))
        rows = math.ceil(tiles / columns)
        across, down = orientation.swap(columns, rows)
        scale = min(1.0, LARGEST_SIDE / (across * width), LARGEST_SIDE / (down * height))
        # Even sizes, so that every tile begins on a whole pixel of the chroma.
        tile_width, tile_height = (max(int(side * scale / 2), 1) * 2 for side in (width, height))
        return cls(columns, rows, tile_width, tile_height, orientation)

    @property
    def places(self) -> int:
        """How many tiles there is room for."""
        return self.columns * self.rows

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the coded picture that holds all tiles."""
        across, down = self.orientation.swap(self.columns, self.rows)
        return across * self.tile_width, down * self.tile_height

    def origin(self, number: int) -> tuple[int, int]:
        """(x, y) in the coded picture of the tile with this place in reading order."""
        row, column = divmod(number, self.columns)
        if self.orientation.flipped_x:
            column = self.columns - 1 - column
        if self.orientation.flipped_y:
            row = self.rows - 1 - row
        x, y = self.orientation.swap(column, row)
        return x * self.tile_width, y * self.tile_height

"""How the panels of a view make up one picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

from livecam.picture.media import Orientation

LARGEST_VIDEO_SIDE = 4096
"""Pixels: what hardware decodes."""


@dataclass(frozen=True)
class Layout:
    """A grid of panels, counted upright; sizes are those of the coded picture.

    Each panel holds a frame of `width` x `height`, made even by repeating the last line or column, so that the next one
    begins on a whole pixel of the chroma.
    """

    columns: int
    rows: int
    width: int
    height: int
    orientation: Orientation = Orientation()

    @classmethod
    def of(
        cls, panels: int, width: int, height: int, orientation: Orientation, largest_side: int | None = None
    ) -> Layout:
        """Panels for coded frames of this size: up to three side by side, more in a grid that is about square.

        Several panels are made smaller to stay within the largest side; a single one is never scaled.
        """
        if panels == 1:
            return cls(1, 1, width, height, orientation)
        columns = panels if panels <= 3 else math.ceil(math.sqrt(panels))
        rows = math.ceil(panels / columns)
        across, down = orientation.swap(columns, rows)
        limit = largest_side or math.inf
        scale = min(1.0, limit / (across * _even(width)), limit / (down * _even(height)))
        if scale < 1:
            width, height = (max(int(side * scale / 2), 1) * 2 for side in (width, height))
        return cls(columns, rows, width, height, orientation)

    @property
    def places(self) -> int:
        """How many panels there is room for."""
        return self.columns * self.rows

    @property
    def panel_size(self) -> tuple[int, int]:
        """(width, height) of a panel; a single one is as odd as its frame."""
        return (self.width, self.height) if self.places == 1 else (_even(self.width), _even(self.height))

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the coded picture that holds all panels."""
        across, down = self.orientation.swap(self.columns, self.rows)
        width, height = self.panel_size
        return across * width, down * height

    def origin(self, number: int) -> tuple[int, int]:
        """(x, y) in the coded picture of the panel with this place in reading order."""
        row, column = divmod(number, self.columns)
        if self.orientation.flipped_x:
            column = self.columns - 1 - column
        if self.orientation.flipped_y:
            row = self.rows - 1 - row
        across, down = self.orientation.swap(column, row)
        width, height = self.panel_size
        return across * width, down * height


def _even(side: int) -> int:
    return side + side % 2

"""The layout of a view's panels in one picture."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

from livecam.picture.media import Orientation

LARGEST_VIDEO_SIDE = 4096
"""The longest side in pixels of a video that hardware decodes everywhere."""


@dataclass(frozen=True)
class Layout:
    """The positions of the panels in the coded picture. Sizes are (width, height) in pixels.

    Attributes:
        size: The size of the whole picture.
        frame_size: The size of the frame in each panel.
        panel_size: The size of a panel: the frame's, or made even where there are several panels, so that the next one
            begins on a whole pixel of the chroma.
        origins: The top left corner, (x, y), of each slot for a panel, in the reading order of the upright picture.
            There may be more slots than panels.
    """

    size: tuple[int, int]
    frame_size: tuple[int, int]
    panel_size: tuple[int, int]
    origins: tuple[tuple[int, int], ...]


@functools.lru_cache(maxsize=64)
def lay_out(panels: int, width: int, height: int, orientation: Orientation, largest_side: int | None = None) -> Layout:
    """Lay out panels: up to three side by side, more in a grid that is about square.

    Args:
        panels: How many there are.
        width: The width of the coded frame.
        height: Its height.
        orientation: How the coded frame is turned to stand upright.
        largest_side: The maximum width and height of the picture in pixels; several panels are scaled down to fit. A
            single panel is never scaled.
    """
    if panels == 1:
        return Layout((width, height), (width, height), (width, height), ((0, 0),))
    columns = panels if panels <= 3 else math.ceil(math.sqrt(panels))
    rows = math.ceil(panels / columns)
    across, down = orientation.swap(columns, rows)
    limit = largest_side or math.inf
    scale = min(1.0, limit / (across * _even(width)), limit / (down * _even(height)))
    if scale < 1:
        width, height = (max(int(side * scale / 2), 1) * 2 for side in (width, height))
    panel_width, panel_height = _even(width), _even(height)
    corners = [
        orientation.swap(
            columns - 1 - column if orientation.flipped_x else column, rows - 1 - row if orientation.flipped_y else row
        )
        for row in range(rows)
        for column in range(columns)
    ]
    return Layout(
        size=(across * panel_width, down * panel_height),
        frame_size=(width, height),
        panel_size=(panel_width, panel_height),
        origins=tuple((x * panel_width, y * panel_height) for x, y in corners),
    )


def _even(side: int) -> int:
    return side + side % 2

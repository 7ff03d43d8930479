"""The layout of a view's panels in one picture."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

from livecam.picture.media import Orientation, Region

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
        origins: The top left corner, (x, y), of each panel, in the reading order of the upright picture.
        below: The top left corner and the size of what is drawn below a single panel; None if nothing is.
    """

    size: tuple[int, int]
    frame_size: tuple[int, int]
    panel_size: tuple[int, int]
    origins: tuple[tuple[int, int], ...]
    below: tuple[tuple[int, int], tuple[int, int]] | None = None

    @property
    def is_filled(self) -> bool:
        """True if the panels leave no part of the picture free."""
        below = math.prod(self.below[1]) if self.below else 0
        return len(self.origins) * math.prod(self.panel_size) + below == math.prod(self.size)

    def in_frame(self, x: float, y: float, orientation: Orientation) -> tuple[float, float] | None:
        """Return which point of the frame is at a point of the whole picture; None if no frame is there.

        Both are (x, y) in fractions of the upright pictures.
        """
        across, down = Region(x, y, x, y).coded(orientation)[:2]
        width, height = self.frame_size
        for left, top in self.origins:
            in_panel = (across * self.size[0] - left) / width, (down * self.size[1] - top) / height
            if all(0 <= each < 1 for each in in_panel):
                own_x, own_y = orientation.swap(*in_panel)
                return 1 - own_x if orientation.flipped_x else own_x, 1 - own_y if orientation.flipped_y else own_y
        return None


@functools.lru_cache(maxsize=64)
def lay_out(
    panels: int,
    width: int,
    height: int,
    orientation: Orientation,
    largest_side: int | None = None,
    columns: int | None = None,
) -> Layout:
    """Lay out panels in rows; a last row that is not full is centred.

    Args:
        panels: How many there are.
        width: The width of the coded frame.
        height: Its height.
        orientation: How the coded frame is turned to stand upright.
        largest_side: The maximum width and height of the picture in pixels; several panels are scaled down to fit. A
            single panel is never scaled.
        columns: The number of panels in a row; None for as many as there are rows, or one more, so that the whole has
            about the shape of the frame.
    """
    if panels == 1:
        return Layout((width, height), (width, height), (width, height), ((0, 0),))
    columns = min(columns or math.ceil(math.sqrt(panels)), panels)
    rows = math.ceil(panels / columns)
    across, down = orientation.swap(columns, rows)
    limit = largest_side or math.inf
    scale = min(1.0, limit / (across * _even(width)), limit / (down * _even(height)))
    if scale < 1:
        width, height = (max(int(side * scale / 2), 1) * 2 for side in (width, height))
    panel_size = _even(width), _even(height)
    upright_width, upright_height = orientation.swap(*panel_size)
    return Layout(
        size=(across * panel_size[0], down * panel_size[1]),
        frame_size=(width, height),
        panel_size=panel_size,
        origins=tuple(
            orientation.swap(
                (columns - 1) * upright_width - x if orientation.flipped_x else x,
                (rows - 1) * upright_height - y if orientation.flipped_y else y,
            )
            for x, y in _corners(panels, columns, upright_width, upright_height)
        ),
    )


@functools.lru_cache(maxsize=64)
def lay_out_above(
    share: float, width: int, height: int, orientation: Orientation, largest_side: int | None = None
) -> Layout:
    """Lay out a single panel above something that is as wide as it, and whose height is this share of the panel's.

    The other arguments are as in `lay_out`, and the whole is scaled down to fit, too.
    """
    upright_width, upright_height = orientation.swap(width, height)
    limit = largest_side or math.inf
    scale = min(1.0, limit / _even(upright_width), limit / (_even(upright_height) + _rounded(share * upright_height)))
    if scale < 1:
        width, height = (max(int(side * scale / 2), 1) * 2 for side in (width, height))
    panel_size = _even(width), _even(height)
    across, down = orientation.swap(*panel_size)
    below = _rounded(share * down)
    flipped = orientation.flipped_y
    return Layout(
        size=orientation.swap(across, down + below),
        frame_size=(width, height),
        panel_size=panel_size,
        origins=(orientation.swap(0, below if flipped else 0),),
        below=(orientation.swap(0, 0 if flipped else down), orientation.swap(across, below)),
    )


def _corners(panels: int, columns: int, width: int, height: int) -> list[tuple[int, int]]:
    """Return the top left corner, (x, y), of each panel in the upright picture; a last row that is not full is centred.

    Args:
        panels: How many there are.
        columns: How many of them are in a full row.
        width: The width of a panel.
        height: Its height.
    """
    gap = -panels % columns * width // 4 * 2  # even, so that a panel begins on a whole pixel of the chroma
    last_row = (panels - 1) // columns
    places = [divmod(panel, columns) for panel in range(panels)]
    return [(column * width + (gap if row == last_row else 0), row * height) for row, column in places]


def _even(side: int) -> int:
    return side + side % 2


def _rounded(side: float) -> int:
    """Round to an even number above 0."""
    return max(round(side / 2), 1) * 2

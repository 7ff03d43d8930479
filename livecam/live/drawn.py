"""A frame as it was drawn for the display."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av

from livecam.explanation import Explanation
from livecam.picture.frame import Frame
from livecam.render.views import Style


@dataclass(frozen=True)
class Drawn:
    """A frame as a pane has drawn it.

    `picture` is upright, with the heatmap; `aspect` is the width of its pixels by their height. `facts` says how the
    frame was explained, as in `Explained`.
    """

    frame: Frame
    explanation: Explanation
    facts: dict[str, Any]
    style: Style
    picture: av.VideoFrame
    aspect: Fraction

    @property
    def size(self) -> tuple[int, int]:
        """The (width, height) of the picture in square pixels."""
        return square_size(self.picture.width, self.picture.height, self.aspect)


def square_size(width: int, height: int, aspect: Fraction) -> tuple[int, int]:
    """Return the (width, height) in square pixels of a picture of this size, whose pixels have this aspect."""
    return max(round(width * aspect), 1), height

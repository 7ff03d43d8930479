"""Drawing explanations on pictures, independently of models, files and threads."""

from __future__ import annotations

from typing import Any

import numpy as np

from livecam.explanation import Explanation
from livecam.picture.frame import Frame
from livecam.render.layout import LARGEST_VIDEO_SIDE
from livecam.render.renderer import Renderer, drawn_size
from livecam.render.views import Style

__all__ = ["LARGEST_VIDEO_SIDE", "Renderer", "Style", "drawn_size", "overlay"]


def overlay(image: np.ndarray, explanation: Explanation, *, caption: bool = False, **style: Any) -> np.ndarray:
    """Draw an explanation over the picture that it explains.

    Args:
        image: The picture, (H, W, 3) uint8 RGB; it is only read.
        explanation: The explanation that an `Explainer` returned for it.
        caption: Write the class and its score into the picture.
        **style: The other fields of `livecam.render.Style`: view, blend, opacity, colormap, contour,
            colorbar, columns.

    Returns:
        A new picture, (H', W', 3) uint8 RGB; larger than `image` if the view has several panels.

    Raises:
        InputError: `image` is not an (H, W, 3) uint8 array.
        LivecamError: A field of the style is out of range.
    """
    draw = Renderer("gbrp", Style(caption=caption, **style))
    return draw(Frame.from_rgb(image), explanation).to_ndarray(format="rgb24")

"""Drawing: pure functions on pictures. Knows nothing of models, files or threads."""

from __future__ import annotations

from typing import Any

import numpy as np

from livecam.explanation import Explanation
from livecam.picture.frame import Frame
from livecam.render.layout import LARGEST_VIDEO_SIDE, Layout
from livecam.render.renderer import Renderer
from livecam.render.views import Style, panels_of

__all__ = ["LARGEST_VIDEO_SIDE", "Layout", "Renderer", "Style", "overlay", "panels_of"]


def overlay(image: np.ndarray, explanation: Explanation, *, caption: bool = False, **style: Any) -> np.ndarray:
    """Draw an explanation over the picture that it explains.

    Args:
        image: The picture, (H, W, 3) uint8 RGB.
        explanation: What an `Explainer` returned for this picture.
        caption: Write the class and its score into the picture.
        **style: The other fields of `Style`: view, opacity, colormap, contour, colorbar.

    Returns:
        A new picture, (H', W', 3) uint8 RGB. It is larger than `image` for a view with several panels.

    Raises:
        LivecamError: A field of the style is unknown or out of range, or the image is not such an array.
    """
    draw = Renderer("gbrp", Style(caption=caption, **style))
    return draw(Frame.from_rgb(image), explanation).to_ndarray(format="rgb24")

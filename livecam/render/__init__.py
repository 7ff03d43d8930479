"""Drawing: pure functions on pictures. Knows nothing of models, files or threads."""

from livecam.render.layout import LARGEST_VIDEO_SIDE, Layout
from livecam.render.renderer import Renderer
from livecam.render.views import Style, tiles_of

__all__ = ["LARGEST_VIDEO_SIDE", "Layout", "Renderer", "Style", "tiles_of"]

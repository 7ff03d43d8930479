"""Drawing: pure functions on pictures. Knows nothing of models, files or threads."""

from livecam.render.layout import Layout
from livecam.render.renderer import Renderer
from livecam.render.views import Style, tiles_of

__all__ = ["Layout", "Renderer", "Style", "tiles_of"]

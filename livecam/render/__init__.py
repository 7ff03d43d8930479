"""Drawing: pure functions on pictures. Knows nothing of models, files or threads."""

from livecam.render.renderer import Renderer

__all__ = ["Renderer"]

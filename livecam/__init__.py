"""livecam shows what an image classifier looks at, live or in files: each frame with its own heatmap."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from livecam._version import __version__

if TYPE_CHECKING:
    from livecam.errors import LivecamError
    from livecam.live.watch import watch
    from livecam.python.explainer import Explainer
    from livecam.python.explanation import Explanation
    from livecam.render import overlay
    from livecam.run.annotation import annotate
    from livecam.sources import open_source

__all__ = ["Explainer", "Explanation", "LivecamError", "__version__", "annotate", "open_source", "overlay", "watch"]

_HOMES = {
    "Explainer": "livecam.python.explainer",
    "Explanation": "livecam.python.explanation",
    "LivecamError": "livecam.errors",
    "annotate": "livecam.run.annotation",
    "open_source": "livecam.sources",
    "overlay": "livecam.render",
    "watch": "livecam.live.watch",
}


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    """Import a public name on first use: torch takes seconds to import, and `livecam --help` does without it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'livecam' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)

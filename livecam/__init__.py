"""livecam shows what an image classifier looks at, live or in files: each frame with its own heatmap.

`Explainer` explains pictures and streams of frames, `annotate` writes annotated copies of videos and pictures, and
`watch` shows cameras and streams live. The Python interface is described in docs/python.md.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from livecam._version import __version__

if TYPE_CHECKING:
    from livecam.errors import InputError, LivecamError, ModelError, OutputError
    from livecam.ledger import Ledger
    from livecam.live.watch import watch
    from livecam.models.classifier import Classifier, Preprocessing
    from livecam.picture.frame import Frame
    from livecam.python.clip import ClipExplanation
    from livecam.python.explainer import Explainer
    from livecam.python.explanation import Explanation
    from livecam.render import Style, overlay
    from livecam.run.annotation import annotate
    from livecam.sinks import EncoderOptions
    from livecam.sources import LiveOptions, Source, open_source

__all__ = [
    "Classifier",
    "ClipExplanation",
    "EncoderOptions",
    "Explainer",
    "Explanation",
    "Frame",
    "InputError",
    "Ledger",
    "LiveOptions",
    "LivecamError",
    "ModelError",
    "OutputError",
    "Preprocessing",
    "Source",
    "Style",
    "__version__",
    "annotate",
    "open_source",
    "overlay",
    "watch",
]

_HOMES = {
    "Classifier": "livecam.models.classifier",
    "ClipExplanation": "livecam.python.clip",
    "EncoderOptions": "livecam.sinks",
    "Explainer": "livecam.python.explainer",
    "Explanation": "livecam.python.explanation",
    "Frame": "livecam.picture.frame",
    "InputError": "livecam.errors",
    "Ledger": "livecam.ledger",
    "LiveOptions": "livecam.sources",
    "LivecamError": "livecam.errors",
    "ModelError": "livecam.errors",
    "OutputError": "livecam.errors",
    "Preprocessing": "livecam.models.classifier",
    "Source": "livecam.sources",
    "Style": "livecam.render",
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

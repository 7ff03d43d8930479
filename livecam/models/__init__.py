"""Models by name, with their weights, labels and preprocessing.

The names are imported on first use: all but facts about models needs torch, which takes seconds to import.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from livecam.models.classifier import Classifier, Preprocessing
    from livecam.models.labels import Labels
    from livecam.models.loading import classifier_of, load_model, weights_without_download
    from livecam.models.processors import preprocessing_of

__all__ = [
    "Classifier",
    "Labels",
    "Preprocessing",
    "classifier_of",
    "load_model",
    "preprocessing_of",
    "weights_without_download",
]

_HOMES = {
    "Classifier": "livecam.models.classifier",
    "Labels": "livecam.models.labels",
    "Preprocessing": "livecam.models.classifier",
    "preprocessing_of": "livecam.models.processors",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES.get(name, "livecam.models.loading")), name)

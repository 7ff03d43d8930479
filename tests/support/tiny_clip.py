"""Tiny models of open_clip with random weights, by the names `clip:tiny-vit` and so on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import pytest

_TEXT = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
_VISION: dict[str, dict[str, Any]] = {
    "tiny-vit": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "tiny-resnet": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "head_width": 16},
    "tiny-convnext": {"timm_model_name": "test_convnext", "timm_pool": "avg", "image_size": 64},
}
TINY = tuple(f"clip:{name}" for name in (*_VISION, "tiny-sigmoid"))


def register(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Make the models known to open_clip and livecam."""
    configs = {name: {"embed_dim": 32, "vision_cfg": vision, "text_cfg": _TEXT} for name, vision in _VISION.items()}
    configs["tiny-sigmoid"] = configs["tiny-vit"] | {"init_logit_bias": -1.0, "init_logit_scale": 2.0}
    for name, config in configs.items():
        (folder / f"{name}.json").write_text(json.dumps(config))
    patch.setattr(open_clip.factory, "_MODEL_CONFIG_PATHS", [folder])
    patch.setattr(open_clip.factory, "_MODEL_CONFIGS", {})
    open_clip.factory._rescan_model_configs()
    patch.setattr("livecam.models.known.architectures_of_clip", lambda: tuple(configs))

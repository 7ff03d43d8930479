"""Weights from a file, read so that no code in it can run."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from livecam.errors import ModelError
from livecam.models.classifier import Classifier


def load_state(classifier: Classifier, path: Path) -> None:
    """Put the state dict in this file into the module; it has to fit exactly. Raises ModelError."""
    state = _read_state(path)
    expected = classifier.module.state_dict()
    missing = [name for name in expected if name not in state]
    unexpected = [name for name in state if name not in expected]
    reshaped = [name for name, value in expected.items() if name in state and state[name].shape != value.shape]
    for what, wrong in (("lack", missing), ("have, unknown to it,", unexpected), ("have in another shape", reshaped)):
        if wrong:
            raise ModelError(
                f"the weights {path} are not of {classifier.name}: they {what} {wrong[0]}"
                + (f" and {len(wrong) - 1} more" if len(wrong) > 1 else "")
                + "; name their model with --model (and its classes with --labels)"
            )
    classifier.module.load_state_dict(state)


def _read_state(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings(action="ignore"):  # of what is in the file; the error below says it better
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as exc:
        raise ModelError(f"cannot read the weights {path}: {exc.strerror}") from exc
    except Exception as exc:  # whatever a file of another kind makes the reader stumble over
        raise ModelError(
            f"the weights {path} are not a plain state dict (other contents could run code, so they are refused); "
            "save them with torch.save(model.state_dict(), FILE)"
        ) from exc
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if isinstance(content, Mapping) and content and all(str(name).startswith("module.") for name in content):
        content = {str(name).removeprefix("module."): value for name, value in content.items()}  # from DataParallel
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ModelError(f"the weights {path} hold no state dict; save them with torch.save(model.state_dict(), FILE)")
    return dict(content)

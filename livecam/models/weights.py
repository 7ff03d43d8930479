"""Weights: random ones, files (read without executing code in them), and errors of downloads."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from livecam.errors import ModelError, some_of
from livecam.models.classifier import Classifier
from livecam.models.problems import input_errors

State = dict[str, Tensor]
"""A state dict: the tensors of a module by their names in it."""


def untrained(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a module with random weights from a fixed seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = build()
        for layer in module.modules():
            if isinstance(layer, nn.Linear) and not layer.weight.any():
                layer.reset_parameters()  # a ViT's head is initialised with zeros, which would stop the gradient
        return module


def calibrated(classifier: Classifier) -> Classifier:
    """Set the batch normalisation statistics of an untrained model to those of noise, and return the model.

    With their initial statistics the signal fades on its way through a deep network. What is left are rounding errors,
    and numbers so small that processors are slow with them.
    """
    norms = [layer for layer in classifier.module.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return classifier
    training, momenta = classifier.module.training, [norm.momentum for norm in norms]
    classifier.module.eval()
    for norm in norms:
        norm.train()
        norm.momentum = None  # a plain average over the input, which is one batch
    preprocessing = classifier.preprocessing
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad(), input_errors(classifier):
        classifier.module(torch.randn(2, preprocessing.channels, *preprocessing.size, generator=noise))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    classifier.module.train(training)
    return classifier


def download_error(name: str, host: str, exc: BaseException) -> ModelError:
    """Return the error for weights that cannot be downloaded: no network, a full disk, a file cut short."""
    return ModelError(
        f"the weights of {name} cannot be downloaded from {host} ({_reason(exc)}); connect to the network once, or "
        "give --weights FILE, or take --model efficientnet_lite0 or shapes, which need no download, or --weights none "
        "to try the speed"
    )


def _reason(exc: BaseException) -> str:
    """Return the first line of the innermost cause: libraries wrap the system's message in longer ones."""
    while inner := exc.__cause__ or exc.__context__:
        exc = inner
    reason = getattr(exc, "reason", None) or exc
    text = str(getattr(reason, "strerror", None) or reason) or type(reason).__name__
    return text.splitlines()[0]


def read_state(path: Path) -> State:
    """Read the state dict in a file of `torch.save`, or in one that ends in .safetensors. Raises ModelError."""
    try:
        path.open("rb").close()
        content = _safetensors(path) if path.suffix.lower() == ".safetensors" else _pickled(path)
    except OSError as exc:
        raise ModelError(f"cannot read the weights {path}: {exc.strerror}") from exc
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if isinstance(content, Mapping) and content and all(str(name).startswith("module.") for name in content):
        content = {str(name).removeprefix("module."): value for name, value in content.items()}  # from DataParallel
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ModelError(
            f"the weights {path} contain no state dict; save them with torch.save(model.state_dict(), FILE)"
        )
    for name, value in content.items():
        if form := _unusual_form(value):
            raise ModelError(
                f"the weights {path} hold a {form} tensor in {name}, and plain ones are needed; "
                "save the state dict of the model as it was trained"
            )
        # Converted to float32 as the model does: larger values become infinite.
        if value.is_floating_point() and not value.float().isfinite().all():
            raise ModelError(
                f"the weights {path} hold NaN or infinity in {name}: the training had diverged; "
                "take an earlier checkpoint"
            )
    return dict(content)


def _unusual_form(value: Tensor) -> str:
    """Return what keeps the values of a tensor from being loaded into a layer; empty for a plain tensor."""
    if value.is_meta:
        return "meta"
    if value.is_quantized:
        return "quantized"
    if value.is_nested or value.layout != torch.strided:
        return "nested" if value.is_nested else "sparse"
    return "complex" if value.is_complex() else ""


def _safetensors(path: Path) -> State:
    try:
        return load_file(path)
    except SafetensorError as exc:
        raise ModelError(
            f"the weights {path} are not a complete safetensors file ({exc}); fetch or save them again"
        ) from exc


def _pickled(path: Path) -> Any:
    try:
        with warnings.catch_warnings(action="ignore"):  # a warning about the content; the error below is clearer
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as exc:  # the reader may raise anything for a file of another kind
        raise ModelError(
            f"the weights {path} are not a plain state dict (other contents could run code, so they are refused); "
            "save them with torch.save(model.state_dict(), FILE)"
        ) from exc


def differing_shape(module: nn.Module, state: State) -> dict[str, int]:
    """Return the `classes` and `channels` with which to build a module so that a state dict fits it.

    Arguments that need no change are left out. The head is recognised by its shape: all tensors whose number of rows
    differs must agree on the new number.
    """
    rows: set[tuple[int, int]] = set()
    shape: dict[str, int] = {}
    for name, value in module.state_dict().items():
        if name not in state or state[name].shape == value.shape:
            continue
        ours, theirs = tuple(value.shape), tuple(state[name].shape)
        if ours[1:] == theirs[1:]:
            rows.add((ours[0], theirs[0]))
        elif len(theirs) == 4 and (ours[0], 3, *ours[2:]) == ours and (ours[0], 1, *ours[2:]) == theirs:
            shape["channels"] = 1
        else:
            return {}  # weights of another model: `load_state` raises the error
    if len(rows) == 1:
        shape["classes"] = rows.pop()[1]
    return shape


def load_state(classifier: Classifier, state: State, path: Path) -> None:
    """Load a state dict that was read from `path` into the module. Raises ModelError unless it fits exactly."""
    expected = classifier.module.state_dict()
    missing = [name for name in expected if name not in state]
    unexpected = [name for name in state if name not in expected]
    reshaped = [name for name, value in expected.items() if name in state and state[name].shape != value.shape]
    for problem, names in (("they lack", missing), ("it has no", unexpected), ("the shapes differ for", reshaped)):
        if names:
            raise ModelError(
                f"the weights {path} are not of {classifier.name}: {problem} {some_of(names, 1)}; "
                "name their model with --model (and its classes with --labels)"
            )
    classifier.module.load_state_dict(state)

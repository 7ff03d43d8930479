"""The classifiers of timm, the library of PyTorch image models: an optional extra."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from safetensors import SafetensorError
from torch import nn

from livecam.errors import ModelError
from livecam.models.classifier import Classifier, input_channels
from livecam.models.downloads import download_error
from livecam.models.known import TIMM
from livecam.models.processors import preprocessing_of_data
from livecam.models.weights.untrained import untrained

ADAPTS = ("classes", "channels")
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
"""The names of a model's weights on the hub, the preferred one first."""
USUAL_CLASSES = 1000
"""The default number of classes of a model that is published without a head."""


def is_installed() -> bool:
    """Return True if timm is installed."""
    return importlib.util.find_spec("timm") is not None


def recognises(name: str) -> bool:
    """Return True for a name with the prefix."""
    return name.startswith(TIMM)


@functools.cache
def names() -> tuple[str, ...]:
    """Return all names, sorted, with the prefix: architectures, and their published weights after a dot."""
    timm = _timm()
    return tuple(f"{TIMM}{name}" for name in sorted({*timm.list_models(), *timm.list_models(pretrained=True)}))


def config(name: str) -> Any:
    """Return timm's `PretrainedCfg` of a model, without building it."""
    return _timm().get_pretrained_cfg(name.removeprefix(TIMM))


def load(name: str) -> Classifier:
    """Return the classifier with its published weights, which are downloaded once. Raises ModelError."""
    timm, known = _timm(), config(name)
    if not known.has_weights:
        raise ModelError(
            f"there are no published weights of {name}; give --weights FILE, or --weights none to measure the speed"
        )
    if not known.num_classes:
        raise ModelError(
            f"{name} has no classes: its weights give features; name weights with classes "
            "(`livecam models` lists them), or give your own with --weights FILE"
        )
    file = cached_file(known) or _download(name, known) if known.hf_hub_id else None
    try:
        module = timm.create_model(
            name.removeprefix(TIMM), pretrained=True, pretrained_cfg_overlay={"file": file} if file else {}
        )
    except (OSError, RuntimeError, SafetensorError) as exc:
        if not file:
            raise download_error(name, urlparse(known.url).netloc, exc) from exc
        raise ModelError(
            f"the downloaded weights of {name} are damaged; delete {Path(file).parents[2]} to download them again"
        ) from exc
    return _classifier(name, module)


def build(name: str, *, classes: int | None = None, channels: int = 3) -> Classifier:
    """Return the classifier with random weights, the same each time. Raises ModelError if timm is not installed.

    `classes` replaces the number of classes of the published weights; the classifier then has no labels. `channels` is
    3, or 1 for grey pictures.
    """
    timm, known = _timm(), config(name)
    options = {"num_classes": classes or known.num_classes or USUAL_CLASSES, "in_chans": channels}
    module = untrained(lambda: timm.create_model(name.removeprefix(TIMM), pretrained=False, **options))
    return _classifier(name, module, new_head=bool(classes) or not known.num_classes)


def cached_file(known: Any) -> str | None:
    """Return the path of weights that were downloaded from the hub before, None if they were not."""
    from huggingface_hub import try_to_load_from_cache

    found = (try_to_load_from_cache(known.hf_hub_id, file) for file in WEIGHT_FILES)
    return next((path for path in found if isinstance(path, str)), None)


def _download(name: str, known: Any) -> str:
    """Download weights from the hub and return their path. Raises ModelError."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError

    file, other = WEIGHT_FILES
    try:
        try:
            # Ask the hub first: without a connection, the download itself would retry for most of a minute.
            get_hf_file_metadata(hf_hub_url(known.hf_hub_id, file))
        except EntryNotFoundError:
            file = other
        return hf_hub_download(known.hf_hub_id, file)
    except Exception as exc:  # the hub's client raises the errors of several other libraries
        raise download_error(name, urlparse(constants.ENDPOINT).netloc, exc) from exc


def _classifier(name: str, module: nn.Module, new_head: bool = False) -> Classifier:
    known: Any = module.pretrained_cfg
    preprocessing = preprocessing_of_data(_timm().data.resolve_model_data_config(module))
    if input_channels(module) == 1:
        preprocessing = preprocessing.in_grey()
    return Classifier(name, module, None if new_head else _labels(known), preprocessing)


def _labels(known: Any) -> tuple[str, ...] | None:
    data = _timm().data
    if subset := data.infer_imagenet_subset(known):
        return tuple(synonyms.split(",")[0] for synonyms in data.ImageNetInfo(subset).label_descriptions())
    return tuple(known.get("label_names") or ()) or None


def _timm() -> Any:
    try:
        import timm.data
    except ImportError as exc:
        raise ModelError("models named timm:NAME need timm; install it with: pip install 'livecam[timm]'") from exc
    return timm

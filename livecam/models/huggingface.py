"""The classifiers and detectors of Hugging Face's transformers, from the hub or a folder: an extra."""

from __future__ import annotations

import importlib.util
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import Tensor

from livecam.errors import ModelError, some_of
from livecam.models.classifier import Classifier, Preprocessing, input_channels
from livecam.models.detectors import PYRAMID
from livecam.models.downloads import first_cause
from livecam.models.guessing import usual_preprocessing
from livecam.models.known import HUGGING_FACE, is_repository
from livecam.models.processors import preprocessing_of
from livecam.models.queries import KINDS, QueryDetector
from livecam.models.weights.checkpoints import Key
from livecam.models.weights.untrained import untrained

log = logging.getLogger(__name__)

ADAPTS = ("classes",)
_DESCRIPTION = ("config.json", "preprocessor_config.json", "processor_config.json")
_WEIGHTS = ("model.safetensors", "model-*.safetensors", "model.safetensors.index.json")
_KINDS = ("IMAGE_CLASSIFICATION", "VIDEO_CLASSIFICATION", "SEMANTIC_SEGMENTATION", "OBJECT_DETECTION")
_FRAMES_PER_SECOND = {"videomae": 30 / 4, "timesformer": 30 / 32, "vivit": 30 / 2}
"""The rates of the papers, by the kind of model: one of several frames of a video with 30 a second."""
_PROCESSORS = {"rt_detr_v2": "RTDetrImageProcessor"}
"""The image processors that transformers knows for no configuration of the kind, by the kind of model."""
_SCORES = {"regression": "raw", "multi_label_classification": "sigmoid"}


def is_installed() -> bool:
    """Return True if transformers is installed."""
    return importlib.util.find_spec("transformers") is not None


def recognises(name: str) -> bool:
    """Return True for a name with the prefix."""
    return name.startswith(HUGGING_FACE)


def load(name: str) -> Classifier:
    """Return the classifier with the weights of its checkpoint, which are downloaded once. Raises ModelError."""
    folder = _folder(name, (*_DESCRIPTION, *_WEIGHTS))
    if not any(file for pattern in _WEIGHTS for file in folder.glob(pattern)):
        raise ModelError(
            f"{name} has no weights as model.safetensors (pickled ones are not read, since they could run code); "
            "save it again with save_pretrained of transformers, or give --weights FILE"
        )
    with _loading(name):
        config = _config(name, folder)
        module, found = _auto_class(config).from_pretrained(
            folder,
            config=config,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,  # or the error would refer to a report, which is not shown
            output_loading_info=True,
        )
        if mismatched := sorted(key[0] for key in found["mismatched_keys"]):
            raise ModelError(
                f"the weights of {name} have other shapes than its config.json says: {some_of(mismatched, 2)}; "
                "give it the config.json of its training"
            )
        if missing := sorted(found["missing_keys"]):
            raise ModelError(
                f"the checkpoint of {name} is of {_architecture(config)} and lacks {some_of(missing, 2)}: its classes "
                "would be random; name one that was trained to classify"
            )
        return replace(classifier_of(name, module), preprocessing=_preprocessing(name, folder, module))


def build(name: str, *, classes: int | None = None) -> Classifier:
    """Return the classifier with random weights, the same each time; `classes` replaces the number of its classes.

    Its configuration is downloaded once. Raises ModelError.
    """
    folder = _folder(name, _DESCRIPTION)
    with _loading(name):
        config = _config(name, folder)
        if classes:
            config.num_labels = classes  # which also replaces the names
        module = untrained(lambda: _auto_class(config).from_config(config))
        return replace(classifier_of(name, module), preprocessing=_preprocessing(name, folder, module))


def is_own(model: object) -> bool:
    """Return True for a model of transformers."""
    transformers = sys.modules.get("transformers")  # if nobody has imported it, it has made no model
    return transformers is not None and isinstance(model, transformers.PreTrainedModel)


def classifier_of(name: str, module: Any) -> Classifier:
    """Return the classifier for a model of transformers, with what its configuration says of its classes.

    Raises ModelError if it is a detector that cannot be explained.
    """
    config = module.config
    labels = tuple((config.id2label or {}).get(index, f"class {index}") for index in range(config.num_labels or 0))
    if all(label == f"LABEL_{index}" for index, label in enumerate(labels)):
        labels = ()
    if _mapping("OBJECT_DETECTION").get(type(config), None) is type(module):
        return Classifier(name, _adapter(name, config)(module), labels or None, task="boxes", layer=PYRAMID)
    usual = "raw" if config.num_labels == 1 else "softmax"
    return Classifier(name, module, labels or None, scores=_SCORES.get(config.problem_type or "", usual))


def _adapter(name: str, config: Any) -> type[QueryDetector]:
    if config.model_type not in KINDS:
        raise ModelError(
            f"{name} detects objects as {config.model_type}, which is not explained; name a detector of the kinds "
            f"{', '.join(KINDS)}"
        )
    return KINDS[config.model_type]


def renamed(module: Any, tensors: dict[Key, Tensor]) -> dict[Key, Tensor]:
    """Return the tensors of a file by the names that a model of transformers has for them; those of others as they are.

    Files keep the names of former versions of transformers, which are changed whenever a file is loaded.
    """
    model = module.whole if isinstance(module, QueryDetector) else module
    if not is_own(model):
        return tensors
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightRenaming, apply_renamings

    renamings = [each for each in get_model_conversion_mapping(model) if isinstance(each, WeightRenaming)]
    return {(*key[:-1], apply_renamings(key[-1], renamings)): value for key, value in tensors.items()}


def guessed_preprocessing(name: str, module: Any) -> Preprocessing:
    """Return what image processors do by default for a model of transformers, and tell it in a note.

    A model of timm inside one of transformers has its preprocessing in its configuration, and no note is needed.
    """
    config = module.config
    if published := getattr(config, "pretrained_cfg", None):  # of a model of timm inside one of transformers
        return preprocessing_of(_transformers().TimmWrapperImageProcessor(published), input_channels(module))
    processors = _transformers().IMAGE_PROCESSOR_MAPPING.get(type(config), None) or {}
    usual = getattr(_transformers(), _PROCESSORS.get(config.model_type, ""), None)
    if processor := processors.get("torchvision", usual):
        made = preprocessing_of(processor(), input_channels(module))
    else:
        made = usual_preprocessing(module)
    if size := getattr(getattr(config, "vision_config", config), "image_size", None):
        height, width = size if isinstance(size, list | tuple) else (size, size)
        made = replace(made, size=(height, width), resize=(height, width))
    made = _of_clips(made, config)
    log.warning(
        f"{name} comes without its image processor, so the default is what is usual for {config.model_type}: "
        f"{made.size[1]}x{made.size[0]}, mean {_in_short(made.mean)}, deviation {_in_short(made.std)}; "
        "say otherwise with --input-size, --mean and --std, or in Python with preprocessing"
    )
    return made


def _in_short(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in dict.fromkeys(values))


def _preprocessing(name: str, folder: Path, module: Any) -> Preprocessing:
    if not any((folder / file).exists() for file in _DESCRIPTION[1:]):
        return guessed_preprocessing(name, module)
    processor = _transformers().AutoImageProcessor.from_pretrained(
        folder, config=module.config, trust_remote_code=False, backend="torchvision"
    )
    return _of_clips(preprocessing_of(processor, input_channels(module)), module.config)


def _of_clips(preprocessing: Preprocessing, config: Any) -> Preprocessing:
    """Return the preprocessing with the number and rate of frames, if a model takes clips."""
    frames = getattr(config, "num_frames", 1)
    if frames == 1:
        return preprocessing
    rate = _FRAMES_PER_SECOND.get(config.model_type)
    return replace(preprocessing, frames=frames, frames_per_second=rate, frames_first=True)


def _auto_class(config: Any) -> Any:
    """Return the class of transformers that loads the classifiers of a configuration's kind."""
    kind = _kind(config)
    assert kind is not None  # `_config` has checked it
    return getattr(_transformers(), f"AutoModelFor{kind.title().replace('_', '')}")


def _kind(config: Any) -> str | None:
    """Return the kind of the classifier that a checkpoint is of, by default the first that its configuration fits."""
    known = {kind: _mapping(kind).get(type(config), None) for kind in _KINDS}
    fitting = [kind for kind in _KINDS if known[kind] is not None]
    named = (kind for kind in fitting if getattr(known[kind], "__name__", "") in (config.architectures or ()))
    return next(named, fitting[0] if fitting else None)


def _mapping(kind: str) -> Any:
    """Return the classes of models of a kind by the type of their configuration."""
    return getattr(_transformers(), f"MODEL_FOR_{kind}_MAPPING")


def _config(name: str, folder: Path) -> Any:
    """Return the configuration in a folder. Raises ModelError if it is not of a classifier that transformers knows."""
    transformers = _transformers()
    _check_kind(name, folder)
    config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
    kind = _kind(config)
    if kind is None:
        raise ModelError(
            f"{name} is no model that classifies, segments or detects, but {_architecture(config)}; name one that does"
        )
    classes = _mapping(kind)[type(config)]
    first = classes[0] if isinstance(classes, tuple) else classes
    config.architectures = config.architectures or [first.__name__]  # which transformers chooses among several by
    return config


def _check_kind(name: str, folder: Path) -> None:
    """Raise ModelError if transformers has no code for the kind of model in a folder."""
    transformers = _transformers()
    described = _described(name, folder / "config.json")
    kind = described.get("model_type")
    if kind is None and "architecture" in described:
        raise ModelError(
            f"{name} is a model of timm; name it --model timm:{described['architecture']} "
            f"--weights {folder / 'model.safetensors'}"
        )
    if kind is None or kind in transformers.CONFIG_MAPPING:
        return
    if "auto_map" in described:
        raise ModelError(f"{name} needs code of its own, which could do anything: it is not run")
    raise ModelError(
        f"{name} is a {kind!r}, which transformers {transformers.__version__} does not know; "
        "a newer one might: pip install --upgrade transformers"
    )


def _described(name: str, file: Path) -> dict[str, Any]:
    """Return what the config.json of a model says. Raises ModelError."""
    try:
        described = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as exc:
        raise ModelError(f"the config.json of {name} is damaged ({first_cause(exc)}); download it again") from exc
    if not isinstance(described, dict):
        raise ModelError(f"the config.json of {name} describes no model; download it again")
    return described


def _architecture(config: Any) -> str:
    return (config.architectures or [config.model_type])[0]


@contextmanager
def _loading(name: str) -> Iterator[Any]:
    """Yield transformers, which is quiet inside the block; what it raises becomes a ModelError in one line."""
    transformers = _transformers()
    reports = transformers.utils.logging
    verbosity, shows_progress = reports.get_verbosity(), reports.is_progress_bar_enabled()
    reports.set_verbosity_error()
    reports.disable_progress_bar()
    try:
        yield transformers
    except ModelError:
        raise
    except Exception as exc:  # transformers raises the errors of several other libraries
        raise ModelError(
            f"{name} cannot be loaded ({first_cause(exc)}); save it again with save_pretrained of transformers, or "
            "download it again"
        ) from exc
    finally:
        reports.set_verbosity(verbosity)
        if shows_progress:
            reports.enable_progress_bar()


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as exc:
        raise ModelError("models named hf:NAME need transformers; install it with: pip install 'livecam[hf]'") from exc
    return transformers


def _folder(name: str, patterns: tuple[str, ...]) -> Path:
    """Return the folder with the files of a model, downloaded if it is a repository of the hub. Raises ModelError."""
    _transformers()
    source = name.removeprefix(HUGGING_FACE)
    if not source:
        raise ModelError(f"{name} names no model; give hf:ORGANISATION/NAME, or hf:FOLDER")
    path = Path(source).expanduser()
    folder = path if path.is_dir() else _downloaded(name, source, patterns)
    if not (folder / "config.json").exists():
        raise ModelError(f"{name} has no config.json, so it is no model that save_pretrained of transformers saved")
    return folder


def _downloaded(name: str, repository: str, patterns: tuple[str, ...]) -> Path:
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError

    if repository.startswith("timm/"):
        raise ModelError(f"{name} is a model of timm; name it timm:{repository.removeprefix('timm/')}")
    if not is_repository(repository):
        raise ModelError(
            f"there is no folder {repository!r}; {name!r} has to name one that save_pretrained of transformers saved, "
            "or a repository of the hub, hf:ORGANISATION/NAME"
        )
    host = urlparse(constants.ENDPOINT).netloc
    try:
        try:
            folder = Path(snapshot_download(repository, allow_patterns=list(patterns), local_files_only=True))
            if _is_complete(folder, patterns):
                return folder
        except LocalEntryNotFoundError:
            pass
        # Ask the hub first: without a connection, the download itself would retry for most of a minute.
        get_hf_file_metadata(hf_hub_url(repository, "config.json"))
        return Path(snapshot_download(repository, allow_patterns=list(patterns)))
    except RepositoryNotFoundError as exc:
        raise ModelError(f"there is no model {repository} on {host}, or it is private; check the name") from exc
    except Exception as exc:  # the hub's client raises the errors of several other libraries
        raise ModelError(
            f"{name} cannot be downloaded from {host} ({first_cause(exc)}); connect to the network once, or name a "
            "folder that holds it"
        ) from exc


def _is_complete(folder: Path, patterns: tuple[str, ...]) -> bool:
    """Return True if all of these files that the model consists of have been downloaded."""
    index = folder / "model.safetensors.index.json"
    if "model.safetensors" not in patterns:
        return (folder / "config.json").exists()
    if index.exists():
        parts = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        return all((folder / part).exists() for part in parts)
    return (folder / "model.safetensors").exists()

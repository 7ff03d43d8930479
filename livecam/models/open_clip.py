"""The models of open_clip, which compare pictures with words: CLIP, SigLIP and their relatives. An optional extra."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import Tensor

from livecam.errors import ModelError
from livecam.models.classifier import Classifier, Preprocessing
from livecam.models.downloads import download_error, first_cause
from livecam.models.known import CLIP, unknown_model
from livecam.models.weights.untrained import untrained

ADAPTS = ()
_PREPROCESSING = ("mean", "std", "interpolation", "resize_mode")


def recognises(name: str) -> bool:
    """Return True for a name with the prefix."""
    return name.startswith(CLIP)


def names() -> tuple[str, ...]:
    """Return all architectures with the prefix, and with each of their published weights. Raises ModelError."""
    open_clip = _open_clip()
    return tuple(
        name
        for architecture in open_clip.list_models()
        for name in [
            f"{CLIP}{architecture}",
            *(f"{CLIP}{architecture}/{tag}" for tag in open_clip.list_pretrained_tags_by_model(architecture)),
        ]
    )


def where(name: str) -> str:
    """Return where the weights of a model are, as in `livecam.models.catalog.Entry`."""
    architecture, tag = _parts(name)
    published = _published(architecture, tag or _first_tag(architecture))
    if not published:
        return "none published"
    return "on disk" if _cached(published) else "to download"


def load(name: str) -> Classifier:
    """Return the model with published weights, which are downloaded once: those after the slash, else the first.

    Raises ModelError.
    """
    architecture, tag = _parts(name)
    tag = tag or _first_tag(architecture)
    if not tag:
        raise ModelError(
            f"there are no published weights of {name}; give --weights FILE, or --weights none to measure the speed"
        )
    name = f"{CLIP}{architecture}/{tag}"
    file = _weights(name, _published(architecture, tag))
    classifier = build(name)
    try:
        with _quiet():
            _open_clip().load_checkpoint(classifier.module, str(file))
    except Exception as exc:  # of several formats, whose readers raise all kinds of errors
        raise ModelError(
            f"the downloaded weights of {name} are damaged ({first_cause(exc)}); delete {file} to download them again"
        ) from exc
    return classifier


def build(name: str) -> Classifier:
    """Return the model with random weights, the same each time; raises ModelError.

    The preprocessing is that of the weights after the slash, else of the first published ones.
    """
    architecture, tag = _parts(name)
    published = _published(architecture, tag or _first_tag(architecture))
    wanted = {key: published[key] for key in _PREPROCESSING if key in published}
    create = functools.partial(
        _open_clip().create_model,
        architecture,
        # Weights of OpenAI and others need another activation than the architecture says: open_clip only warns.
        force_quick_gelu=bool(tag) and published.get("quick_gelu", False),
        force_preprocess_cfg=wanted,
        pretrained_text=False,
        output_dict=True,
    )
    try:
        with _quiet():
            module = untrained(create)
            tokenizer = _open_clip().get_tokenizer(architecture)
    except Exception as exc:  # the hub's client, from which some text encoders come, raises those of other libraries
        raise ModelError(
            f"what {name} reads texts with cannot be downloaded ({first_cause(exc)}); connect to the network once"
        ) from exc
    return Classifier(
        name, module, preprocessing=_preprocessing(module), task="words", encoder=_Encoder(name, module, tokenizer)
    )


class _Encoder:
    """The text encoder of a model, as `livecam.models.classifier.TextEncoder` describes it."""

    def __init__(self, name: str, module: Any, tokenizer: Any) -> None:
        self._name, self._module, self._tokenizer = name, module, tokenizer

    @property
    def scale(self) -> float:
        return float(self._module.logit_scale.exp())

    @property
    def bias(self) -> float | None:
        bias = getattr(self._module, "logit_bias", None)
        return None if bias is None else float(bias)

    def __call__(self, prompts: Sequence[str]) -> Tensor:
        tokens = torch.cat(list(map(self._tokens, prompts)))
        device = next(self._module.parameters()).device
        features: Tensor = self._module.encode_text(tokens.to(device), normalize=True)
        return features

    def _tokens(self, prompt: str) -> Tensor:
        """Return the tokens of a prompt, (1, length) int64. Raises ModelError if open_clip would cut it."""
        length = self._tokenizer.context_length
        longer, empty = (self._tokenizer([text], context_length=length + 1) for text in (prompt, ""))
        if longer[0, -1] != empty[0, -1]:
            raise ModelError(
                f"the prompt {prompt[:40]!r}... is too long: {self._name} reads {length} tokens, about as many words"
            )
        tokens: Tensor = self._tokenizer([prompt])
        return tokens


def _parts(name: str) -> tuple[str, str]:
    """Return the architecture and the tag of published weights in a name, empty if it has none. Raises ModelError."""
    architecture, slash, tag = name.removeprefix(CLIP).partition("/")
    tags = _open_clip().list_pretrained_tags_by_model(architecture)
    if slash and not _open_clip().pretrained.is_pretrained_cfg(architecture, tag):
        raise unknown_model(name, [f"{CLIP}{architecture}/{each}" for each in tags])
    return architecture, tag


def _first_tag(architecture: str) -> str:
    return next(iter(_open_clip().list_pretrained_tags_by_model(architecture)), "")


def _published(architecture: str, tag: str) -> dict[str, Any]:
    found: dict[str, Any] = _open_clip().get_pretrained_cfg(architecture, tag)
    return found


def _preprocessing(module: Any) -> Preprocessing:
    given = module.visual.preprocess_cfg
    size = given["size"]
    height, width = size if isinstance(size, list | tuple) else (size, size)
    return Preprocessing(
        size=(height, width),
        resize=min(height, width) if given["resize_mode"] == "shortest" else (height, width),
        mean=tuple(given["mean"]),
        std=tuple(given["std"]),
        interpolation=given["interpolation"],
    )


def _weights(name: str, published: dict[str, Any]) -> Path:
    """Return the file of published weights, which is downloaded unless it was before. Raises ModelError."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError

    if cached := _cached(published):
        return Path(cached)
    repository, files = _on_hub(published)
    try:
        if repository:
            with suppress(EntryNotFoundError):
                # Ask the hub first: without a connection, the download itself would retry for most of a minute.
                get_hf_file_metadata(hf_hub_url(repository, files[0]))
        return Path(_open_clip().download_pretrained(published))
    except Exception as exc:  # the hub's client raises the errors of several other libraries
        raise download_error(
            name, urlparse(constants.ENDPOINT if repository else published["url"]).netloc, exc
        ) from exc


def _cached(published: dict[str, Any]) -> str | None:
    """Return the path of published weights that were downloaded from the hub before, None if they were not."""
    from huggingface_hub import try_to_load_from_cache

    repository, files = _on_hub(published)
    found = (try_to_load_from_cache(repository, file) for file in files if repository)
    return next((path for path in found if isinstance(path, str)), None)


def _on_hub(published: dict[str, Any]) -> tuple[str, list[str]]:
    """Return the repository of published weights, and how their file may be called, the preferred name first."""
    constants = _open_clip().constants
    repository, _, file = published.get("hf_hub", "").rpartition("/")
    return repository, [file] if file else [constants.HF_SAFE_WEIGHTS_NAME, constants.HF_WEIGHTS_NAME]


@contextmanager
def _quiet() -> Iterator[None]:
    """Drop what open_clip logs by the root logger inside the block, which would also set up a handler for all logs."""
    root, silent = logging.getLogger(), logging.NullHandler()

    def drops(record: logging.LogRecord) -> bool:
        return False

    root.addHandler(silent)
    root.addFilter(drops)
    try:
        yield
    finally:
        root.removeFilter(drops)
        root.removeHandler(silent)


def _open_clip() -> Any:
    try:
        import open_clip
    except ImportError as exc:
        raise ModelError("models named clip:NAME need open_clip; install it with: pip install 'livecam[clip]'") from exc
    return open_clip

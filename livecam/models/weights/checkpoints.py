"""Reading the tensors in a file of weights, whatever the file is and wherever in it they are, without running code."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from livecam.errors import ModelError, is_out_of_memory
from livecam.models.labels import HOLDERS, labels_of
from livecam.models.weights.pickles import CodeError, read_pickled

Key = tuple[str, ...]
"""The place of a tensor in a file: the keys of the containers that lead to it, and its name in the last of them."""
Tensors = dict[Key, Tensor]
"""The tensors of a file by their keys."""
IN_FOLDER = (
    "model.safetensors.index.json",
    "model.safetensors",
    "pytorch_model.bin.index.json",
    "pytorch_model.bin",
)
"""The files of weights that are looked for in a folder: those of Hugging Face."""
CONTENT = Tensor | Mapping | list | tuple
"""The types that are looked at in a file: tensors, and the containers in which there may be some."""
SAVE = "save them with torch.save(model.state_dict(), FILE)"
ZIP = b"PK\x03\x04"
"""The first bytes of files of `torch.save`, and of some others."""
LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The first bytes of files of `torch.save` until version 1.6."""
FOREIGN: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "a pointer of Git LFS; fetch the file that it stands for with: git lfs pull"),
    (b"<", "a web page, which a failed download leaves; fetch the file itself"),
    (b"\x89HDF", f"an HDF5 file, as Keras writes; convert the model to PyTorch and {SAVE}"),
    (b"GGUF", f"a GGUF file; convert the model to PyTorch and {SAVE}"),
    (b"\x80", f"a plain pickle, which could run code; {SAVE}"),
    (b"\x1f\x8b", "packed by gzip; unpack it"),
    (b"BZh", "packed by bzip2; unpack it"),
    (b"\xfd7zXZ", "packed by xz; unpack it"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it"),
)
"""The first bytes of files of other kinds, what they are, and what to do."""
SUFFIXES = {
    ".onnx": "an ONNX program",
    ".pb": "a program of TensorFlow",
    ".tflite": "a program of TensorFlow",
    ".keras": "a model of Keras",
    ".index": "a checkpoint of TensorFlow",
    ".meta": "a checkpoint of TensorFlow",
    ".data-00000-of-00001": "a checkpoint of TensorFlow",
    ".msgpack": "a checkpoint of JAX",
}
"""Other kinds of files, by their suffixes, that do not begin with bytes of their own."""


@dataclass(frozen=True)
class Checkpoint:
    """The content of a file of weights.

    Attributes:
        tensors: All tensors, in the order of the file.
        labels: The lists of names that are beside the tensors; one may be that of the classes.
    """

    tensors: Tensors
    labels: list[tuple[str, ...]]


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a file of `torch.save`, safetensors or NumPy's .npz; an index of such files, or a folder with one of these.

    Raises ModelError if the file cannot be read, is of another kind, would run code, or holds no tensors.
    """
    try:
        content = _content(path)
    except OSError as exc:
        raise ModelError(f"cannot read the weights {exc.filename or path}: {exc.strerror or exc}") from exc
    inside = list(_walk(content))
    tensors = {key: value for key, value in inside if isinstance(value, Tensor)}
    labels = [names for _, value in inside for names in _labels_in(value)]
    if not tensors:
        raise ModelError(f"the weights {path} contain no state dict; {SAVE}")
    for key, value in tensors.items():
        if form := _unusual_form(value):
            raise ModelError(
                f"the weights {path} hold a {form} tensor in {'.'.join(key)}, and plain ones are needed; "
                "save the state dict of the model as it was trained"
            )
    return Checkpoint(tensors, labels)


def _content(path: Path) -> Any:
    if path.is_dir():
        return _content(_in_folder(path))
    with path.open("rb") as file:
        beginning = file.read(512)
    if path.name.endswith(".index.json"):
        return _sharded(path)
    if beginning[8:9] == b"{":
        return _safetensors(path)
    if problem := _problem(path, beginning):
        raise ModelError(f"the weights {path} are {problem}")
    return _of_numpy(path) if _is_of_numpy(path) else _pickled(path)


def _in_folder(folder: Path) -> Path:
    for name in IN_FOLDER:
        if (folder / name).is_file():
            return folder / name
    if (folder / ".metadata").is_file():
        raise ModelError(
            f"the weights {folder} are a distributed checkpoint; make a file of it with: "
            "python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER FILE"
        )
    raise ModelError(f"the weights {folder} are a folder without a {IN_FOLDER[1]}; name the file")


def _problem(path: Path, beginning: bytes) -> str | None:
    """Return what a file is that holds no weights which can be read, and what to do; None if it may hold some."""
    if beginning.startswith(ZIP):
        return _problem_of_zip(path)
    if beginning.startswith(LEGACY):
        return None
    for sign, kind in FOREIGN:
        if beginning.lstrip().startswith(sign):
            return kind
    if not beginning:
        return "an empty file; fetch or save it again"
    if beginning[257:262] == b"ustar":
        return "a tar archive; unpack it"
    if program := SUFFIXES.get(path.suffix.lower()):
        return f"{program}; convert the model to PyTorch and {SAVE}"
    return "neither a file of torch.save nor of safetensors; fetch or save them again"


def _problem_of_zip(path: Path) -> str | None:
    if not zipfile.is_zipfile(path):
        return "cut off: the end of the file is missing; fetch or save it again"
    with zipfile.ZipFile(path) as archive:
        inside = {name.partition("/")[2] for name in archive.namelist()}
    if "constants.pkl" in inside:
        return "a TorchScript program; save its state: torch.save(torch.jit.load(FILE).state_dict(), NEW_FILE)"
    if "archive_format" in inside:
        return "a program of torch.export; save its state: torch.save(torch.export.load(FILE).state_dict, NEW_FILE)"
    if "data.pkl" not in inside and not _is_of_numpy(path):
        return "a zip archive without a state dict; unpack it"
    return None


def _sharded(index: Path) -> dict[Any, Any]:
    """Read the files that an index of Hugging Face lists."""
    try:
        names = set(json.loads(index.read_text())["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise ModelError(f"the weights {index} are not an index of files: it has no weight_map") from exc
    shards = [_content(index.with_name(Path(name).name)) for name in sorted(names)]
    return {name: value for shard in shards for name, value in shard.items()}


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as exc:
        raise ModelError(
            f"the weights {path} are not a complete safetensors file ({exc}); fetch or save them again"
        ) from exc


def _is_of_numpy(path: Path) -> bool:
    return zipfile.is_zipfile(path) and all(name.endswith(".npy") for name in zipfile.ZipFile(path).namelist())


def _of_numpy(path: Path) -> dict[str, Tensor]:
    with np.load(path, allow_pickle=False) as arrays:
        return {name.replace("/", "."): torch.from_numpy(arrays[name]) for name in arrays}


def _pickled(path: Path) -> Any:
    try:
        return read_pickled(path)
    except OSError:
        raise
    except CodeError as exc:
        raise ModelError(
            f"the weights {path} would call {exc} when they are read, which could run code, so they are refused; {SAVE}"
        ) from exc
    except (UnpicklingError, TypeError) as exc:
        raise ModelError(
            f"the weights {path} hold a whole model, or what else cannot be read without running code; {SAVE}"
        ) from exc
    except Exception as exc:  # the reader may raise anything for a damaged file
        if is_out_of_memory(exc):
            raise
        raise ModelError(f"the weights {path} are damaged; fetch or save them again") from exc


def _walk(content: Any) -> Iterator[tuple[Key, Any]]:
    """Yield all tensors and containers in a content, in its order. A container that is there twice counts once."""
    seen: set[int] = set()
    pending: list[tuple[Key, Any]] = [((), content)] if isinstance(content, CONTENT) else []
    while pending:
        key, value = pending.pop()
        yield key, value
        if not isinstance(value, Tensor) and id(value) not in seen:
            seen.add(id(value))
            inside = [((*key, str(name)), inner) for name, inner in _items(value) if isinstance(inner, CONTENT)]
            pending += reversed(inside)


def _labels_in(value: Any) -> Iterator[tuple[str, ...]]:
    """Yield the names of classes in a container, or among the attributes of the object that it stands for."""
    for mapping in (value, getattr(value, "__dict__", {})):
        if isinstance(mapping, Mapping) and mapping.keys() & set(HOLDERS):
            with suppress(ModelError):
                yield labels_of(mapping)


def _items(value: Any) -> Iterable[tuple[object, Any]]:
    """Return what is in a container, or in the object that a mapping of `read_pickled` stands for."""
    if not isinstance(value, Mapping):
        return enumerate(value)
    attributes = getattr(value, "__dict__", {})
    if "_modules" in attributes:
        return list(_state_of(attributes))
    return [*dict.items(value), *attributes.items()]  # type: ignore[arg-type]


def _state_of(module: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what the state dict of a pickled `nn.Module` holds; these are its attributes."""
    yield from module["_parameters"].items()
    temporary = module["_non_persistent_buffers_set"]
    yield from ((name, value) for name, value in module["_buffers"].items() if name not in temporary)
    for name, child in module["_modules"].items():
        if child is not None:
            yield from ((f"{name}.{inner}", value) for inner, value in _state_of(child.__dict__))


def _unusual_form(value: Tensor) -> str:
    """Return what keeps the values of a tensor from being loaded into a layer; empty for a plain tensor."""
    if value.is_meta:
        return "meta"
    if value.is_quantized:
        return "quantized"
    if value.is_nested or value.layout != torch.strided:
        return "nested" if value.is_nested else "sparse"
    return "complex" if value.is_complex() else ""

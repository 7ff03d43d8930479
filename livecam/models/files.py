"""Models in files: programs of `torch.export` and TorchScript, and what to do with files of other kinds."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path

import torch

from livecam.errors import ModelError, in_one_line
from livecam.models.classifier import Classifier
from livecam.models.guessing import usual_preprocessing
from livecam.models.known import FILE_ENDINGS
from livecam.models.programs import classifier_of_program

ADAPTS: tuple[str, ...] = ()
_FROM_CODE = "name the code that makes the model by --model package.module:callable"
_OTHERS = {
    ".onnx": f"livecam explains models of PyTorch; save it by torch.export, or {_FROM_CODE}",
    ".safetensors": "it holds weights; give it as --weights FILE, and name its model with --model",
    ".h5": f"it is of Keras, and livecam explains models of PyTorch; {_FROM_CODE}",
    ".keras": f"it is of Keras, and livecam explains models of PyTorch; {_FROM_CODE}",
    ".tflite": f"it is of TensorFlow Lite, and livecam explains models of PyTorch; {_FROM_CODE}",
    ".engine": f"it is of TensorRT, which has no gradients; {_FROM_CODE}",
}
_PICKLE = b"\x80"  # how a pickle begins, the form of files from before PyTorch 1.6


def recognises(name: str) -> bool:
    """Return True for the name of a file with a model or with weights."""
    return Path(name).suffix.lower() in FILE_ENDINGS and (":" not in name or Path(name).is_file())


def load(name: str) -> Classifier:
    """Load the program in a file. It runs like any code, so it must come from somebody you trust. Raises ModelError."""
    path = Path(name)
    if not path.is_file():
        raise ModelError(f"there is no file {name}; give the path of a model, or a name that `livecam models` lists")
    if advice := _OTHERS.get(path.suffix.lower()):
        raise ModelError(f"cannot explain {name}: {advice}")
    try:
        return _program(path)
    except ModelError:
        raise
    except Exception as exc:  # the reader may raise anything for a damaged file or one of another kind
        raise ModelError(f"cannot load {name}: {in_one_line(exc)}; save it again") from exc


def build(name: str) -> Classifier:
    """Raise ModelError: a program has its own weights."""
    raise ModelError(f"{name} has its own weights; leave --weights out, or {_FROM_CODE}")


def _program(path: Path) -> Classifier:
    members = _members(path)
    if "constants.pkl" in members:
        with warnings.catch_warnings(action="ignore"):  # TorchScript is deprecated
            module = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
        return Classifier(path.name, module, preprocessing=usual_preprocessing(module))
    if members and "data.pkl" not in members:
        return classifier_of_program(path.name, torch.export.load(path))
    raise ModelError(
        f"cannot explain {path}: it holds weights or a pickled model, not a program; give it as --weights FILE, and "
        f"name its model with --model, or {_FROM_CODE}"
    )


def _members(path: Path) -> set[str]:
    """Return the names of the files in an archive of PyTorch; none for a pickle. Raises ModelError for others."""
    with path.open("rb") as file:
        if file.read(1) == _PICKLE:
            return set()
    if zipfile.is_zipfile(path):
        members = zipfile.ZipFile(path).infolist()
        if any(member.header_offset == 0 for member in members):  # else it is an archive inside of one that is cut off
            return {Path(member.filename).name for member in members}
    raise ModelError(f"cannot load {path}: it is damaged, cut off, or no file of PyTorch; fetch or save it again")

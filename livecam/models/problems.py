"""The causes for which a model fails on its first input, each told in one line that says what to do."""

from __future__ import annotations

import inspect
import re
import time
import traceback
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from livecam.errors import LivecamError, ModelError, in_one_line, is_out_of_memory, some_of
from livecam.models.classifier import Classifier, Preprocessing, first_convolution
from livecam.models.trial import failure_on, runs_on

COLOURS = {1: "grey", 3: "colour"}
_MEANS = {1: "mean=(0.5,), std=(0.5,)", 3: "mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)"}
USUAL_SIDES = (224, 32, 64, 256, 28, 128, 96, 299, 384, 512, 160, 192, 240, 288, 320, 448, 48, 100, 112, 150, 200, 300)
"""Sides in pixels of the inputs that models are usually made for, the likeliest first."""
_USUAL_FRAMES = (16, 8, 32, 4, 12, 24, 10, 20, 64)

_TRIAL_SECONDS = 5.0
_SHAPE_WORDS = r"shape|size|dimension|\bview|broadcast|match|divisible|patch|out of (range|bounds)|channels"


@contextmanager
def input_errors(classifier: Classifier) -> Iterator[None]:
    """Convert an exception of a model on its first input to a ModelError that says why it fails and what to do."""
    try:
        yield
    except LivecamError:
        raise
    except torch.OutOfMemoryError as exc:
        raise out_of_memory(_device(classifier.module)) from exc
    except Exception as exc:  # a model that is not made for this input may raise anything
        if is_out_of_memory(exc):
            raise
        raise ModelError(_problem(classifier, exc)) from exc


@contextmanager
def later_errors(name: str) -> Iterator[None]:
    """Convert an exception of a model that ran before to a ModelError that says where in its code it was raised."""
    try:
        yield
    except (LivecamError, torch.OutOfMemoryError):
        raise
    except Exception as exc:  # the model's own code may raise anything
        if is_out_of_memory(exc):
            raise
        raise ModelError(f"{name} fails on a later picture: {_raised(exc)}") from exc


def out_of_memory(device: torch.device) -> ModelError:
    """Return the error for a model that does not fit into the memory of a device."""
    return ModelError(
        f"the memory of {device} is too small for this model, or others use it; "
        "end those, take a smaller model, or --device cpu"
    )


def why_no_layers(model: nn.Module, calls: Collection[str]) -> str:
    """Return why no layer of a model could be observed, given the names of the modules that it called."""
    modules = list(model.modules())
    if any(isinstance(module, torch.jit.ScriptModule) for module in modules):
        return "parts of the model are TorchScript, which hides its layers; make it of the modules that these came from"
    if any("quantized" in type(module).__module__ for module in modules):
        return "the model is quantised, and integers have no gradient; explain it as it was before"
    if any(hasattr(module, "_orig_mod") for module in modules):
        return "torch.compile hides the layers of the model; explain the module that was compiled"
    if not calls:
        return "the model calls no modules inside, so it has no layers; make its operations modules, such as nn.Conv2d"
    return "no module inside the model returns a tensor that has a gradient of the picture: it cannot be explained"


def _problem(classifier: Classifier, exc: Exception) -> str:
    for cause in (_arguments, _devices, _precisions, _batch, _clips, _channels, _size):
        if problem := cause(classifier, exc):
            return f"{classifier.name} {problem}"
    given = _input(classifier.preprocessing)
    return f"{classifier.name} fails on an input of {given}: {_raised(exc)}{_advice(classifier, exc)}"


def _arguments(classifier: Classifier, exc: Exception) -> str:
    """Explain a forward that takes more than the picture, or takes the picture by name."""
    try:
        parameters = inspect.signature(classifier.module.forward).parameters
    except (TypeError, ValueError):  # of a forward that is not Python
        return ""
    if "pixel_values" in list(parameters)[1:]:
        return f"takes a picture as pixel_values; {_wrapped('pixel_values=picture')}"
    needed = [
        parameter.name
        for parameter in list(parameters.values())[1:]
        if parameter.default is parameter.empty and "VAR" not in parameter.kind.name
    ]
    if not needed or not isinstance(exc, TypeError):
        return ""
    given = ", ".join(f"{name}=..." for name in needed)
    return f"also needs {' and '.join(needed)} beside the picture; {_wrapped(f'picture, {given}')}"


def _wrapped(arguments: str) -> str:
    return f"wrap it in a module whose forward(self, picture) returns self.model({arguments}), and explain that"


def _devices(classifier: Classifier, exc: Exception) -> str:
    """Explain tensors that are not on the device of the model."""
    device = _device(classifier.module)
    if not re.search(r"same device|expected device|(cuda|mps)\S*Tensor\)? and weight type", str(exc)):
        return ""
    strays = [name for name, tensor in _tensors(classifier.module) if tensor.device != device]
    named = f" ({some_of(strays)})" if strays else ""
    return (
        f"runs on {device} and has tensors elsewhere{named}; keep them by register_buffer, so that they follow "
        "the module, and make new ones with device=x.device"
    )


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield parameters and buffers by name, and tensors that are plain attributes."""
    for prefix, layer in module.named_modules():
        for name, value in [*vars(layer).items(), *layer._parameters.items(), *layer._buffers.items()]:
            if isinstance(value, Tensor):
                yield f"{prefix}.{name}".lstrip("."), value


def _precisions(classifier: Classifier, exc: Exception) -> str:
    """Explain a precision that the device cannot compute in, or several that do not fit together."""
    words = "not implemented for '(Half|BFloat16|Double|Float8.*)'|same dtype|scalar type|and (bias|weight) type"
    if not re.search(words, str(exc)):
        return ""
    dtypes = {tensor.dtype for _, tensor in _tensors(classifier.module) if tensor.is_floating_point()}
    if dtypes == {torch.float32}:
        return f"changes the precision on its way: {_raised(exc)}; let it stay in float32"
    names = " and ".join(sorted(str(dtype).removeprefix("torch.") for dtype in dtypes))
    return f"has weights in {names}, in which it cannot run here ({in_one_line(exc)}); convert it with model.float()"


def _batch(classifier: Classifier, exc: Exception) -> str:
    """Explain a normalisation over the pictures of a batch."""
    if "more than 1 value per channel when training" not in str(exc):
        return ""
    return "normalises by the other pictures of its batch, even after eval(); let it use its running statistics"


def _clips(classifier: Classifier, exc: Exception) -> str:
    """Explain a model that takes clips, or clips of another length or order of axes."""
    preprocessing = classifier.preprocessing
    if preprocessing.frames == 1:
        takes_clips = isinstance(first_convolution(classifier.module), nn.Conv3d)
        return "takes clips; say how many frames with preprocessing={'frames': 16}" if takes_clips else ""
    if not _is_about_shapes(exc):
        return ""
    changes: list[dict[str, Any]] = [{"frames_first": not preprocessing.frames_first}]
    for change in changes + [{"frames": frames} for frames in _USUAL_FRAMES]:
        other = preprocessing.changed(change)
        if runs_on(classifier.module, other.input_shape):
            return (
                f"fails on an input of {_input(preprocessing)} and runs on {_input(other)}; "
                f"say so with preprocessing={change}"
            )
    return ""


def _channels(classifier: Classifier, exc: Exception) -> str:
    """Explain a number of channels that is not that of the preprocessing."""
    preprocessing = classifier.preprocessing
    other = 4 - preprocessing.channels
    if runs_on(classifier.module, _altered(preprocessing, other).input_shape):
        return (
            f"takes pictures in {COLOURS[other]}, and its preprocessing is for {COLOURS[preprocessing.channels]}; "
            f"say so with Preprocessing({_MEANS[other]})"
        )
    needed = re.search(rf"to have (\d+) channels, but got {preprocessing.channels} channels", str(exc))
    if needed and int(needed[1]) not in COLOURS:
        return f"takes {needed[1]} channels, and a picture has 3, or 1 in grey: it cannot be explained"
    return ""


def _size(classifier: Classifier, exc: Exception) -> str:
    """Explain a size of input that the model is not made for, if another usual one works."""
    if not _is_about_shapes(exc):
        return ""
    preprocessing = classifier.preprocessing
    begin = time.monotonic()
    for side in USUAL_SIDES:
        for channels in (preprocessing.channels, 4 - preprocessing.channels):
            tried = _altered(preprocessing, channels, (side, side))
            if runs_on(classifier.module, tried.input_shape):
                is_other = channels != preprocessing.channels
                rest = f", {_MEANS[channels]})" if is_other else f") or --input-size {side}"
                return (
                    f"fails on an input of {_input(preprocessing)} and runs on {_input(tried)}; "
                    f"say so with Preprocessing(size=({side}, {side}){rest}"
                )
        if time.monotonic() - begin > _TRIAL_SECONDS:
            break
    return ""


def _advice(classifier: Classifier, exc: Exception) -> str:
    """Return the advice to try another size, if the exception is about shapes and depends on the size."""
    height, width = classifier.preprocessing.size
    larger = classifier.preprocessing.changed({"size": (2 * height, 2 * width)})
    other = failure_on(classifier.module, larger.input_shape)
    if not _is_about_shapes(exc) or str(other) == str(exc):
        return ""
    return "; if it is made for another size, say so with Preprocessing(size=...) or --input-size"


def _is_about_shapes(exc: Exception) -> bool:
    return isinstance(exc, AssertionError) or re.search(_SHAPE_WORDS, str(exc), re.IGNORECASE) is not None


def _input(preprocessing: Preprocessing) -> str:
    return " x ".join(map(str, preprocessing.input_shape))


def _altered(preprocessing: Preprocessing, channels: int, size: tuple[int, int] | None = None) -> Preprocessing:
    """Return a preprocessing for another number of channels, and perhaps for another size."""
    size = size or preprocessing.size
    return replace(preprocessing, size=size, mean=(0.5,) * channels, std=(0.5,) * channels)


def _raised(exc: Exception) -> str:
    """Describe an exception, and where in the user's code it was raised."""
    outside = [frame for frame in traceback.extract_tb(exc.__traceback__) if not _is_ours(frame.filename)]
    place = f" ({Path(outside[-1].filename).name}, line {outside[-1].lineno})" if outside else ""
    return f"{type(exc).__name__}: {in_one_line(exc)}{place}"


def _is_ours(file: str) -> bool:
    """Return True for code of PyTorch or livecam."""
    ours = (Path(torch.__file__).parent, Path(__file__).parents[1])
    return any(folder in Path(file).parents for folder in ours) or file.startswith("<")


def _device(module: nn.Module) -> torch.device:
    return next((parameter.device for parameter in module.parameters()), torch.device("cpu"))

"""Names of models, checked without importing a package that has models, which takes seconds."""

from __future__ import annotations

import functools
import importlib.util
import re
from pathlib import Path

from livecam.errors import ModelOptionError
from livecam.models.default import IMAGENET, MOTION, SHAPES
from livecam.models.torchvision_facts import facts
from livecam.system.paths import exists, is_folder
from livecam.text import similar

TIMM = "timm:"
"""The prefix to the name that a model has in timm."""
HUGGING_FACE = "hf:"
"""The prefix to the name of a repository on the hub, ORGANISATION/NAME, or to the path of a folder."""
CLIP = "clip:"
"""The prefix to the name that an architecture has in open_clip; published weights follow it after a slash."""
FILE_ENDINGS = (
    *(".pt2", ".pt", ".pth", ".ckpt", ".bin", ".torchscript"),
    *(".onnx", ".safetensors", ".h5", ".keras", ".tflite", ".engine"),
)
"""How files with models or weights end, also of those that cannot be explained."""
CODE = ".py"


def check_name(name: str) -> None:
    """Check that there may be a model of this name: files, code, and models on the hub are not looked at.

    Raises ModelError with a name that was probably meant.
    """
    if Path(name.partition(":")[0]).suffix == CODE:
        raise _no_model(name, _advice_on_code(name))
    if name.startswith(TIMM):
        architectures = [TIMM + each for each in architectures_of_timm()]
        if architectures and name.partition(".")[0] not in architectures:
            raise unknown_model(name, architectures)
    elif name.startswith(CLIP):
        architectures = [CLIP + each for each in architectures_of_clip()]
        if architectures and name.partition("/")[0] not in architectures:
            raise unknown_model(name, architectures)
    elif not is_file_or_code(name) and name not in (names := (SHAPES, MOTION, IMAGENET, *facts())):
        raise _unknown_plain_name(name, names)


def is_file_or_code(name: str) -> bool:
    """Return True for the path of a file, and for a name with a prefix or "package.module:callable"."""
    return ":" in name or Path(name).suffix.lower() in FILE_ENDINGS


def is_repository(name: str) -> bool:
    """Return True for ORGANISATION/NAME, as repositories of the hub are named."""
    return re.fullmatch(r"[\w.-]+/[\w.-]+", name) is not None and not exists(name)


@functools.cache
def architectures_of_timm() -> tuple[str, ...]:
    """Return the names of all architectures, read in the source of timm; none if it is not installed."""
    spec = importlib.util.find_spec("timm")
    if spec is None or spec.origin is None:
        return ()
    sources = (file.read_text(encoding="utf-8") for file in Path(spec.origin).parent.glob("models/*.py"))
    return tuple(
        name for source in sources for name in re.findall(r"^@register_model\ndef (\w+)", source, re.MULTILINE)
    )


@functools.cache
def architectures_of_clip() -> tuple[str, ...]:
    """Return the names of all architectures of open_clip, by its files; none if it is not installed."""
    spec = importlib.util.find_spec("open_clip")
    if spec is None or spec.origin is None:
        return ()
    return tuple(sorted(file.stem for file in Path(spec.origin).parent.glob("model_configs/*.json")))


def unknown_model(name: str, names: tuple[str, ...] | list[str]) -> ModelOptionError:
    """Return the error for a name that none of the models has."""
    near = similar(name, names)
    return _no_model(name, f"did you mean {', '.join(near)}?" if near else "`livecam models` lists what can be named")


def _unknown_plain_name(name: str, names: tuple[str, ...]) -> ModelOptionError:
    if is_folder(name) or is_repository(name):
        return _no_model(name, f"did you mean {HUGGING_FACE}{name}?")
    if exists(name + CODE):
        return _no_model(name, _advice_on_code(name + CODE))
    if name.partition(".")[0] in architectures_of_timm():
        return _no_model(name, f"did you mean {TIMM}{name}?")
    return unknown_model(name, names)


def _no_model(name: str, advice: str) -> ModelOptionError:
    return ModelOptionError(f"there is no model {name!r}; {advice}")


def _advice_on_code(name: str) -> str:
    """Return how to name a function in a file of Python, given FILE.py or FILE.py:FUNCTION."""
    file, _, function = name.partition(":")
    module = ".".join(Path(file).with_suffix("").parts)
    functions = [function] if function else _functions_without_arguments(Path(file)) or ["FUNCTION"]
    named = " or ".join(f"{module}:{each}" for each in functions)
    return f"name the function in it that makes the model: --model {named}"


def _functions_without_arguments(file: Path) -> list[str]:
    source = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    return re.findall(r"^def ([a-z]\w*)\(\)", source, re.MULTILINE)

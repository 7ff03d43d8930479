"""The class scores in a model's output, which is a tensor or holds several: one row, or one for every pixel."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from livecam.errors import ModelError, some_of

log = logging.getLogger(__name__)

USUAL_NAMES = ("logits", "scores", "out", "output", "outputs", "pred", "preds", "prediction", "predictions", "probs")
"""The names that class scores have in an output, the surest first."""
FEATURE_NAMES = ("feat", "embed", "hidden", "pool", "token", "attention")
"""Parts of the names of what is not class scores, even if it is one row of numbers for each picture."""

Path = tuple[str | int, ...]
"""The names and places that lead to a tensor in an output; empty if the output is a tensor itself."""


_COARSEST_PIXELS = 4
"""The sides of a map that is taken for scores of pixels although nothing else says so, by the sides of the input."""


@dataclass(frozen=True)
class ScorePlace:
    """The place of the class scores in a model's output, the same for every input.

    Attributes:
        path: The names and places that lead to them.
        classes: The number of classes.
        is_dense: The scores are those of every pixel.
    """

    path: Path
    classes: int
    is_dense: bool = False

    def read(self, output: Any) -> Tensor:
        """Return the scores in an output for B pictures: (B, classes), or (B, classes, height, width) if dense."""
        for key in self.path:
            output = _parts(output)[key]
        return output if self.is_dense or output.ndim == 2 else output.reshape(-1, self.classes)


def find_maps(output: Any, classes: int | None, input_size: tuple[int, int]) -> ScorePlace | None:
    """Find the class scores of every pixel in a model's output for one picture, None if it has none.

    Args:
        output: A tensor, or a mapping, sequence or object that holds some: maps (1, classes, height, width), by a usual
            name, with one channel for each of the known classes, or at least as fine as a quarter of the input. Maps
            beside a row of scores are features.
        classes: The number of classes, if it is known.
        input_size: (height, width) of the input.
    """
    tensors = dict(_tensors(output))
    maps = {path: tensor for path, tensor in tensors.items() if _is_map(tensor)}
    if not maps or any(map(_is_row, tensors.values())) or _holds_boxes(tensors):
        return None
    named = [path for name in USUAL_NAMES for path in maps if path[-1:] == (name,)]
    fitting = [path for path, tensor in maps.items() if tensor.shape[1] == classes]
    fine = [path for path, tensor in maps.items() if not _names_features(path) and _is_fine(tensor, input_size)]
    found = [*named, *fitting, *fine]
    return ScorePlace(found[0], maps[found[0]].shape[1], is_dense=True) if found else None


def find_scores(output: Any, classes: int | None = None) -> ScorePlace:
    """Find the class scores in a model's output for one picture; a choice that is not obvious is told.

    Args:
        output: A tensor, or a mapping, sequence or object that holds some: rows (1, classes), (1, classes, 1, 1), or
            without the axis of the pictures.
        classes: The number of classes, if it is known.

    Raises:
        ModelError: Nothing in the output is a row of scores, or several things could be.
    """
    tensors = dict(_tensors(output))
    if _holds_best_classes(tensors):
        raise ModelError(
            f"the model gives {_listed(tensors)}, the best classes and their scores, instead of the scores of all; "
            "let it return its scores before the topk, max or sort"
        )
    rows = {path: tensor for path, tensor in tensors.items() if _is_row(tensor)}
    if not rows or _holds_boxes(tensors):
        raise ModelError(_without_scores(output, tensors))
    for name in USUAL_NAMES:
        for path, tensor in rows.items():
            if path[-1:] == (name,):
                return ScorePlace(path, tensor.numel())
    likely = {path: tensor for path, tensor in rows.items() if not _names_features(path)}
    likely = {path: tensor for path, tensor in (likely or rows).items() if tensor.numel() == classes} or likely
    if not likely:
        raise ModelError(_without_scores(output, tensors))
    if len({tensor.numel() for tensor in likely.values()}) > 1:
        raise ModelError(
            f"the model gives several rows of numbers, {_listed(likely)}, and which are the scores of its classes "
            "is not known; give labels, whose number tells, or wrap it in a module that returns the scores alone"
        )
    path = next(iter(likely))
    if len(likely) > 1 or (len(tensors) > 1 and isinstance(path[-1], str)):
        log.warning(f"the model gives {_listed(tensors)}; {_name(path)} is explained as the scores of its classes")
    return ScorePlace(path, likely[path].numel())


def _parts(output: Any) -> Mapping[str | int, Any]:
    """Return the parts of an output that is not a tensor, by their names or places."""
    if isinstance(output, Mapping):
        return output
    if isinstance(output, list | tuple):
        return output._asdict() if hasattr(output, "_asdict") else dict(enumerate(output))
    return vars(output) if hasattr(output, "__dict__") and not isinstance(output, nn.Module | type) else {}


def _tensors(output: Any, path: Path = ()) -> Iterator[tuple[Path, Tensor]]:
    """Yield every tensor in an output with the path that leads to it."""
    if isinstance(output, Tensor):
        yield path, output
    else:
        for key, part in _parts(output).items():
            yield from _tensors(part, (*path, key))


def _is_row(tensor: Tensor) -> bool:
    """Return True if a tensor can hold the scores of one picture."""
    one_picture = tensor.ndim < 2 or tensor.shape[0] == 1
    one_place = tensor.ndim <= 2 or (tensor.ndim == 4 and tensor.shape[2:] == (1, 1))
    return one_picture and one_place and tensor.numel() > 0 and tensor.is_floating_point()


def _is_map(tensor: Tensor) -> bool:
    """Return True if a tensor can hold scores of every pixel of one picture."""
    return tensor.ndim == 4 and tensor.shape[0] == 1 and tensor.shape[2:].numel() > 1 and tensor.is_floating_point()


def _is_fine(tensor: Tensor, input_size: tuple[int, int]) -> bool:
    return all(_COARSEST_PIXELS * side >= whole for side, whole in zip(tensor.shape[2:], input_size, strict=True))


def _names_features(path: Path) -> bool:
    return any(part in str(path[-1]).lower() for part in FEATURE_NAMES) if path else False


def _holds_best_classes(tensors: Mapping[Path, Tensor]) -> bool:
    """Return True for what `topk`, `max` and `sort` return: values, and beside them as many indices."""
    if len(tensors) != 2:
        return False
    (path, values), (_, indices) = tensors.items()
    return path[-1:] != ("logits",) and values.shape == indices.shape and indices.dtype == torch.int64


def _without_scores(output: Any, tensors: Mapping[Path, Tensor]) -> str:
    """Describe an output without class scores, and what to do."""
    if output is None:
        return "the model gives nothing instead of class scores (B, classes); let its forward return them"
    given = _listed(tensors) if tensors else f"a {type(output).__name__}"
    if isinstance(output, Tensor):
        dtype = "" if output.is_floating_point() else f" and type {str(output.dtype).removeprefix('torch.')}"
        given = f"a tensor of shape {tuple(output.shape)}{dtype}"
    return f"the model gives {given} instead of class scores (B, classes); {_remedy(tensors)}"


def _remedy(tensors: Mapping[Path, Tensor]) -> str:
    if _holds_boxes(tensors):
        return "to explain boxes, let it return livecam.models.detectors.Detections, which docs/detection.md shows"
    if tensors and not any(tensor.is_floating_point() for tensor in tensors.values()):
        if any(tensor.is_complex() for tensor in tensors.values()):
            return "let it return real numbers, such as their magnitudes"
        return "let it return the numbers that these are made of, before the argmax, the rounding or the comparison"
    axes = max((tensor.ndim for tensor in tensors.values()), default=0)
    if axes == 4:
        return (
            "such maps come from a model without its classifier; take one that classifies, or if they are scores of "
            "classes for every place, name these by labels"
        )
    if axes == 3:
        return "such rows come from a model without its classifier, or from detection; take one that classifies"
    return "wrap it in a module whose forward returns the scores of its classes alone"


def _holds_boxes(tensors: Mapping[Path, Tensor]) -> bool:
    return any("boxes" in str(key) for path in tensors for key in path[-1:])


def _listed(tensors: Mapping[Path, Tensor]) -> str:
    return some_of([f"{_name(path)} {tuple(tensor.shape)}" for path, tensor in tensors.items()])


def _name(path: Path) -> str:
    """Return how a path is written in Python after the output: "logits" or "[0]"."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")

"""A model with its labels and the preprocessing of its input."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from statistics import fmean
from typing import Any, Protocol

from torch import Tensor, nn

from livecam.errors import ModelError, ModelOptionError
from livecam.names import SCORES

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
INTERPOLATIONS = ("bilinear", "bicubic")
USUAL_CONFIDENCE = 0.5
"""The least score of a box, unless another is asked for."""
_TRIAL_SIDE = 320
"""The longer side in pixels of the pictures that a model of any size is tried on."""
_MULTIPLE = 32
"""The sides of those pictures are multiples of it."""


@dataclass(frozen=True)
class Preprocessing:
    """How a picture, or a clip of several frames, becomes the input of a model.

    Args:
        size: (height, width) of the input in pixels.
        resize: The length in pixels to which the shorter side is scaled before an input is cropped (`fit="crop"`), or
            the (height, width) to which the whole picture is scaled.
        mean: Subtracted from RGB in 0..1: three numbers, or one for a model that takes grey pictures.
        std: Divides the result: as many numbers as in `mean`.
        interpolation: The filter with which pictures are scaled, "bilinear" or "bicubic".
        bgr: True if the channels of the input, and so `mean` and `std`, are blue, green and red.
        fit: How a picture is made to fit the size unless another way is asked for, one of `livecam.names.FITS`.
        floors_crop: True if half a pixel beside the crop is rounded down, as transformers does, and not to an even
            number, as torchvision does.
        frames: The number of frames in a clip; 1 for a model of pictures.
        frames_per_second: The rate of the frames that the model was trained with; None takes every frame of a video.
        frames_first: True for clips as (B, frames, channels, h, w), as transformers has them, rather than
            (B, channels, frames, h, w).

    Raises:
        ModelError: `mean` and `std` do not both have one or three numbers from 0 to 1, a deviation is 0, there is no
            such `interpolation`, or `frames` or `frames_per_second` is not above 0.
    """

    size: tuple[int, int] = (224, 224)
    resize: int | tuple[int, int] = 256
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    interpolation: str = "bilinear"
    bgr: bool = False
    fit: str = "stretch"
    floors_crop: bool = False
    frames: int = 1
    frames_per_second: float | None = None
    frames_first: bool = False

    def __post_init__(self) -> None:
        if len(self.mean) not in (1, 3) or len(self.std) != len(self.mean):
            raise ModelOptionError("a preprocessing has mean and std of red, green and blue, or one of each for grey")
        if not all(deviation > 0 for deviation in self.std):
            raise ModelOptionError(f"a preprocessing divides by its std, which has to be above 0, not {self.std}")
        if beyond := [number for number in (*self.mean, *self.std) if abs(number) > 1]:
            raise ModelOptionError(
                f"mean and std are those of colours from 0 to 1, not {beyond[0]:g}; divide all of them by 255"
            )
        if self.interpolation not in INTERPOLATIONS:
            raise ModelError(f"an interpolation is {' or '.join(INTERPOLATIONS)}, not {self.interpolation!r}")
        if not (isinstance(self.frames, int) and self.frames > 0):
            raise ModelError(f"a clip has a whole number of frames, at least 2, not {self.frames!r}")
        if self.frames_per_second is not None and not self.frames_per_second > 0:
            raise ModelError(f"frames_per_second is above 0, or None for every frame, not {self.frames_per_second!r}")

    @property
    def channels(self) -> int:
        """The number of channels: 3 for colour, 1 for grey."""
        return len(self.mean)

    @property
    def extent(self) -> tuple[int, int, int]:
        """The number of frames, which is 1 for pictures, and the height and width of the input in pixels."""
        return (self.frames, *self.size)

    @property
    def picture_shape(self) -> tuple[int, ...]:
        """The shape of the 8-bit input: (h, w, channels), or (frames, h, w, channels) of a clip."""
        return (*((self.frames,) if self.frames > 1 else ()), *self.size, self.channels)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of the model's input for one picture or clip, without the axis of the batch."""
        if self.frames == 1:
            return (self.channels, *self.size)
        first = (self.frames, self.channels) if self.frames_first else (self.channels, self.frames)
        return (*first, *self.size)

    def changed(self, changes: Mapping[str, Any]) -> Preprocessing:
        """Return it with some of its fields changed.

        One number in `mean` or `std` is for every channel. Unless `resize` is given, it keeps its ratio to the size.

        Raises:
            ModelError: A field does not exist, or has a wrong value.
        """
        if unknown := changes.keys() - {field.name for field in fields(self)}:
            raise ModelError(f"a preprocessing has size, resize, mean, std and frames, not {min(unknown)!r}")
        height, width = changes.get("size", self.size)
        resize: int | tuple[int, int]
        if isinstance(self.resize, int):
            resize = round(self.resize * min(height, width) / min(self.size))
        else:
            resize = round(self.resize[0] * height / self.size[0]), round(self.resize[1] * width / self.size[1])
        repeated = {
            name: tuple(values) * self.channels
            for name, values in changes.items()
            if name in ("mean", "std") and len(values) == 1
        }
        return replace(self, **{"resize": resize, **changes, **repeated})

    def in_grey(self) -> Preprocessing:
        """Return the preprocessing for grey pictures, with mean and deviation averaged over the channels."""
        return replace(self, mean=(fmean(self.mean),), std=(fmean(self.std),))


class TextEncoder(Protocol):
    """Encodes texts, with which a model compares pictures.

    The logit of a text is its cosine similarity to the picture times `scale`, plus `bias`.
    """

    @property
    def scale(self) -> float:
        """The factor of the similarity."""

    @property
    def bias(self) -> float | None:
        """None if the softmax over several texts makes scores of the logits; else the sigmoid of each does."""

    def __call__(self, prompts: Sequence[str]) -> Tensor:
        """Return an embedding for each text, (N, dimensions), of length 1, on the model's device."""


@dataclass(frozen=True)
class Classifier:
    """A model that can be explained.

    Args:
        name: Its name in messages and reports.
        module: The model: from (B, channels, height, width) float32 to (B, classes) logits, or to what contains them.
            Of clips, as `Preprocessing` says, from (B, channels, frames, height, width).
        labels: The names of the classes in the order of the logits; None if unknown.
        preprocessing: How pictures become its input.
        scores: How its outputs become the scores that are shown, one of `livecam.names.SCORES`: "softmax" for logits of
            classes that exclude each other, "sigmoid" for logits of classes that do not, "raw" for numbers that are
            shown as they are, or "auto", which is "raw" with a unit and else looks at the outputs. Outputs that are
            probabilities already stay what they are.
        unit: The unit of raw scores, such as "years".
        layer: The layer that is explained by default; None for the automatic choice.
        obstacle: Why its program cannot be compiled; empty if it may be.
        any_size: True if it takes inputs of any size, and its `layer` returns maps. It is then tried on small ones.
        confidence: The least score of a box, for a model that detects objects; None is `USUAL_CONFIDENCE`.
        task: What its outputs mean, one of `livecam.names.TASKS`, or "auto" to tell by their form.
        encoder: The text encoder of a model of the task "words"; its `module` returns the embeddings of pictures, (B,
            dimensions), by themselves or as "image_features" of a mapping, and `labels` are the prompts.
        limits: What it does not know, told once where it is used on other sources than `demo:`; empty for nothing.

    Raises:
        ModelError: `scores` is not one of these, or a unit is given for probabilities.
    """

    name: str
    module: nn.Module
    labels: tuple[str, ...] | None = None
    preprocessing: Preprocessing = Preprocessing()
    scores: str = "auto"
    unit: str = ""
    task: str = "auto"
    encoder: TextEncoder | None = None
    layer: str | None = None
    obstacle: str = ""
    any_size: bool = False
    confidence: float | None = None
    limits: str = ""

    def __post_init__(self) -> None:
        if self.scores not in SCORES:
            raise ModelError(f"scores is {', '.join(SCORES[:-1])} or {SCORES[-1]}, not {self.scores!r}")
        if self.confidence is not None and not 0 < self.confidence < 1:
            raise ModelOptionError(f"confidence is the least score of a box, between 0 and 1, not {self.confidence}")
        if self.unit and self.scores not in ("auto", "raw"):
            raise ModelError(f"a unit is for raw scores, and {self.scores} makes probabilities; leave one of them out")

    @property
    def trial(self) -> Preprocessing:
        """The preprocessing of pictures to try it on: smaller ones if it takes any size."""
        height, width = self.preprocessing.size
        scale = _TRIAL_SIDE / max(height, width)
        if not self.any_size or scale >= 1:
            return self.preprocessing
        size = math.ceil(height * scale / _MULTIPLE) * _MULTIPLE, math.ceil(width * scale / _MULTIPLE) * _MULTIPLE
        return self.preprocessing.changed({"size": size})

    @property
    def classes(self) -> int | None:
        """The number of classes by the labels, or by the configuration of a model of transformers; else None."""
        return len(self.labels) if self.labels else getattr(getattr(self.module, "config", None), "num_labels", None)


def rescored(classifier: Classifier, scores: str, unit: str | None, confidence: float | None = None) -> Classifier:
    """Return the classifier with these scores and so on; "auto" and None leave its own. Raises ModelError."""
    if confidence is not None:
        classifier = replace(classifier, confidence=confidence)
    if scores == "auto" and unit is None:
        return classifier
    return replace(classifier, scores=scores, unit=unit or "")


def input_channels(module: nn.Module) -> int:
    """Return the number of channels that the first convolution takes, 3 if there is none."""
    first = first_convolution(module)
    return first.in_channels if first is not None else 3


def first_convolution(module: nn.Module) -> nn.Conv2d | nn.Conv3d | None:
    """Return the first convolution over pictures or clips in the order of the modules, None if there is none."""
    return next((layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Conv3d)), None)

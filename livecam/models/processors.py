"""The preprocessing of an image processor of transformers, found from what it makes of a few pictures.

What a processor does depends on its class as much as on its fields: one divides the size by a share, another normalises
twice, a third exchanges red and blue.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from livecam.models.classifier import INTERPOLATIONS, Preprocessing
from livecam.models.detectors import wide_size

log = logging.getLogger(__name__)

_HEIGHT, _WIDTH = 200, 331
"""The size of the pictures; no size to which pictures are scaled has their aspect."""
_PILLOW_FILTERS = {2: "bilinear", 3: "bicubic"}


def preprocessing_of(processor: Any, channels: int = 3) -> Preprocessing:
    """Return the preprocessing of an image processor of transformers; where it cannot be followed, a note tells it.

    Args:
        processor: The image processor, as `transformers.AutoImageProcessor.from_pretrained` returns it; of its backends
            the one of torchvision, which is the default.
        channels: The number of channels of the model's input, 3 for colour or 1 for grey.
    """
    if data := getattr(processor, "data_config", None):  # of a model of timm inside one of transformers
        described = preprocessing_of_data(data)
        return described.in_grey() if channels == 1 and described.channels == 3 else described
    black, white = (_centre(processor, np.full((_HEIGHT, _WIDTH, channels), level)) for level in (0.0, 255.0))
    deviation = 1 / (white - black)
    mean = -black * deviation
    if bounded := _bounded_size(processor):
        return Preprocessing(
            bounded, bounded, _rounded(mean), _rounded(deviation), interpolation=_interpolation(processor), fit="pad"
        )
    height, width = _made(processor, np.zeros((_HEIGHT, _HEIGHT, channels))).shape[1:]

    def scaled_length(axis: int) -> int:
        """Return the length to which a side is scaled, from how fast a ramp along it rises in the input."""
        ramp = (np.arange((_HEIGHT, _WIDTH)[axis]) + 0.5) / (_HEIGHT, _WIDTH)[axis] * 255
        ramp = ramp[:, None, None] if axis == 0 else ramp[None, :, None]
        made = _made(processor, np.broadcast_to(ramp, (_HEIGHT, _WIDTH, channels)))[0]
        line = made[:, made.shape[1] // 2] if axis == 0 else made[made.shape[0] // 2]
        inner = line[len(line) // 4 : len(line) * 3 // 4].double().numpy() * float(deviation[0])
        rise, _ = np.polyfit(np.arange(len(inner)), inner, 1)
        return round(1 / rise)

    scaled_height, scaled_width = scaled_length(0), scaled_length(1)
    keeps_aspect = abs(scaled_width - scaled_height * _WIDTH / _HEIGHT) < 1
    if keeps_aspect and scaled_width != int(scaled_height * _WIDTH / _HEIGHT):
        log.warning(f"{type(processor).__name__} scales and crops in a way of its own, which is followed approximately")
    if scaled_height < height or scaled_width < width:
        log.warning(f"{type(processor).__name__} adds bars around the pictures; here they fill the input instead")
    return Preprocessing(
        size=(height, width),
        resize=scaled_height if keeps_aspect else (scaled_height, scaled_width),
        mean=_rounded(mean),
        std=_rounded(deviation),
        interpolation=_interpolation(processor),
        bgr=channels == 3 and _swaps_red_and_blue(processor, black),
        floors_crop=True,
    )


def _bounded_size(processor: Any) -> tuple[int, int] | None:
    """Return the (height, width) of the input if a processor only bounds the sides of pictures, else None."""
    size = getattr(processor, "size", None)
    shortest, longest = (getattr(size, f"{which}_edge", None) for which in ("shortest", "longest"))
    return wide_size(shortest, longest) if shortest and longest else None


def preprocessing_of_data(data: Mapping[str, Any]) -> Preprocessing:
    """Return the preprocessing that timm's "data config" of a model describes."""
    size = tuple(data["input_size"][1:])
    height, width = (math.floor(side / data["crop_pct"]) for side in size)
    return Preprocessing(
        size=(size[0], size[1]),
        resize=(height, width) if data["crop_mode"] == "squash" else min(height, width),
        mean=tuple(data["mean"]),
        std=tuple(data["std"]),
        interpolation=data["interpolation"],
    )


def _interpolation(processor: Any) -> str:
    """Return the filter with which a processor scales pictures; one that cannot be followed is told."""
    given = getattr(processor, "resample", None)
    number = Image.Resampling.BILINEAR if given is None else int(given)
    if number in _PILLOW_FILTERS:
        return _PILLOW_FILTERS[number]
    log.warning(
        f"{type(processor).__name__} scales pictures with the filter {Image.Resampling(number).name.lower()}; here it "
        f"is {INTERPOLATIONS[-1]}"
    )
    return INTERPOLATIONS[-1]


def _made(processor: Any, picture: np.ndarray) -> Tensor:
    """Return what a processor makes of a picture (h, w, channels) of levels in 0..255: (channels, h, w)."""
    options = {"input_data_format": "channels_last", "return_tensors": "pt"}
    try:
        made: Tensor = processor(picture.astype(np.float32), **options)["pixel_values"]
    except ValueError:  # it takes whole numbers only
        made = processor(picture.round().astype(np.uint8), **options)["pixel_values"]
    return made.reshape(made.shape[-3:])  # of a processor of clips, those of one frame


def _centre(processor: Any, picture: np.ndarray) -> Tensor:
    """Return the middle of what a processor makes of a picture: a level for each channel."""
    made = _made(processor, picture)
    return made[:, made.shape[1] // 2, made.shape[2] // 2].double()


def _swaps_red_and_blue(processor: Any, black: Tensor) -> bool:
    red = np.zeros((_HEIGHT, _WIDTH, 3))
    red[:, :, 0] = 255
    return bool((_centre(processor, red) - black).argmax() == 2)


def _rounded(values: Tensor) -> tuple[float, ...]:
    """Round to 6 decimals, which removes the errors of single precision."""
    return tuple(round(value, 6) + 0.0 for value in values.tolist())  # and 0.0 in place of -0.0

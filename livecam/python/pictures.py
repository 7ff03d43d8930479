"""The pictures that an explainer takes, and how each of them becomes a frame."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeAlias, TypeGuard

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from livecam.errors import InputError
from livecam.names import READ_VIDEO_ENDINGS
from livecam.picture.frame import Frame
from livecam.sources import kind_of
from livecam.sources.inputs import stands_for_many, without_file_scheme
from livecam.sources.pictures import PictureSource, frame_of_image, upright_rgb
from livecam.sources.video import VIDEO
from livecam.text import redacted

Picture: TypeAlias = str | os.PathLike[str] | Image.Image | np.ndarray | Tensor | Frame
Pictures: TypeAlias = list[Any] | tuple[Any, ...]  # not any sequence: a path is a sequence of letters

_CHANNELS = (1, 3, 4)
_ROUNDING = 1e-3
"""By how much a float may lie outside of 0..1: less than half of an 8-bit step."""


def unbatched(pictures: Picture | Pictures) -> Picture | Pictures:
    """Return the pictures of an array or tensor of four axes, or the clips of five, as a list; all else unchanged."""
    if isinstance(pictures, np.ndarray | Tensor) and pictures.ndim in (4, 5):
        return list(pictures)
    return pictures


def are_several_clips(pictures: Picture | Pictures) -> TypeGuard[Pictures]:
    """Return True for a list of what holds several pictures each."""
    if not isinstance(pictures, list | tuple) or not pictures:
        return False
    return isinstance(unbatched(pictures[0]), list | tuple)


def frame_of(picture: Picture) -> Frame:
    """Return a frame of a picture, which is not copied if it is (H, W, 3) uint8 already.

    Args:
        picture: A file, an image of Pillow, an array, a tensor, or a frame, as `Explainer` takes it.

    Raises:
        InputError: It cannot be read, or it is not clear which picture its values mean.
    """
    if isinstance(picture, Frame):
        return picture
    if isinstance(picture, str | os.PathLike):
        return _read(os.fspath(picture))
    if isinstance(picture, Image.Image) and not _is_computed(picture):
        return frame_of_image(picture)
    if isinstance(picture, Image.Image):
        return frame_of(np.asarray(picture))
    if isinstance(picture, Tensor):
        return Frame.from_rgb(_rgb(_on_the_host(picture), channels_at=(0, -1)))
    if isinstance(picture, np.ndarray):
        return Frame.from_rgb(_rgb(picture, channels_at=(-1, 0)))
    raise InputError(
        f"a picture is a path, an image of PIL, an array or a tensor, not {type(picture).__name__}; convert it"
    )


def _read(name: str) -> Frame:
    path = without_file_scheme(name)
    if not _may_be_picture(path):
        raise InputError(
            f"{redacted(path)} is no single picture; use explainer.stream for videos, cameras, URLs and folders"
        )
    with PictureSource([Path(path)], many=False) as source:
        return next(source.frames(lambda packet: None))


def _may_be_picture(path: str) -> bool:
    """Return False for whatever is recognised as something else: a video, a camera, a URL, a folder, a pattern."""
    kind = kind_of(path, live=True)
    is_unknown = kind is VIDEO and Path(path).suffix.lower() not in READ_VIDEO_ENDINGS
    return (kind.is_still or is_unknown) and not stands_for_many(path)


def _is_computed(image: Image.Image) -> bool:
    """Return True for an image of more than 8 bits that comes from no file, and so may have any range of values."""
    return image.format is None and image.mode.startswith(("I", "F"))


def _on_the_host(tensor: Tensor) -> np.ndarray:
    values = tensor.detach().cpu()
    return (values.float() if values.dtype == torch.bfloat16 else values).numpy()  # NumPy has no bfloat16


def _rgb(values: np.ndarray, channels_at: tuple[int, int]) -> np.ndarray:
    """Return (H, W, 3) uint8; of an array of three axes the first of `channels_at` that can hold channels does."""
    picture = _in_8_bits(_channels_last(values, channels_at))
    if picture.shape[2] == 1:
        return picture.repeat(3, axis=2)
    return picture if picture.shape[2] == 3 else upright_rgb(Image.fromarray(np.ascontiguousarray(picture)))


def _channels_last(values: np.ndarray, channels_at: tuple[int, int]) -> np.ndarray:
    if values.ndim == 2 and values.size:
        return values[:, :, np.newaxis]
    if values.ndim == 3 and values.size:
        for axis in channels_at:
            if values.shape[axis] in _CHANNELS:
                return np.moveaxis(values, axis, -1)
    raise InputError(
        f"a picture is (H, W), (H, W, channels) or (channels, H, W) with 1, 3 or 4 channels, not {values.shape}"
    )


def _in_8_bits(values: np.ndarray) -> np.ndarray:
    """Convert floats from 0 to 1 and 16-bit integers to 8 bits. Raises InputError if they may mean something else."""
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind == "f":
        return _of_floats(values)
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        return _of_16_bits(values)
    raise InputError(f"a picture is of uint8, or of floats from 0 to 1, not of {values.dtype}; convert it to uint8")


def _of_floats(values: np.ndarray) -> np.ndarray:
    low, high = values.min(), values.max()
    if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):  # NaN is neither
        raise InputError(
            f"a picture of floats goes from 0 to 1, not from {low:.4g} to {high:.4g}; convert it to uint8, "
            "or call explainer.cam if it is normalised for the model"
        )
    return _scaled(values, 1.0)


def _of_16_bits(values: np.ndarray) -> np.ndarray:
    if 0 < values.max() < 256:
        raise InputError(f"a picture of 16 bits goes up to 65535, not to {values.max()}; convert it to uint8")
    return _scaled(values, 65535.0)


def _scaled(values: np.ndarray, full: float) -> np.ndarray:
    return np.round(values.astype(np.float32).clip(0, full) * (255 / full)).astype(np.uint8)

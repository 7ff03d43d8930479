"""The model's input from planes that are on its device already."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from livecam.color import Color
from livecam.transfer import DevicePlanes, stacked


def input_from_planes(
    pictures: Sequence[DevicePlanes], pixel_format: str, color: Color, height: int, width: int
) -> Tensor:
    """Scale B pictures of one size, to (B, height, width, 3) uint8 RGB on their device.

    They are in one `pixel_format` of `livecam.planes.PLANAR` and in one colour space. That is what `Preprocessor` makes
    of upright frames that are stretched, but for what swscale does on its last step to RGB: of limited range it leaves
    white at 253 and all else as much too dark, and it halves the width of the chroma.
    """
    first, *others = pictures
    memory = torch.stack([picture.here() for picture in pictures]) if others else first.here()[None]
    # A filter that widens with the scale, as models were trained on and as swscale's.
    small = [
        functional.interpolate(planes, (height, width), mode="bilinear", antialias=True)
        for planes in stacked(memory.float(), first.shapes)
    ]
    matrix, offset = _to_rgb(pixel_format, color, memory.device)
    pixels = torch.stack([plane for planes in small for plane in planes.unbind(dim=1)], dim=-1)
    rgb = torch.addmm(offset, pixels.view(-1, 3), matrix)
    return rgb.clamp_(0, 255).byte().view(pixels.shape)


@functools.lru_cache(maxsize=16)
def _to_rgb(pixel_format: str, color: Color, device: torch.device) -> tuple[Tensor, Tensor]:
    """(3, 3) and (3,) float32 on the device, with RGB = planes @ matrix + offset on 0..255, cut off to be rounded.

    They are kept, for to bring them there the host would wait for the device.
    """
    if pixel_format == "gbrp":
        matrix, offset = np.eye(3)[[2, 0, 1]], np.zeros(3)
    else:
        matrix, offset = color.rgb_from_yuv()
    both = np.concatenate([matrix.T, [offset + 0.5]]).astype(np.float32)
    sent = torch.from_numpy(both).to(device)
    return sent[:3], sent[3]

"""The model's input from planes that are on its device already."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from livecam.color import Color


def input_from_planes(planes: Sequence[Tensor], pixel_format: str, color: Color, height: int, width: int) -> Tensor:
    """Planes (h, w) uint8 of a format in `livecam.planes.PLANAR` -> (height, width, 3) uint8 RGB of the whole picture.

    What `Preprocessor` makes of an upright frame that is stretched, but for what swscale does on its last step to RGB:
    of limited range it leaves white at 253 and all else as much too dark, and it halves the width of the chroma.
    """
    # A filter that widens with the scale, as models were trained on and as swscale's.
    small = [
        functional.interpolate(plane[None, None].float(), (height, width), mode="bilinear", antialias=True)[0, 0]
        for plane in planes
    ]
    if pixel_format == "gbrp":
        green, blue, red = small
        rgb = torch.stack([red, green, blue], dim=2)
    else:
        matrix, offset = (torch.from_numpy(part.astype(np.float32)).to(small[0]) for part in color.rgb_from_yuv())
        rgb = torch.stack(small, dim=2) @ matrix.T + offset
    return rgb.round().clamp(0, 255).byte()

"""The colour space and range that a picture is in: needed to feed the model and to blend with the right palette."""

from __future__ import annotations

from typing import NamedTuple

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

# AVColorSpace -> luma coefficients (Kr, Kb), ITU-T H.273 table 4.
_LUMA = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
_RGB = 0
_BT709, _BT601 = 1, 6


class Color(NamedTuple):
    """`space` is an AVColorSpace number that is in the table above; `full_range` says 0-255 instead of 16-235/240."""

    space: int
    full_range: bool

    @classmethod
    def of(cls, picture: av.VideoFrame) -> Color:
        """The tags of a picture. Where it has none, what mpv assumes: BT.709 for the sizes of HD, BT.601 below."""
        space = picture.colorspace
        if space not in _LUMA:
            space = _BT709 if picture.width >= 1280 or picture.height > 576 else _BT601
        full_range = picture.color_range == ColorRange.JPEG or picture.format.name.startswith("yuvj")
        return cls(space, full_range)

    @staticmethod
    def space_tag(picture: av.VideoFrame) -> int:
        """The AVColorSpace tag for planes Y, U, V made of a picture: its own, unless that says that it is RGB."""
        return Color.of(picture).space if picture.colorspace == _RGB else picture.colorspace

    @property
    def swscale_space(self) -> Colorspace:
        """The same colour space in the words of swscale."""
        return {1: Colorspace.ITU709, 4: Colorspace.FCC, 7: Colorspace.SMPTE240M, 9: Colorspace.BT2020}.get(
            self.space, Colorspace.ITU601
        )

    @property
    def swscale_range(self) -> ColorRange:
        """The same range in the words of swscale."""
        return ColorRange.JPEG if self.full_range else ColorRange.MPEG

    def yuv_from_rgb(self, rgb: np.ndarray) -> np.ndarray:
        """(N, 3) uint8 RGB, full range -> (N, 3) uint8 Y, U, V in this colour space and range."""
        kr, kb = _LUMA[self.space]
        red, green, blue = (rgb.astype(np.float64) / 255).T
        luma = kr * red + (1 - kr - kb) * green + kb * blue
        u, v = (blue - luma) / (2 * (1 - kb)), (red - luma) / (2 * (1 - kr))
        if self.full_range:
            yuv = np.stack([255 * luma, 128 + 255 * u, 128 + 255 * v], axis=1)
        else:
            yuv = np.stack([16 + 219 * luma, 128 + 224 * u, 128 + 224 * v], axis=1)
        return np.clip(np.round(yuv), 0, 255).astype(np.uint8)

"""The colour space and range of a picture: how its Y, U and V relate to RGB."""

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
BT709, BT2020, _BT601 = 1, 9, 6
"""Colour spaces, by FFmpeg's AVColorSpace; BT709 is also its number of the primaries and of the transfer function."""


class Color(NamedTuple):
    """A colour space and range.

    Attributes:
        space: The number of an FFmpeg AVColorSpace with Y, U and V.
        full_range: True if luma is in 0..255, False if it is in 16..235 (and chroma in 16..240).
    """

    space: int
    full_range: bool

    @classmethod
    def of(cls, picture: av.VideoFrame) -> Color:
        """Read the tags of a picture; if untagged, assume BT.709 for HD sizes and BT.601 for others, as mpv does."""
        color_range = ColorRange.JPEG if picture.format.name.startswith("yuvj") else picture.color_range
        return cls.tagged(picture.colorspace, color_range, picture.width, picture.height)

    @classmethod
    def tagged(cls, space: int, color_range: int, width: int, height: int) -> Color:
        """Read FFmpeg's tags of pictures of a size, as `of` does."""
        if space not in _LUMA:
            space = BT709 if width >= 1280 or height > 576 else _BT601
        return cls(space, color_range == ColorRange.JPEG)

    @staticmethod
    def space_tag(picture: av.VideoFrame) -> int:
        """Return the AVColorSpace tag for a picture converted to YUV: its own, unless that says RGB."""
        return Color.of(picture).space if picture.colorspace == _RGB else picture.colorspace

    @property
    def swscale_space(self) -> Colorspace:
        """The colour space as swscale names it."""
        return {1: Colorspace.ITU709, 4: Colorspace.FCC, 7: Colorspace.SMPTE240M, 9: Colorspace.BT2020}.get(
            self.space, Colorspace.ITU601
        )

    @property
    def swscale_range(self) -> ColorRange:
        """The range as swscale names it."""
        return ColorRange.JPEG if self.full_range else ColorRange.MPEG

    def yuv_from_rgb(self, rgb: np.ndarray) -> np.ndarray:
        """Convert (N, 3) uint8 full-range RGB to (N, 3) uint8 Y, U, V."""
        matrix, offset = self._matrix_and_offset()
        return np.clip(np.round(rgb @ matrix.T + offset), 0, 255).astype(np.uint8)

    def rgb_from_yuv(self) -> tuple[np.ndarray, np.ndarray]:
        """Return a matrix, (3, 3), and an offset, (3,), float64, such that RGB = matrix @ YUV + offset on 0..255."""
        matrix, offset = self._matrix_and_offset()
        inverse = np.linalg.inv(matrix)
        return inverse, -inverse @ offset

    def _matrix_and_offset(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (3, 3) and (3,) float64, such that YUV = matrix @ RGB + offset on 0..255."""
        kr, kb = _LUMA[self.space]
        luma = np.array([kr, 1 - kr - kb, kb])
        u, v = (np.array([0, 0, 1]) - luma) / (2 * (1 - kb)), (np.array([1, 0, 0]) - luma) / (2 * (1 - kr))
        if self.full_range:
            return np.stack([luma, u, v]), np.array([0.0, 128, 128])
        return np.stack([219 * luma, 224 * u, 224 * v]) / 255, np.array([16.0, 128, 128])

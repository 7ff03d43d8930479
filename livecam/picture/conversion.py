"""Pictures in RGB as video."""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from livecam.picture.color import BT709
from livecam.system import cores


class Bt709Converter:
    """Converts RGB to the video that every player takes: 8 bits, 4:2:0, BT.709 in the limited range."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def __call__(self, image: np.ndarray) -> av.VideoFrame:
        """Convert a picture, (H, W, 3) uint8 RGB."""
        picture = self._reformatter.reformat(
            av.VideoFrame.from_ndarray(image, format="rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            threads=cores.SCALER,
        )
        picture.color_primaries = picture.color_trc = BT709
        return picture

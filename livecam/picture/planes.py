"""The planes of a picture as arrays, and the pixel formats that livecam can draw on."""

from __future__ import annotations

import av
import numpy as np

from livecam.picture.color import Color

PLANAR = {"yuv420p": (2, 2), "yuv422p": (2, 1), "yuv444p": (1, 1), "gbrp": (1, 1)}
"""The pixel formats that livecam draws on, with the picture pixels per pixel of the last two planes, (across, down)."""


def planar_format(picture_format: av.VideoFormat) -> str:
    """Return the format of `PLANAR` that preserves the chroma resolution of a video's format."""
    if not picture_format.is_rgb and len(picture_format.components) == 1:
        return "yuv420p"  # grey video: the heatmap still needs chroma
    chroma_width, chroma_height = picture_format.chroma_width(8), picture_format.chroma_height(8)
    return {(4, 4): "yuv420p", (4, 8): "yuv422p"}.get((chroma_width, chroma_height), "yuv444p")


def drawn_format(picture: av.VideoFrame) -> str | None:
    """Return the format of `PLANAR` that a picture is in (yuvj420p is yuv420p), or None if it must be converted."""
    name = picture.format.name.replace("yuvj", "yuv")
    return name if name in PLANAR else None


def planes(picture: av.VideoFrame) -> list[np.ndarray]:
    """View the 8-bit planes of a picture as arrays, (h, w) uint8 each; writing into them writes into the picture."""
    return [
        np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
        for plane in picture.planes
    ]


def plane_values(rgb: np.ndarray, pixel_format: str, color: Color) -> np.ndarray:
    """Convert colours, (N, 3) uint8 RGB, to their values in the planes of a format, (N, 3) uint8."""
    if pixel_format == "gbrp":
        return rgb[:, (1, 2, 0)]
    return color.yuv_from_rgb(rgb)


def padded_size(width: int, height: int, pixel_format: str) -> tuple[int, int]:
    """Round (width, height) up to whole pixels of the chroma."""
    across, down = PLANAR[pixel_format]
    return width + width % across, height + height % down

"""Still pictures, each written to a file of its own."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping
from typing import Any

import av
import cv2
import numpy as np
from PIL import Image

from livecam.errors import OutputError
from livecam.picture.frame import Frame
from livecam.picture.planes import planes
from livecam.sinks.base import Sink, SinkKind, check_place
from livecam.system.files import write_whole
from livecam.system.stores import AnyPath

_JPEG: tuple[str, dict[str, Any]] = ("JPEG", {"quality": 95, "subsampling": "4:4:4"})  # sharp colour edges
_TIFF: tuple[str, dict[str, Any]] = ("TIFF", {"compression": "tiff_deflate"})
_FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".png": ("PNG", {"compress_level": 1}),  # a third of the time of Pillow's own 6, for a quarter more bytes
    ".webp": ("WEBP", {"quality": 95, "method": 0}),
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".bmp": ("BMP", {}),
}


class PictureSink(Sink):
    """Writes the picture of each frame to the file that `outputs` names for the frame's path.

    Pictures that were written are kept, even if the run fails later.
    """

    pixel_format = "gbrp"

    def __init__(self, outputs: Mapping[AnyPath, AnyPath]) -> None:
        self._outputs = outputs
        self._written: Counter[str] = Counter()

    def write(self, picture: av.VideoFrame, frame: Frame) -> None:
        assert frame.path is not None  # frames of still pictures have a path
        output = self._outputs[frame.path]
        green, blue, red = planes(picture)
        write_whole(output, encoded(cv2.merge([red, green, blue]), output, frame.color_profile))
        self._written[_FORMATS[output.suffix.lower()][0]] += 1

    def report(self) -> dict[str, Any]:
        paths = list(self._outputs.values())
        path = paths[0] if len(paths) == 1 else paths[0].parent
        return {"output": {"path": str(path), "pictures": dict(self._written)}}


def _check(path: AnyPath, overwrite: bool) -> None:
    if path.suffix.lower() not in _FORMATS:
        endings = ", ".join(_FORMATS)
        raise OutputError(f"{path}: the ending of a picture has to be one of {endings}, or name a folder that exists")
    check_place(path, overwrite)


PICTURES = SinkKind(
    recognises=lambda output: True,
    open=lambda outputs, media, encoder: PictureSink(outputs),
    is_file=True,
    takes_videos=False,
    check=_check,
)


def encoded(rgb: np.ndarray, output: AnyPath, color_profile: bytes | None = None) -> bytes:
    """Return the whole file of a picture, so that nothing is written if the format cannot hold it. Raises OutputError.

    Args:
        rgb: The picture, (H, W, 3) uint8 RGB.
        output: The file that it is for, which has one of the endings that a `PictureSink` takes.
        color_profile: The ICC profile of its RGB.
    """
    image = Image.fromarray(rgb)
    file_format, options = _FORMATS[output.suffix.lower()]
    file = io.BytesIO()
    try:
        image.save(file, file_format, icc_profile=color_profile, **options)
    except (OSError, ValueError) as exc:
        size = f"{image.width}x{image.height}"
        raise OutputError(f"cannot write {output}: {file_format} does not take {size} pixels") from exc
    return file.getvalue()

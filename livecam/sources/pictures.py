"""Still pictures, read with Pillow, one after the other."""

from __future__ import annotations

import dataclasses
import io
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import IO

import numpy as np
from PIL import ExifTags, Image, ImageCms
from PIL.Image import Transpose

from livecam.errors import InputError, in_one_line
from livecam.names import PICTURE_ENDINGS, READ_PICTURE_ENDINGS
from livecam.picture.frame import Frame
from livecam.picture.media import Media
from livecam.sources.base import OnPacket, Source, SourceKind
from livecam.system.files import check_file
from livecam.system.stores import AnyPath

log = logging.getLogger("livecam")

_WHITE = (255, 255, 255, 255)
_UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
"""How to turn the pixels upright, by EXIF's orientation; 1, which is missing here, is upright."""


class PictureSource(Source):
    """Yields still pictures of any size, upright, as planar 8-bit RGB; `media` describes the first.

    If `many`, pictures that cannot be read are skipped, logged and counted; `failed_files` names them.
    """

    def __init__(self, paths: Sequence[AnyPath], *, many: bool) -> None:
        self.name = f"{len(paths)} pictures" if many else str(paths[0])
        self._paths, self._many = paths, many
        self.failed_files: dict[str, str] = {}
        self._notes: list[str] = []
        self._pictures = self._read()
        self._first = next(self._pictures, None)
        if self._first is None:
            if len(paths) == 1:
                raise InputError(self.failed_files[str(paths[0])])
            self._tell()
            raise InputError.of_all(f"none of the {len(paths)} pictures can be read", self.failed_files)
        self.media = Media(
            width=self._first.picture.width,
            height=self._first.picture.height,
            pixel_format=self._first.picture.format.name,
            time_base=Fraction(1),
            expected_frames=len(paths),
        )

    def frames(self, on_packet: OnPacket) -> Iterator[Frame]:
        assert self._first is not None  # frames can be read only once
        first, self._first = self._first, None
        for frame in chain([dataclasses.replace(first, captured_seconds=time.perf_counter())], self._pictures):
            self._tell()
            yield frame
        self._tell()

    def close(self) -> None:
        pass

    def _read(self) -> Iterator[Frame]:
        index = 0
        for path in self._paths:
            try:
                frame, pictures_in_file = self._picture_at(path)
            except InputError as exc:
                if not self._many:
                    raise
                self._notes.append(str(exc))
                self.unreadable += 1
                self.failed_files[str(path)] = str(exc)
                continue
            if pictures_in_file > 1:
                self._notes.append(f"{path} holds {pictures_in_file} pictures; the first is explained")
            yield dataclasses.replace(frame, index=index)
            index += 1

    def _picture_at(self, path: AnyPath) -> tuple[Frame, int]:
        """Return the first picture in a file, and count the file's pictures. Raises InputError."""
        assert isinstance(path, Path)
        with opened(path) as image:
            return _first_in(image, path)

    def _tell(self) -> None:
        """Log the problems that were found, once the run has started."""
        for note in self._notes:
            log.warning("%s", note)
        self._notes.clear()


def read_picture(content: bytes, path: AnyPath) -> tuple[Frame, int]:
    """Read the first picture in the content of a file of this name, and count its pictures. Raises InputError."""
    if not content:
        raise InputError(f"{path} is empty")
    with _decoding(io.BytesIO(content), path) as image:
        return _first_in(image, path)


def _first_in(image: Image.Image, path: AnyPath) -> tuple[Frame, int]:
    image.load()
    count = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)  # MPO: phones add small previews
    return dataclasses.replace(_frame_of(image), path=path), count


def frame_of_image(image: Image.Image) -> Frame:
    """Return a frame of a picture that Pillow opened or made, as if it were read from a file. Raises InputError."""
    try:
        return _frame_of(image)
    except (OSError, ValueError) as exc:
        raise InputError(
            f"the image of mode {image.mode} cannot be read ({in_one_line(exc)}); convert it to RGB"
        ) from exc


def _frame_of(image: Image.Image) -> Frame:
    profile = image.info.get("icc_profile")
    profile = profile if _color_space(profile) == "RGB" else None
    return dataclasses.replace(Frame.from_rgb(upright_rgb(image)), color_profile=profile)


@contextmanager
def opened(path: Path, name: str = "") -> Iterator[Image.Image]:
    """Open a file with Pillow, which is called `name` in messages, by default as its path.

    Raises InputError if that fails, or reading it in the block does.
    """
    check_file(path)
    with _decoding(path, name or path) as image:
        yield image


@contextmanager
def _decoding(file: Path | IO[bytes], path: AnyPath | str) -> Iterator[Image.Image]:
    try:
        with Image.open(file) as image:
            yield image
    except Image.DecompressionBombError as exc:
        raise InputError(f"{path} has too many pixels, like files made to exhaust the memory") from exc
    except MemoryError:
        raise
    except Exception as exc:  # Pillow's decoders may raise anything for a damaged file
        raise InputError(
            f"{path} is not a picture that can be read (damaged, cut short, or something else); convert or leave it out"
        ) from exc


def upright_rgb(image: Image.Image) -> np.ndarray:
    """Read a picture as viewers show it, (H, W, 3): upright by its EXIF data, with transparency blended with white."""
    return np.asarray(_turned_upright(_in_rgb(image), image))


def _in_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _from_deep_grey(np.asarray(image)).convert("RGB")
    if image.has_transparency_data:
        colors = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, _WHITE), colors).convert("RGB")
    profile = image.info.get("icc_profile")
    if profile and image.mode == "CMYK" and _color_space(profile) == "CMYK":
        # Only the profile knows the colours of the inks.
        inks, screen = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, inks, screen, outputMode="RGB") or image.convert("RGB")
    return image.convert("RGB")


def _turned_upright(picture: Image.Image, image: Image.Image) -> Image.Image:
    """Rotate a picture according to its file's EXIF data; unreadable EXIF data is ignored."""
    with suppress(Exception):
        method = _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
        return picture if method is None else picture.transpose(method)
    return picture


def _from_deep_grey(values: np.ndarray) -> Image.Image:
    """Scale (H, W) 16-bit integers or floats in 0..1 to 8 bits; a larger range is compressed, not clipped."""
    full = 65535.0 if np.issubdtype(values.dtype, np.integer) else 1.0
    scaled = np.nan_to_num(values.astype(np.float64), posinf=full)
    scaled *= 255 / max(full, scaled.max())
    return Image.fromarray(np.round(scaled.clip(0)).astype(np.uint8))


def _color_space(profile: bytes | None) -> str | None:
    """Return the colour space of an ICC profile: RGB, GRAY, CMYK."""
    return profile[16:20].decode("latin-1").strip() if profile else None


def _output_name(path: str) -> str:
    """Return the file's own name, with an ending that can be written."""
    file = Path(path)
    return file.name if file.suffix.lower() in PICTURE_ENDINGS else file.with_suffix(".png").name


PICTURE = SourceKind(
    recognises=lambda name: Path(name).suffix.lower() in READ_PICTURE_ENDINGS,
    open=PictureSource,
    is_still=True,
    endings=READ_PICTURE_ENDINGS,
    output_name=_output_name,
)

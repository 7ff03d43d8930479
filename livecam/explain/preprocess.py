"""Preprocessing: scales a frame directly to the size of the model's input, upright, as 8-bit RGB."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

import av
import cv2
import numpy as np
import torch
from av.video.reformatter import Interpolation, VideoReformatter
from torch import Tensor
from torch.nn import functional

from livecam.errors import ModelError
from livecam.models.classifier import Preprocessing
from livecam.names import FITS
from livecam.picture.color import Color
from livecam.picture.frame import Frame
from livecam.picture.media import Orientation, Region
from livecam.picture.planes import drawn_format
from livecam.picture.transfer import DevicePlanes, stacked
from livecam.scene import Scene
from livecam.system import cores


class _Kind(NamedTuple):
    """The properties that pictures share when they are scaled together."""

    pixel_format: str
    color: Color
    shapes: tuple[tuple[int, int], ...]


class Prepared(NamedTuple):
    """A frame that is ready for the model, as it is kept until its clip is complete.

    Attributes:
        image: The input, (h, w, channels) uint8, in memory of its own.
        region: The region of the upright picture that it shows.
        frame_index: The index of the frame.
    """

    image: Tensor
    region: Region
    frame_index: int


class Preprocessor:
    """Converts frames to inputs of one size. Not thread-safe, because it reuses its scaler.

    Args:
        preprocessing: Size and colours of the inputs.
        fit: How a picture is made to fit the input's shape: "stretch" scales both axes to it, "crop" takes its middle,
            as the transforms of the weights do, "pad" adds bars in the mean colour.

    Raises:
        ModelError: `fit` is unknown.
    """

    def __init__(self, preprocessing: Preprocessing, fit: str = "stretch") -> None:
        if fit not in FITS:
            raise ModelError(f"there is no fit {fit!r}; there are {', '.join(FITS)}")
        self._preprocessing = preprocessing
        self._fit = fit
        self._reformatter = VideoReformatter()
        self._memory: np.ndarray | None = None

    def __call__(self, frame: Frame) -> tuple[np.ndarray, Region]:
        """Return the input, (h, w, 3) uint8 RGB or (h, w, 1) luma, and the region of the upright picture it shows."""
        height, width = self._preprocessing.size
        if self._fit == "stretch":
            return self._scaled(frame, width, height), Region()
        shown_width, shown_height = _shape_as_seen(frame)
        if self._fit == "crop":
            # The arithmetic of the training's transforms, to the pixel.
            scaled_width, scaled_height = self._before_crop(shown_width, shown_height)
            halved = math.floor if self._preprocessing.floors_crop else round
            left, top = halved((scaled_width - width) / 2), halved((scaled_height - height) / 2)
            scaled = self._scaled(frame, scaled_width, scaled_height)
            image = scaled[top : top + height, left : left + width]
        else:
            scale = min(width / shown_width, height / shown_height)
            scaled_width, scaled_height = max(round(shown_width * scale), 1), max(round(shown_height * scale), 1)
            left, top = -((width - scaled_width) // 2), -((height - scaled_height) // 2)
            image = np.empty((height, width, self._preprocessing.channels), np.uint8)
            mean = np.array(self._preprocessing.mean)
            image[:] = np.round((mean[::-1] if self._preprocessing.bgr else mean) * 255)
            image[-top : scaled_height - top, -left : scaled_width - left] = self._scaled(
                frame, scaled_width, scaled_height
            )
        region = Region(
            left / scaled_width, top / scaled_height, (left + width) / scaled_width, (top + height) / scaled_height
        )
        return image, region

    def batch(
        self, frames: Sequence[Frame], uploaded: Sequence[DevicePlanes | None] | None = None
    ) -> tuple[Tensor, Sequence[Region]]:
        """Convert several frames to one batch of inputs.

        Args:
            frames: Frames of any sizes.
            uploaded: The planes of each on the device, None for a frame that was not uploaded.

        Returns:
            The inputs, (B, h, w, channels) uint8, on the device or in memory that the next call overwrites; and the
            region of each upright picture that they show.
        """
        if uploaded is not None and (on_device := self.from_planes(frames, uploaded)) is not None:
            return on_device, [Region()] * len(frames)
        images, regions = zip(*map(self, frames), strict=True)
        if self._memory is None or len(self._memory) < len(images):
            self._memory = np.empty((len(images), *images[0].shape), np.uint8)
        return torch.from_numpy(np.stack(images, out=self._memory[: len(images)])), regions

    def from_planes(self, frames: Sequence[Frame], uploaded: Sequence[DevicePlanes | None]) -> Tensor | None:
        """Return inputs (B, h, w, 3) uint8 RGB computed from planes on the device, each showing the whole picture.

        Returns None if the host has to do it: a frame is not uploaded, or must be rotated, cropped or converted to
        grey.
        """
        if self._fit != "stretch" or self._preprocessing.channels != 3:
            return None
        pictures: list[tuple[_Kind, DevicePlanes]] = []
        for frame, planes in zip(frames, uploaded, strict=True):
            pixel_format = drawn_format(frame.picture)
            if planes is None or pixel_format is None or frame.orientation != Orientation():
                return None
            pictures.append((_Kind(pixel_format, Color.of(frame.picture), planes.shapes), planes))
        inputs = [
            input_from_planes([planes for _, planes in alike], kind.pixel_format, kind.color, self._preprocessing)
            for kind, alike in groupby(pictures, key=itemgetter(0))
        ]
        return torch.cat(inputs) if len(inputs) > 1 else inputs[0]

    def _before_crop(self, shown_width: float, shown_height: float) -> tuple[int, int]:
        """Return (width, height) to which a picture is scaled before its middle is taken."""
        (height, width), resize = self._preprocessing.size, self._preprocessing.resize
        if isinstance(resize, int):
            return _scale_shorter_side(shown_width, shown_height, max(resize, height, width))
        return max(resize[1], width), max(resize[0], height)

    def _scaled(self, frame: Frame, width: int, height: int) -> np.ndarray:
        """Scale the whole upright picture to (width, height); returns (h, w, channels) uint8, perhaps strided."""
        coded_width, coded_height = frame.orientation.swap(width, height)
        if frame.picture.format.name == "rgb24":
            small = _scaled_rgb(frame.picture, coded_width, coded_height, self._preprocessing.interpolation)
        else:
            small = self._scaled_video(frame.picture, coded_width, coded_height)
        rgb = frame.orientation.upright(small)
        if self._preprocessing.channels == 3:
            return rgb
        return cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)[:, :, np.newaxis]

    def _scaled_video(self, picture: av.VideoFrame, width: int, height: int) -> np.ndarray:
        color = Color.of(picture)
        # The filters of swscale widen with the scale, as Pillow's do: that is what models were trained on. Without full
        # chroma it would map limited-range white to 253 and darken the rest in proportion.
        small = self._reformatter.reformat(
            picture,
            width,
            height,
            "rgb24",
            src_colorspace=color.swscale_space,
            src_color_range=color.swscale_range,
            interpolation=Interpolation[self._preprocessing.interpolation.upper()] | Interpolation.FULL_CHR_H_INT,
            threads=cores.SCALER,
        )
        return small.to_ndarray()


def noise(preprocessing: Preprocessing, count: int = 1) -> Tensor:
    """Return noise in the shape of inputs, (count, h, w, channels) uint8 or of clips, the same each time."""
    shape = (count, *preprocessing.picture_shape)
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0)).byte()


def pictures_to_survey(preprocessing: Preprocessing) -> Iterator[Tensor]:
    """Yield different pictures, (h, w, channels) uint8, the same each time: soft blobs, a drawn scene, and noise.

    For a model of clips they are clips, (frames, h, w, channels): the blobs stand still, the scene moves.
    """
    frames, height, width = preprocessing.extent
    random = torch.Generator().manual_seed(0)
    blobs = torch.rand(1, preprocessing.channels, -(-height // 8), -(-width // 8), generator=random)
    smooth = functional.interpolate(255 * blobs, (height, width), mode="bicubic")
    still = smooth[0].clamp(0, 255).byte().permute(1, 2, 0)
    yield still.expand(preprocessing.picture_shape).contiguous()
    scene = Scene(0, shapes=2, width=width, height=height)
    drawn = torch.stack([torch.from_numpy(scene.render(1 + number / frames)) for number in range(frames)])
    yield (drawn if preprocessing.channels == 3 else drawn[..., 1:2]).reshape(preprocessing.picture_shape)
    yield noise(preprocessing)[0]


def check_inputs(batch: Tensor, preprocessing: Preprocessing) -> None:
    """Raise ModelError unless these are preprocessed inputs, floats (B, channels, height, width), or clips of these."""
    axes = preprocessing.input_shape[:-2]
    is_batch = isinstance(batch, Tensor) and batch.ndim == len(axes) + 3 and batch.shape[1:-2] == axes
    if not is_batch or not batch.is_floating_point():
        what = f"{batch.dtype} {tuple(batch.shape)}" if isinstance(batch, Tensor) else type(batch).__name__
        sides = ", ".join(map(str, axes))
        raise ModelError(f"inputs are a float tensor (B, {sides}, height, width), preprocessed, not {what}")


def _scaled_rgb(picture: av.VideoFrame, width: int, height: int, interpolation: str) -> np.ndarray:
    """Scale packed RGB with the same filter as `_scaled_video`, in a fifth of swscale's time."""
    (plane,) = picture.planes
    lines = np.frombuffer(memoryview(plane), np.uint8).reshape(picture.height, plane.line_size)
    image = torch.from_numpy(lines[:, : 3 * picture.width].reshape(picture.height, picture.width, 3))
    channels = image.permute(2, 0, 1)[None]
    small = functional.interpolate(channels, (height, width), mode=interpolation, antialias=True)
    return small[0].permute(1, 2, 0).numpy()


def _shape_as_seen(frame: Frame) -> tuple[float, float]:
    """Return (width, height) of the upright picture in square pixels; only their ratio is meaningful."""
    width = frame.picture.width * float(frame.sample_aspect_ratio)
    return frame.orientation.swap(width, float(frame.picture.height))


def _scale_shorter_side(width: float, height: float, short: int) -> tuple[int, int]:
    if width <= height:
        return short, int(short * height / width)
    return int(short * width / height), short


def input_from_planes(
    pictures: Sequence[DevicePlanes], pixel_format: str, color: Color, preprocessing: Preprocessing
) -> Tensor:
    """Scale pictures of one size to inputs, (B, h, w, 3) uint8 RGB, on their device.

    The result equals that of `Preprocessor` for upright frames with fit="stretch", but for rounding.

    Args:
        pictures: The planes of B pictures.
        pixel_format: Their format, one of `livecam.picture.planes.PLANAR`.
        color: Their colour space.
        preprocessing: The size of the inputs, and the filter that scales to it.
    """
    first, *others = pictures
    memory = torch.stack([picture.here() for picture in pictures]) if others else first.here()[None]
    # A filter that widens with the scale, as swscale's does; models were trained on such pictures.
    small = [
        functional.interpolate(planes, preprocessing.size, mode=preprocessing.interpolation, antialias=True)
        for planes in stacked(memory.float(), first.shapes)
    ]
    matrix, offset = _to_rgb(pixel_format, color, memory.device)
    pixels = torch.stack([plane for planes in small for plane in planes.unbind(dim=1)], dim=-1)
    rgb = torch.addmm(offset, pixels.view(-1, 3), matrix)
    return rgb.clamp_(0, 255).byte().view(pixels.shape)


@functools.lru_cache(maxsize=16)
def _to_rgb(pixel_format: str, color: Color, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return a matrix (3, 3) and an offset (3,) on the device: floor(planes @ matrix + offset) is RGB in 0..255.

    Cached, because the host has to wait for the upload.
    """
    if pixel_format == "gbrp":
        matrix, offset = np.eye(3)[[2, 0, 1]], np.zeros(3)
    else:
        matrix, offset = color.rgb_from_yuv()
    both = np.concatenate([matrix.T, [offset + 0.5]]).astype(np.float32)
    sent = torch.from_numpy(both).to(device)
    return sent[:3], sent[3]

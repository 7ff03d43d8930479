"""Transparent pictures are laid on white, whatever their hidden colours are."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from livecam.sources.video import VideoSource
from tests.support.clips import numbered_picture
from tests.support.conditioning import shown, through, timed
from tests.support.reading import frames_of, number_of


@pytest.mark.parametrize("pixel_format", ["rgba", "bgra", "gbrap", "yuva420p", "yuva444p", "yuva444p10le", "rgba64le"])
def test_transparent_pictures_are_laid_on_white(pixel_format: str, caplog: pytest.LogCaptureFixture) -> None:
    colors = np.random.default_rng(0).integers(0, 256, (6, 8, 4))
    colors[:, 0, 3], colors[:, 1, 3] = 0, 255
    rgba = colors.astype(np.uint8).repeat(16, 0).repeat(16, 1)
    picture = av.VideoFrame.from_ndarray(rgba, format="rgba").reformat(format=pixel_format, dst_color_range=1)
    if "yuv" in pixel_format:
        picture.colorspace, picture.color_range = 5, 1
    media, out = through([timed(picture, number) for number in range(2)])
    assert media.pixel_format in ("rgb24", "yuv420p", "yuv444p")
    alpha = colors[:, :, 3:] / 255
    wanted = colors[:, :, :3] * alpha + 255 * (1 - alpha)
    tolerance = 1.5 if "rgb" in pixel_format or pixel_format == "bgra" else 5  # swscale's own way to YUV
    assert np.abs(shown(out[1])[8::16, 8::16] - wanted).max() <= tolerance
    assert caplog.messages == [f"it can be transparent ({pixel_format}): it is laid on white, in 8 bits a channel"]


def transparent_picture(number: int) -> np.ndarray:
    """(96, 160, 4) uint8 RGBA: above, hidden noise on the left and a plain colour on the right; below, a number."""
    hidden = np.random.default_rng(number).integers(0, 2, (96, 160, 1)) * np.array([255, 255, 255])
    picture = np.concatenate([hidden, np.zeros((96, 160, 1))], axis=2).astype(np.uint8)
    picture[:72, 80:] = (200, 40, 60, 255)
    picture[72:, :, :3], picture[72:, :, 3] = numbered_picture(number, 160, 96)[72:], 255
    return picture


def transparent_clip(path: Path, codec: str, pixel_format: str) -> Path:
    """Write a clip of six transparent pictures: by Pillow if it is an animation, else by FFmpeg."""
    pictures = [transparent_picture(number) for number in range(6)]
    if codec == "Pillow":
        first, *others = map(Image.fromarray, pictures)
        to_background = {".gif": 2, ".apng": 1}[path.suffix]
        first.save(path, save_all=True, append_images=others, duration=40, disposal=to_background)
        return path
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 96, pixel_format
        stream.metadata["alpha_mode"] = "1"
        stream.bit_rate = 4_000_000
        for number, rgba in enumerate(pictures):
            picture = av.VideoFrame.from_ndarray(rgba, format="rgba")
            picture.pts, picture.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(picture.reformat(format=pixel_format)))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("clip.mov", "png", "rgba"),
        ("clip.mov", "prores_ks", "yuva444p10le"),
        ("clip.mov", "qtrle", "argb"),
        ("clip.mkv", "ffv1", "bgra"),
        ("clip.webm", "libvpx-vp9", "yuva420p"),
        ("clip.mkv", "libvpx-vp9", "yuva420p"),
        ("clip.gif", "Pillow", ""),
        ("clip.apng", "Pillow", ""),
    ],
)
def test_what_is_hidden_is_not_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, codec: str, pixel_format: str
) -> None:
    path = transparent_clip(tmp_path / name, codec, pixel_format)
    frames = frames_of(VideoSource(str(path)))
    assert [number_of(frame) for frame in frames] == list(range(6))
    for frame in frames:
        rgb = shown(frame.picture)
        assert rgb[10:60, 10:70].min() > 240
        assert np.abs(rgb[10:60, 90:150] - (200, 40, 60)).max() < 12
    assert len(caplog.messages) == 1
    assert "it is laid on white" in caplog.messages[0]

"""Still pictures are read as viewers show them, whatever their pixels are made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from livecam import open_source
from tests.support.reading import frames_of
from tests.support.stills import scene


def rgb_of(path: Path) -> np.ndarray:
    (frame,) = frames_of(open_source(path))
    return frame.picture.to_ndarray(format="rgb24")


def ramp(mode: str) -> Image.Image:
    return Image.linear_gradient("L").resize((64, 64)).convert(mode)


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 64 * 64).reshape(64, 64)
    for name, image in {
        "deep.png": Image.fromarray(values.astype(np.uint16)),
        "deep.tif": Image.fromarray(values.astype(np.uint16)),
        "wide.tif": Image.fromarray(values.astype(np.int32)),
        "float.tif": Image.fromarray((values / 65535).astype(np.float32)),
    }.items():
        image.save(tmp_path / name)
        read = rgb_of(tmp_path / name)
        assert np.abs(read - (values / 257)[:, :, None]).max() <= 0.51, name


def test_grey_alpha_palette_and_inks(tmp_path: Path) -> None:
    image = scene()
    expected = np.asarray(image).astype(int)
    image.convert("L").save(tmp_path / "grey.png")
    assert np.array_equal(rgb_of(tmp_path / "grey.png"), np.asarray(image.convert("L").convert("RGB")))
    image.convert("1").save(tmp_path / "bits.png")
    assert set(np.unique(rgb_of(tmp_path / "bits.png"))) == {0, 255}
    image.quantize(64).save(tmp_path / "palette.png")
    assert np.array_equal(rgb_of(tmp_path / "palette.png"), np.asarray(image.quantize(64).convert("RGB")))
    image.convert("CMYK").save(tmp_path / "inks.jpg", quality=95)
    assert np.abs(rgb_of(tmp_path / "inks.jpg") - expected).mean() < 3
    for ending in ("webp", "tif", "bmp", "png"):
        image.save(tmp_path / f"same.{ending}", lossless=True)
        assert np.array_equal(rgb_of(tmp_path / f"same.{ending}"), expected), ending
    image.putalpha(ramp("L").resize(image.size))
    image.save(tmp_path / "alpha.png")
    opaque = np.asarray(image).astype(float)[:, :, 3:] / 255
    assert np.abs(rgb_of(tmp_path / "alpha.png") - (expected * opaque + 255 * (1 - opaque))).max() <= 1
    hidden = Image.new("P", (32, 32), 3)
    hidden.putpalette([0] * 768)
    hidden.save(tmp_path / "glass.gif", transparency=3)
    assert (rgb_of(tmp_path / "glass.gif") == 255).all()


def test_the_previews_of_a_phone_are_not_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    scene(1).save(tmp_path / "phone.mpo", save_all=True, append_images=[scene(2, 80, 48)])
    (tmp_path / "phone.mpo").rename(tmp_path / "phone.jpg")
    assert rgb_of(tmp_path / "phone.jpg").shape == (96, 160, 3)
    assert caplog.messages == []


def test_only_a_profile_of_rgb_is_one_of_what_is_read(tmp_path: Path) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    scene().save(tmp_path / "colours.png", icc_profile=srgb)
    scene().convert("L").save(tmp_path / "grey.png", icc_profile=srgb[:16] + b"GRAY" + srgb[20:])
    colours, grey = frames_of(open_source([tmp_path / "colours.png", tmp_path / "grey.png"]))
    assert (colours.color_profile, grey.color_profile) == (srgb, None)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_does_no_harm(tmp_path: Path) -> None:
    scene().save(tmp_path / "in.png", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")
    assert rgb_of(tmp_path / "in.png").shape == (96, 160, 3)

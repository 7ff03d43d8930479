"""HDR becomes SDR that looks as it should: judged by the formulas of PQ and HLG."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import Result

from livecam.sources import open_source
from tests.support.clips import facts_of, number_in, numbered_picture
from tests.support.conditioning import BT709, BT2020, HLG, PQ, shown, through, timed
from tests.support.reading import frames_of

pytestmark = pytest.mark.usefixtures("quick_shapes")

Livecam = Callable[..., Result]


def pq_of(nits: np.ndarray) -> np.ndarray:
    """SMPTE ST 2084: luminance in cd/m² to code values in 0..1."""
    power = (nits / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def hlg_of(nits: np.ndarray) -> np.ndarray:
    """ARIB STD-B67 for a grey that a display of 1000 cd/m² shows with this luminance, in 0..1."""
    scene = (nits / 1000) ** (1 / 1.2)
    return np.where(
        scene <= 1 / 12,
        np.sqrt(3 * scene),
        0.17883277 * np.log(12 * np.maximum(scene, 1 / 12) - 0.28466892) + 0.55991073,
    )


def hdr_picture(rgb: np.ndarray, transfer: int) -> av.VideoFrame:
    """A picture of (N, 3) BT.2020 code values in 0..1: a 16 pixels wide patch of each, in 10 bits."""
    kr, kb = 0.2627, 0.0593
    luma = rgb @ [kr, 1 - kr - kb, kb]
    yuv = [64 + 876 * luma]
    yuv += [512 + 896 * (rgb[:, channel] - luma) / (2 - 2 * k) for channel, k in ((2, kb), (0, kr))]
    picture = av.VideoFrame(16 * len(rgb), 16, "yuv444p10le")
    for plane, values in zip(picture.planes, yuv, strict=True):
        lines = np.zeros((16, plane.line_size // 2), "<u2")
        lines[:, : picture.width] = np.round(values).repeat(16)
        plane.update(lines.tobytes())
    picture = picture.reformat(format="yuv420p10le")
    picture.colorspace, picture.color_primaries, picture.color_range, picture.color_trc = BT2020, BT2020, 1, transfer
    return timed(picture, 0)


NITS = np.array([0, 0.5, 2, 10, 26, 50, 80, 100, 150, 203, 300, 400, 600, 900])


@pytest.mark.parametrize(("transfer", "code"), [(PQ, pq_of), (HLG, hlg_of)])
def test_hdr_becomes_bright_sdr_that_is_not_clipped(
    transfer: int, code: Callable[[np.ndarray], np.ndarray], caplog: pytest.LogCaptureFixture
) -> None:
    media, (picture,) = through([hdr_picture(code(NITS)[:, None].repeat(3, 1), transfer)])
    assert (media.pixel_format, media.color_range, media.color_space) == ("yuv420p", 1, BT709)
    assert (picture.color_range, picture.colorspace) == (1, BT709)
    assert (picture.color_primaries, picture.color_trc) == (BT709, BT709)
    assert (media.color_primaries, media.color_transfer) == (BT709, BT709)
    grey = shown(picture)[8, 8::16]
    assert np.ptp(grey, axis=1).max() <= 2  # grey stays grey
    levels = dict(zip(NITS.tolist(), grey[:, 1], strict=True))
    assert (np.diff(grey[:-2, 1]) > 1).all()
    assert levels[0] <= 1
    assert 225 <= levels[203] <= 240
    assert levels[203] < levels[300] < levels[400] < levels[600] <= levels[900] <= 255
    # What is dark is as bright as on a screen for SDR whose white is at 203 cd/m².
    dark = NITS < 85
    assert grey[dark, 1] == pytest.approx(255 * (NITS[dark] / 203) ** (1 / 2.4), abs=3)
    kind = "PQ" if transfer == PQ else "HLG"
    assert caplog.messages == [f"it is HDR ({kind}): it is tone-mapped to SDR, BT.709 in 8 bits a channel"]


@pytest.mark.parametrize(("transfer", "code"), [(PQ, pq_of), (HLG, hlg_of)])
def test_the_colours_of_hdr_stay(transfer: int, code: Callable[[np.ndarray], np.ndarray]) -> None:
    bt709 = np.array([[0.9, 0.2, 0.1], [0.1, 0.8, 0.2], [0.1, 0.2, 0.9], [0.8, 0.55, 0.42]])  # linear; the last is skin
    to_bt2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
    nits = 80 * bt709 @ to_bt2020.T
    if transfer == HLG:  # undo the display's gamma, which depends on the luminance
        luminance = nits @ [0.2627, 0.6780, 0.0593]
        nits = 1000 * (nits / 1000 * (luminance[:, None] / 1000) ** (1 / 1.2 - 1)) ** 1.2
    _, (picture,) = through([hdr_picture(code(nits), transfer)])
    wanted = 255 * (bt709 * 80 / 203) ** (1 / 2.4)
    assert np.abs(shown(picture)[8, 8::16] - wanted).max() <= 5


def hdr_clip(path: Path, codec: str, transfer: int, nits: float = 100.0, promise: str = "") -> Path:
    """Write four numbered HDR pictures with a grey of `nits`; `promise` are x265's parameters about their peak."""
    code = (pq_of if transfer == PQ else hlg_of)(np.array([nits]))[0]
    fast = {"libx265": {"preset": "ultrafast", "x265-params": f"log-level=none:pools=none:frame-threads=1{promise}"}}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=fast.get(codec, {}))
        stream.width, stream.height, stream.pix_fmt = 160, 96, f"yuv{422 if codec == 'prores_ks' else 420}p10le"
        context = stream.codec_context
        context.color_range, context.colorspace, context.color_primaries, context.color_trc = (
            1,
            BT2020,
            BT2020,
            transfer,
        )
        for number in range(4):
            luma = np.full((96, 160), code)
            luma[72:] = code * (numbered_picture(number, 160, 96)[72:, :, 0] > 127)
            picture = av.VideoFrame(160, 96, stream.pix_fmt)
            for plane, values in zip(picture.planes, (64 + 876 * luma, 512, 512), strict=True):
                lines = np.zeros((plane.height, plane.line_size // 2), "<u2")
                lines[:, : plane.width] = values
                plane.update(lines.tobytes())
            picture.pts, picture.time_base = number, Fraction(1, 25)
            picture.color_range, picture.colorspace = 1, BT2020
            picture.color_primaries, picture.color_trc = BT2020, transfer
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec", "transfer"),
    [("clip.mp4", "libx265", PQ), ("clip.mov", "prores_ks", HLG), ("clip.mkv", "ffv1", PQ)],
)
def test_hdr_files_become_sdr_files(livecam: Livecam, tmp_path: Path, name: str, codec: str, transfer: int) -> None:
    output = tmp_path / "out.mp4"
    path = hdr_clip(tmp_path / name, codec, transfer)
    result = livecam("annotate", path, "-o", output, "--weights", "none", "--opacity", 0, "--no-caption")
    assert result.exit_code == 0, result.output
    assert result.output.count("is HDR") == 1
    after = facts_of(output)
    assert after.color == (1, BT709, BT709, BT709)
    assert [number_in(picture) for picture in after.pictures] == list(range(4))
    assert np.abs(after.pictures[2][20:60].astype(float) - 255 * (100 / 203) ** (1 / 2.4)).mean() < 5
    with av.open(str(output)) as container:
        told = next(container.decode(video=0)).side_data
        assert not any(kind in told for kind in ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"))


@pytest.mark.parametrize(
    ("promise", "grey"),
    [
        (":max-cll=1000,400", 231),
        (":max-cll=4000,400", 212),
        (":master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(40000000,50)", 212),
    ],
)
def test_the_peak_that_a_video_promises_becomes_white(tmp_path: Path, promise: str, grey: int) -> None:
    path = hdr_clip(tmp_path / "clip.mkv", "libx265", PQ, 203.0, promise)
    frames = frames_of(open_source(path))
    assert shown(frames[2].picture)[20:60].mean() == pytest.approx(grey, abs=3)

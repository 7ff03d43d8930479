"""What is decoded becomes upright SDR pictures of one size: its values, its times, and what is told of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from livecam.picture.color import Color
from livecam.picture.media import Media, media_of
from livecam.picture.planes import planes
from livecam.sources import LiveOptions, open_live, open_source
from livecam.sources.conditioning import Conditioner, conditioned
from livecam.sources.filters import Filters
from livecam.sources.reconnecting import ReconnectingSource
from livecam.sources.video import VideoSource
from tests.support.clips import facts_of, number_in, numbered_picture
from tests.support.reading import first_of, frames_of, number_of
from tests.support.streams import QUICK, recordings

Clip = Callable[..., Path]
Livecam = Callable[..., Result]

TIME_BASE = Fraction(1, 25)
BT2020, BT709, PQ, HLG = 9, 1, 16, 18


def picture_of(
    rgb: np.ndarray, number: int = 0, *, pixel_format: str = "yuv420p", space: int = 6, full: bool = False
) -> av.VideoFrame:
    """Make a picture of (H, W, 3) uint8 RGB as a decoder would, tagged with its colour space and range."""
    color = Color(space, full)
    height, width, _ = rgb.shape
    exact = av.VideoFrame(width, height, "yuv444p")
    for plane, values in zip(planes(exact), color.yuv_from_rgb(rgb.reshape(-1, 3)).T, strict=True):
        plane[:] = values.reshape(height, width)
    exact.color_range = color.swscale_range
    picture = exact.reformat(format=pixel_format)
    picture.colorspace, picture.color_range = space, color.swscale_range
    return timed(picture, number)


def timed(picture: av.VideoFrame, number: int) -> av.VideoFrame:
    picture.pts, picture.time_base, picture.duration = 3 * number - 5, TIME_BASE / 3, 3
    return picture


def through(pictures: Sequence[av.VideoFrame]) -> tuple[Media, list[av.VideoFrame]]:
    """Condition pictures; each has to come out once, with its time, as the media say."""
    media = conditioned(media_of(pictures[0], time_base=TIME_BASE))
    times = [(picture.pts, picture.time_base) for picture in pictures]
    out = list(Conditioner("it", media).pictures(pictures))
    assert [(picture.pts, picture.time_base) for picture in out] == times
    for picture in out:
        assert (picture.width, picture.height) == (media.width, media.height)
        assert picture.format.name.replace("yuvj", "yuv") == media.pixel_format.replace("yuvj", "yuv")
        assert not picture.interlaced_frame
    return media, out


def shown(picture: av.VideoFrame) -> np.ndarray:
    """Convert a picture to RGB by its tags, in floats: (H, W, 3) in 0..255."""
    if picture.format.is_rgb:
        return picture.to_ndarray(format="rgb24").astype(float)
    luma, *chroma = (plane.astype(float) for plane in planes(picture))
    height, width = luma.shape
    full = [plane.repeat(height // plane.shape[0], 0).repeat(width // plane.shape[1], 1) for plane in chroma]
    matrix, offset = Color.of(picture).rgb_from_yuv()
    return np.clip(np.stack([luma, *full], axis=2) @ matrix.T + offset, 0, 255)


PATCHES = np.array([[(200, 40, 60), (20, 180, 90), (30, 60, 220), (240, 240, 240), (16, 16, 16), (128, 128, 128)]])
COLORS = PATCHES.astype(np.uint8).repeat(16, 0).repeat(16, 1)


def test_what_needs_nothing_is_passed_on(caplog: pytest.LogCaptureFixture) -> None:
    pictures = [picture_of(COLORS, number) for number in range(4)]
    _, out = through(pictures)
    assert all(before is after for before, after in zip(pictures, out, strict=True))
    assert caplog.messages == []


@pytest.mark.parametrize(
    "later",
    [
        {"full": True},
        {"space": BT709},
        {"space": BT2020},
        {"pixel_format": "yuv444p"},
        {"pixel_format": "yuv422p", "full": True, "space": BT709},
        {"pixel_format": "yuvj420p", "full": True},
        {"pixel_format": "nv12"},
        {"pixel_format": "yuv420p10le", "full": True},
    ],
    ids=lambda later: ",".join(f"{value}" for value in later.values()),
)
@pytest.mark.parametrize("first", [{}, {"full": True, "space": BT709}, {"pixel_format": "yuvj422p", "full": True}])
def test_later_pictures_look_like_the_first(
    first: dict[str, object], later: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    kinds = [first, first, later, later, first, later]
    pictures = [picture_of(COLORS, number, **kind) for number, kind in enumerate(kinds)]  # type: ignore[arg-type]
    media, out = through(pictures)
    for picture in out:
        assert (picture.color_range, picture.colorspace) == (media.color_range, media.color_space)
        centres = shown(picture)[8, 8::16]
        assert np.abs(centres - PATCHES[0]).max() < 3
    assert caplog.messages == ["it changes its pixel format or colour space: converted to those of the first picture"]


def test_an_untagged_picture_means_what_it_is_tagged_as(caplog: pytest.LogCaptureFixture) -> None:
    pictures = [picture_of(COLORS, number, space=6) for number in range(3)]
    pictures[0].color_range = pictures[0].colorspace = 0
    pictures[0].colorspace, pictures[1].colorspace = 2, 5
    _, out = through(pictures)
    assert all(before is after for before, after in zip(pictures, out, strict=True))
    assert caplog.messages == []


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


def fields_of(number: int) -> np.ndarray:
    """(H, W, 3) uint8: a bar that moves between the fields, over a number that stands still."""
    picture = np.stack([numbered_picture(number, 160, 96)] * 2)
    for field in range(2):
        left = 10 + 12 * (2 * (number % 4) + field)
        picture[field, :64] = 40
        picture[field, :64, left : left + 24] = 220
    woven = picture[0]
    woven[1::2] = picture[1, 1::2]
    return woven


def combing(picture: av.VideoFrame) -> float:
    """How much more a line differs from its neighbours than these from one another, where the bar moves."""
    luma = planes(picture)[0][:64].astype(float)
    return float(np.abs(2 * luma[1:-1] - luma[:-2] - luma[2:]).mean())


def interlaced_clip(path: Path, codec: str, parity: str, frames: int = 12, rate: int = 25, b_frames: int = 2) -> Path:
    """Write a clip whose pictures are interlaced, and marked so; parity is tff or bff."""
    options = {
        "libx264": {"x264-params": f"{parity}=1:bframes={b_frames}:crf=10"},
        "mpeg2video": {"flags": "+ildct+ilme"},
    }
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options[codec])
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 160, 96, "yuv420p", 4_000_000
        graph = av.filter.Graph()
        source = graph.add("buffer", f"video_size=160x96:pix_fmt=yuv420p:time_base=1/{rate}:colorspace=5:range=1")
        graph.link_nodes(source, graph.add("setfield", parity), graph.add("buffersink")).configure()
        for number in range(frames):
            picture = av.VideoFrame.from_ndarray(fields_of(number), format="rgb24").reformat(format="yuv420p")
            picture.pts, picture.time_base = number, Fraction(1, rate)
            graph.push(picture)
            container.mux(stream.encode(graph.vpull()))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec", "parity"),
    [("clip.mp4", "libx264", "tff"), ("clip.ts", "mpeg2video", "tff"), ("clip.mpg", "mpeg2video", "bff")],
)
def test_interlaced_pictures_are_deinterlaced_each_in_its_place(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, codec: str, parity: str
) -> None:
    path = interlaced_clip(tmp_path / name, codec, parity)
    with av.open(str(path)) as container:
        before = list(container.decode(video=0))
    assert all(picture.interlaced_frame for picture in before)
    frames = frames_of(open_source(path))
    assert [number_of(frame) for frame in frames] == list(range(12))
    assert [frame.index for frame in frames] == list(range(12))
    begin = 0 if name.endswith("mp4") else before[0].pts  # MPEG streams begin with any time
    assert [frame.picture.pts for frame in frames] == [picture.pts - begin for picture in before]
    assert not any(frame.picture.interlaced_frame for frame in frames)
    assert max(combing(frame.picture) for frame in frames) < min(combing(picture) for picture in before) / 4
    assert caplog.messages == [f"{path} is interlaced: it is deinterlaced"]


def test_interlaced_pictures_in_the_middle(caplog: pytest.LogCaptureFixture) -> None:
    pictures = [picture_of(numbered_picture(number, 160, 96), number) for number in range(9)]
    setting = av.filter.Graph()
    source = setting.add("buffer", "video_size=160x96:pix_fmt=yuv420p:time_base=1/75:colorspace=6:range=1")
    setting.link_nodes(source, setting.add("setfield", "tff"), setting.add("buffersink")).configure()
    for number in (3, 4, 7):
        setting.push(pictures[number])
        pictures[number] = timed(setting.vpull(), number)
    assert [picture.interlaced_frame for picture in pictures].count(True) == 3
    _, out = through(pictures)
    assert [number_in(picture.to_ndarray(format="rgb24")) for picture in out] == list(range(9))
    assert caplog.messages == ["it is interlaced: it is deinterlaced"]


SIZES = [
    ((64, 48), (20, 0, 120, 90)),
    ((320, 180), (0, 0, 160, 90)),
    ((90, 160), (55, 0, 50, 90)),
    ((320, 90), (0, 22, 160, 46)),
]


@pytest.mark.parametrize(("size", "place"), SIZES)
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p", "rgb24"])
def test_another_shape_gets_black_borders(
    size: tuple[int, int], place: tuple[int, int, int, int], pixel_format: str, caplog: pytest.LogCaptureFixture
) -> None:
    sizes = [(160, 90), size, size, (160, 90)]
    _, out = through(
        [
            picture_of(numbered_picture(number, *each), number, pixel_format=pixel_format)
            if pixel_format != "rgb24"
            else timed(av.VideoFrame.from_ndarray(numbered_picture(number, *each), format="rgb24"), number)
            for number, each in enumerate(sizes)
        ]
    )
    x, y, width, height = place
    for number, picture in enumerate(out):
        rgb = shown(picture)
        inside = rgb if number in (0, 3) else rgb[y : y + height, x : x + width]
        assert number_in(inside) == number
        assert (inside.max(axis=(0, 2)) > 60).all()
        if number in (1, 2):
            outside = rgb.copy()
            outside[max(y - 4, 0) : y + height + 4, max(x - 4, 0) : x + width + 4] = 0  # chroma is blurred
            assert outside.max() <= 2
    borders = "" if place[2:] == (160, 90) else ", with black borders"
    assert caplog.messages == [f"it changes from 160x90 to {size[0]}x{size[1]}: scaled to the first size{borders}"]


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p10le", "yuvj444p", "nv12", "yuyv422", "gray", "rgb565le"])
@pytest.mark.parametrize("sizes", [((63, 47), (131, 31)), ((1, 1), (640, 2)), ((64, 48), (63, 31))])
def test_borders_around_every_format_and_size(sizes: Sequence[tuple[int, int]], pixel_format: str) -> None:
    pictures = [av.VideoFrame(*size, pixel_format) for size in sizes]
    through([timed(picture, number) for number, picture in enumerate(pictures)])


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


@pytest.mark.parametrize(("location", "red"), [(0, 167), (1, 167), (2, 184), (3, 167)])
def test_chroma_is_sampled_where_the_output_says(location: int, red: int) -> None:
    """Where no location is said, players assume the left one of two pixels."""
    rgb = np.zeros((32, 64, 3), np.uint8)
    rgb[:, 31:] = (255, 0, 0)
    picture = timed(av.VideoFrame.from_ndarray(rgb, format="rgb24"), 0)
    color = Color(BT709, False)
    media = media_of(picture, time_base=TIME_BASE, chroma_location=location)
    media = dataclasses.replace(media, pixel_format="yuv420p", color_space=BT709, color_range=1)
    filters = Filters(picture, color)
    filters.fit(media, color, 64, 32)
    filters.finish()
    (converted,) = [*filters.put(picture), *filters.put(None)]
    assert abs(int(planes(converted)[2][8, 15]) - red) < 6


@pytest.mark.parametrize(("codec", "b_frames"), [("libx264", 0), ("libx264", 2), ("mpeg4", 0)])
def test_another_shape_of_the_pixels_gets_borders(
    clip: Clip, tmp_path: Path, caplog: pytest.LogCaptureFixture, codec: str, b_frames: int
) -> None:
    facts = {"frames": 6, "size": (160, 96), "codec": codec, "b_frames": b_frames}
    square = clip("square.ts", aspect=Fraction(1), **facts)
    narrow = clip("narrow.ts", aspect=Fraction(3, 4), pts=range(6, 12), **facts)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(square.read_bytes() + narrow.read_bytes())
    frames = frames_of(open_source(joined))
    assert len(frames) == 12
    for number, frame in enumerate(frames):
        rgb = shown(frame.picture)
        is_narrow = number >= 6
        assert (rgb[:72, :16].mean() < 5) == (rgb[:72, -16:].mean() < 5) == is_narrow
        assert number_in(rgb[:, 20:-20] if is_narrow else rgb) == number % 6
    assert f"{joined} changes from 160x96 to 120x96: scaled to the first size, with black borders" in caplog.messages


def test_a_live_stream_is_deinterlaced_with_its_times_of_arrival(tmp_path: Path) -> None:
    connections = recordings(
        *(interlaced_clip(tmp_path / f"{n}.ts", "libx264", "tff", 4, rate=1, b_frames=0) for n in range(2))
    )
    with ReconnectingSource("it", next(connections), connections.__next__, **QUICK) as source:
        arrivals: list[float] = []
        source.signal.came = arrivals.append  # type: ignore[method-assign]
        frames = first_of(source, 6)
    assert [number_of(frame) for frame in frames] == [1, 2, 3, 0, 1, 2]
    assert not any(frame.picture.interlaced_frame for frame in frames)
    assert [frame.captured_seconds for frame in frames] == pytest.approx(arrivals[:6], abs=1e-3)


@pytest.mark.parametrize("name", ["clip.ts", "clip.mpg"])
def test_a_loop_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str) -> None:
    path = interlaced_clip(tmp_path / name, "mpeg2video", "tff", frames=3)
    with open_live(str(path), LiveOptions(loop=True)) as source:
        assert [number_of(frame) for frame in first_of(source, 9)] == [0, 1, 2] * 3
    assert sum("is interlaced" in line for line in caplog.messages) == 1


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


def test_another_rotation_is_told_once(clip: Clip, caplog: pytest.LogCaptureFixture) -> None:
    rotations = (90, 0, 90)
    clips = (clip(f"{n}.mp4", frames=3, rate=1, rotation=turn) for n, turn in enumerate(rotations))
    with ReconnectingSource("it", next(connections := recordings(*clips)), connections.__next__, **QUICK) as source:
        frames = first_of(source, 7)
    assert {frame.orientation.transposed for frame in frames} == {True}
    notes = [line for line in caplog.messages if "rotated" in line]
    assert notes == ["it is rotated differently later: all of it is shown like its first picture"]

"""Interlaced pictures are deinterlaced: each in its place, with its own time."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from livecam.picture.planes import planes
from livecam.sources import LiveOptions, open_live, open_source
from livecam.sources.reconnecting import ReconnectingSource
from tests.support.clips import number_in, numbered_picture
from tests.support.conditioning import picture_of, through, timed
from tests.support.reading import first_of, frames_of, number_of
from tests.support.streams import QUICK, recordings


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

"""The video source: each picture has its own time, parts are exact, and sound is passed on."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.stream import Disposition

from livecam.errors import InputError
from livecam.sources import LiveOptions, open_live, open_source
from livecam.sources.video import VideoSource
from tests.support.clips import numbered_picture, tone_packets
from tests.support.reading import first_of, frames_of, number_of

Clip = Callable[..., Path]


def test_what_was_joined_end_to_end_is_read_so_and_told(clip: Clip, caplog: pytest.LogCaptureFixture) -> None:
    path = clip("clip.ts", frames=5)
    path.write_bytes(path.read_bytes() * 2)  # the second half begins again at the first time
    frames = frames_of(VideoSource(str(path)))
    assert [number_of(frame) for frame in frames] == [0, 1, 2, 3, 4] * 2
    times = [frame.picture.pts * frame.picture.time_base for frame in frames]
    assert [later - times[0] for later in times] == [Fraction(n, 25) for n in range(10)]
    assert f"{path} consists of joined recordings: the times start again at 0.2 s" in caplog.messages


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
def test_a_start_may_be_typed_in_rounded_seconds(clip: Clip, name: str) -> None:
    path = clip(name, frames=12, rate=Fraction(30000, 1001))
    for number in range(12):
        start_seconds = round(number * 1001 / 30000, 3 if name == "clip.mkv" else 5)
        frames = frames_of(open_source(path, start_seconds=start_seconds, duration_seconds=0.15))
        numbers = [number_of(frame) for frame in frames]
        assert numbers == list(range(number, min(number + 5, 12)))
        assert frames[0].pts_seconds == pytest.approx(0, abs=1e-3)


def test_a_part_ends_before_the_picture_at_its_end(clip: Clip) -> None:
    frames = frames_of(open_source(clip(frames=12), start_seconds=0.08, duration_seconds=0.2))
    assert [number_of(frame) for frame in frames] == [2, 3, 4, 5, 6]
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]


def test_packets_that_begin_in_a_part_are_copied(clip: Clip) -> None:
    path = clip(frames=25, audio=["aac"])
    begin_seconds, end_seconds = 15 * 1024 / 48000, 30 * 1024 / 48000  # where packets and pictures begin
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.size]
        there = [p for p in packets if begin_seconds <= float(p.pts * p.time_base) < end_seconds]
    copied: list[av.Packet] = []
    with open_source(path, start_seconds=begin_seconds, duration_seconds=end_seconds - begin_seconds) as source:
        list(source.frames(copied.append))
    assert [bytes(packet) for packet in copied] == [bytes(packet) for packet in there]
    assert [packet.pts for packet in copied] == [1024 * n for n in range(15)]


def with_cover(source: Path | None, target: Path) -> Path:
    """A cover picture as the first stream, before those of a source, or a tone."""
    with av.open(str(target), "w") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 160, 90, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(numbered_picture(200, 160, 90), format="rgb24")
        packets = [*cover.encode(picture), *cover.encode(None)]
        if source is None:
            packets += tone_packets(container.add_stream("aac", rate=48000), 440, 0.2)
        else:
            with av.open(str(source)) as plain:
                stream = container.add_stream_from_template(plain.streams.video[0], opaque=True)
                packets += [packet for packet in plain.demux(video=0) if packet.size]
                for packet in packets[1:]:
                    packet.stream = stream
        container.mux(packets)
    return target


def test_a_cover_is_no_video(clip: Clip, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = with_cover(clip("plain.mp4", frames=5), tmp_path / "clip.mp4")
    assert [number_of(frame) for frame in frames_of(open_source(path))] == [0, 1, 2, 3, 4]
    assert any("not carried over" in line for line in caplog.messages)
    with pytest.raises(InputError, match=r"no video stream \(it holds audio, cover picture\)"):
        open_source(with_cover(None, tmp_path / "song.mp4"))


def test_what_is_left_out_of_a_loop_is_not_told(clip: Clip, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = with_cover(clip("plain.mp4", frames=2), tmp_path / "clip.mp4")
    with open_live(str(path), LiveOptions(loop=True)) as source:
        assert len(first_of(source, 6)) == 6
    assert caplog.messages == []


def test_chapters_are_those_of_the_whole_video(clip: Clip) -> None:
    chapter = {"id": 0, "start": 0, "end": 400, "time_base": Fraction(1, 1000), "metadata": {"title": "one"}}
    path = clip("clip.mkv", frames=12, chapters=[chapter])
    with open_source(path) as whole, open_source(path, start_seconds=0.2) as part:
        assert [each["metadata"]["title"] for each in whole.media.chapters] == ["one"]
        assert part.media.chapters == []


def test_frames_are_expected_as_the_file_tells(clip: Clip) -> None:
    for name in ("clip.mp4", "clip.mkv"):
        path = clip(name, frames=50)
        with open_source(path) as whole, open_source(path, start_seconds=0.4, duration_seconds=1) as part:
            assert (whole.media.expected_frames, part.media.expected_frames) == (50, 25)


def test_a_part_beyond_the_end_tells_how_long_the_video_is(clip: Clip) -> None:
    with pytest.raises(InputError, match="no frame in the requested part; it lasts 2.0 s"):
        open_source(clip(frames=50), start_seconds=3)

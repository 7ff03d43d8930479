"""The video sink: packets are counted before the file gets its name, and an unfinished file can be rescued."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.stream import Disposition

from livecam.errors import OutputError
from livecam.sinks import EncoderOptions, Sink, open_sink
from livecam.sources import open_source
from tests.support.clips import facts_of, number_in

Clip = Callable[..., Path]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def filled(source: Path, output: Path, codec: str = "mpeg4") -> Sink:
    """A sink that all frames of a clip were written to; MPEG-4 is encoded picture by picture."""
    with open_source(source) as frames:
        sink = open_sink(output, frames.media, encoder=EncoderOptions(codec=codec))
        for frame in frames.frames(sink.copy):
            sink.write(frame.picture, frame)
    return sink


def copied(source: Path, output: Path, codec: str = "mpeg4") -> Path:
    filled(source, output, codec).finish()
    return output


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_a_finished_file_has_its_name_and_nothing_beside_it(clip: Clip, tmp_path: Path, ending: str) -> None:
    sink = filled(clip(frames=30, audio=["aac"]), tmp_path / f"out.{ending}")
    assert names(tmp_path) == ["clip.mp4", f"out.{ending}.part"]
    assert sink.finish() is True
    assert names(tmp_path) == ["clip.mp4", f"out.{ending}"]
    assert [number_in(picture) for picture in facts_of(tmp_path / f"out.{ending}").pictures] == list(range(30))


def test_packets_that_come_after_the_last_picture_are_kept(clip: Clip, tmp_path: Path) -> None:
    source = clip(frames=30, audio=["aac"])
    packets: list[av.Packet] = []
    with open_source(source) as frames:
        sink = open_sink(tmp_path / "out.mkv", frames.media)
        for frame in frames.frames(packets.append):
            sink.write(frame.picture, frame)
        for packet in packets:
            sink.copy(packet)
        assert sink.finish()
    assert sink.report()["output"]["copied_packets"] == {"1": len(packets)}
    assert [data for _, data in facts_of(tmp_path / "out.mkv").copied[0][1]] == [
        data for _, data in facts_of(source).copied[0][1]
    ]


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_a_file_that_lost_frames_on_the_disk_is_not_finished(clip: Clip, tmp_path: Path, ending: str) -> None:
    sink = filled(clip(frames=60), tmp_path / f"out.{ending}")
    part = tmp_path / f"out.{ending}.part"
    os.truncate(part, part.stat().st_size // 2)
    with pytest.raises(
        OutputError, match=f"out.{ending} was not written, since .* packets of the video are in it; .*part is kept"
    ):
        sink.finish()
    sink.abort()
    assert names(tmp_path) == ["clip.mp4", f"out.{ending}.part"]


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_what_was_given_up_plays(clip: Clip, tmp_path: Path, ending: str) -> None:
    filled(clip(frames=60), tmp_path / f"out.{ending}").abort()
    assert names(tmp_path) == ["clip.mp4", f"out.{ending}.part"]
    with av.open(str(tmp_path / f"out.{ending}.part")) as container:
        assert sum(1 for _ in container.decode(video=0)) > 30


def test_what_was_given_up_is_told(clip: Clip, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sink = filled(clip(frames=60), tmp_path / "out.mkv")
    sink.abort()
    with av.open(str(tmp_path / "out.mkv.part")) as container:
        assert sum(1 for _ in container.decode(video=0)) == sink.arrived
    assert caplog.messages == [f"{tmp_path / 'out.mkv.part'} holds {sink.arrived} frames, and plays up to there"]


def test_of_what_was_given_up_too_early_nothing_is_left(
    clip: Clip, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    filled(clip(frames=2), tmp_path / "out.mp4", "libx264").abort()  # still in the encoder
    assert names(tmp_path) == ["clip.mp4"]
    assert not caplog.messages


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_what_an_earlier_run_left_is_kept(clip: Clip, tmp_path: Path, ending: str) -> None:
    parts = [tmp_path / f"out.{ending}{middle}.part" for middle in ("", ".1", ".faststart")]
    for part in parts:
        part.write_bytes(b"all that is left")
    with open_source(clip(frames=2)) as source:
        open_sink(tmp_path / f"out.{ending}", source.media).abort()
    assert names(tmp_path) == sorted(["clip.mp4", *(part.name for part in parts)])
    assert len(facts_of(copied(clip(frames=30), tmp_path / f"out.{ending}")).times) == 30
    assert {part.read_bytes() for part in parts} == {b"all that is left"}
    assert names(tmp_path) == sorted(["clip.mp4", f"out.{ending}", *(part.name for part in parts)])


def test_an_encoder_that_refuses_leaves_nothing(clip: Clip, tmp_path: Path) -> None:
    with open_source(clip(frames=2)) as source, pytest.raises(OutputError, match="is not available here"):
        open_sink(tmp_path / "out.mp4", source.media, encoder=EncoderOptions(codec="libx999"))
    assert names(tmp_path) == ["clip.mp4"]


def test_a_second_run_beside_the_first_is_refused(clip: Clip, tmp_path: Path) -> None:
    first = filled(clip(frames=30), tmp_path / "out.mkv")
    with pytest.raises(OutputError, match="another run is writing .*out.mkv.part; wait for it, or name another output"):
        filled(clip(frames=2), tmp_path / "out.mkv")
    assert first.finish()
    assert len(facts_of(tmp_path / "out.mkv").times) == 30


def test_the_first_time_is_exact(clip: Clip, tmp_path: Path) -> None:
    """Also where it is no whole number of milliseconds, in which MP4 would keep it."""
    source = clip("clip.mp4", time_base=Fraction(1, 90000), pts=[210003 + 3003 * n for n in range(12)])
    assert facts_of(copied(source, tmp_path / "out.mp4", "libx264")).times == facts_of(source).times


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_the_last_picture_is_shown_for_as_long(clip: Clip, tmp_path: Path, ending: str) -> None:
    """As it says itself, not as pictures last on average."""
    output = copied(clip(frames=6, pts=[0, 1, 2, 10, 11, 12]), tmp_path / f"out.{ending}")
    with av.open(str(output)) as container:
        assert container.duration == 13 * av.time_base // 25


def test_players_find_the_index_of_an_mp4_in_front(clip: Clip, tmp_path: Path) -> None:
    content = copied(clip(), tmp_path / "out.mp4").read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")
    assert b"moof" not in content


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_a_stream_keeps_its_tags_but_not_those_that_are_no_longer_true(clip: Clip, tmp_path: Path, ending: str) -> None:
    source, disposition = tmp_path / "tagged.mkv", Disposition.default | Disposition.hearing_impaired
    with av.open(str(clip(audio=["aac"]))) as plain, av.open(str(source), "w") as tagged:
        streams = [tagged.add_stream_from_template(stream, opaque=True) for stream in plain.streams]
        for stream in streams:
            stream.metadata.update(
                {"language": "fra", "BPS": "123", "_STATISTICS_TAGS": "BPS", "NUMBER_OF_FRAMES": "7"}
            )
            stream.disposition = disposition
        for packet in plain.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                tagged.mux(packet)
    with av.open(str(copied(source, tmp_path / f"out.{ending}"))) as container:
        for stream in container.streams:
            assert stream.metadata["language"] == "fra"
            assert not {"BPS", "_STATISTICS_TAGS", "NUMBER_OF_FRAMES"} & stream.metadata.keys()
            assert stream.disposition & disposition == disposition


@pytest.mark.parametrize("source", ["mp4", "ts"])
def test_matroska_holds_no_negative_times_so_all_streams_move_alike(clip: Clip, tmp_path: Path, source: str) -> None:
    negative = clip(f"clip.{source}", frames=50, pts=range(-30, 20), audio=["libmp3lame"])
    before, after = facts_of(negative), facts_of(copied(negative, tmp_path / "out.mkv", "libx264"))
    moved = {round(float(new - old), 2) for old, new in zip(before.times, after.times, strict=True)}
    moved |= {
        round(float(new - old), 2) for (old, _), (new, _) in zip(before.copied[0][1], after.copied[0][1], strict=True)
    }
    assert len(moved) == 1
    assert after.times[0] >= 0

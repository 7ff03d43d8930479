"""The video sink: packets are counted before the file gets its name, and an unfinished file can be rescued."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import av
import pytest

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


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_a_finished_file_has_its_name_and_nothing_beside_it(clip: Clip, tmp_path: Path, ending: str) -> None:
    sink = filled(clip(frames=30, audio=["aac"]), tmp_path / f"out.{ending}")
    assert names(tmp_path) == ["clip.mp4", f"out.{ending}.part"]
    assert sink.finish() is True
    assert names(tmp_path) == ["clip.mp4", f"out.{ending}"]
    assert [number_in(picture) for picture in facts_of(tmp_path / f"out.{ending}").pictures] == list(range(30))


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_a_file_that_lost_frames_on_the_disk_is_not_finished(clip: Clip, tmp_path: Path, ending: str) -> None:
    sink = filled(clip(frames=60), tmp_path / f"out.{ending}")
    part = tmp_path / f"out.{ending}.part"
    os.truncate(part, part.stat().st_size // 2)
    with pytest.raises(OutputError, match=f"out.{ending} was not written: not all frames arrived in .*part, which is"):
        sink.finish()
    sink.abort()
    assert names(tmp_path) == ["clip.mp4", f"out.{ending}.part"]


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_what_was_given_up_plays(clip: Clip, tmp_path: Path, ending: str) -> None:
    filled(clip(frames=60), tmp_path / f"out.{ending}").abort()
    assert names(tmp_path) == ["clip.mp4", f"out.{ending}.part"]
    with av.open(str(tmp_path / f"out.{ending}.part")) as container:
        assert sum(1 for _ in container.decode(video=0)) > 30


def test_a_sink_that_got_no_picture_leaves_what_an_earlier_run_left(clip: Clip, tmp_path: Path) -> None:
    part = tmp_path / "out.mp4.part"
    part.write_bytes(b"all that is left")
    with open_source(clip(frames=2)) as source:
        open_sink(tmp_path / "out.mp4", source.media).abort()
    assert part.read_bytes() == b"all that is left"


def test_a_file_beside_two_runs_is_of_the_first(clip: Clip, tmp_path: Path) -> None:
    first = filled(clip(frames=30), tmp_path / "out.mkv")
    with pytest.raises(OutputError, match="another run is writing .*out.mkv.part; wait for it, or name another output"):
        filled(clip(frames=2), tmp_path / "out.mkv")
    assert first.finish()
    assert len(facts_of(tmp_path / "out.mkv").times) == 30

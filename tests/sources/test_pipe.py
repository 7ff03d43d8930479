"""Standard input is a video: read once, whole or in part; whatever is wrong with it is told in one line."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from PIL import Image

from livecam import open_source
from livecam.errors import InputError, OutputError
from livecam.run.plan import default_output
from livecam.sources import LiveOptions, find_inputs, open_live
from tests.support.clips import numbered_picture, tone_packets
from tests.support.reading import frames_of, ignore, number_of

Clip = Callable[..., Path]
Piped = Callable[[bytes], None]
INDEX_FIRST = {"movflags": "faststart"}


@pytest.fixture
def piped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Piped:
    """Makes these bytes the standard input."""

    def pipe(data: bytes) -> None:
        path = tmp_path / "piped"
        path.write_bytes(data)
        monkeypatch.setattr("sys.stdin", path.open())

    return pipe


@pytest.mark.parametrize("name", ["clip.mkv", "clip.ts", "clip.avi", "clip.mp4"])
@pytest.mark.parametrize("start_seconds", [0, 1])
def test_a_video(piped: Piped, clip: Clip, name: str, start_seconds: int) -> None:
    facts = {"container_options": INDEX_FIRST} if name == "clip.mp4" else {}
    path = clip(name, frames=50, key_every=20, audio=["libmp3lame"], **facts)
    piped(path.read_bytes())
    packets: list[av.Packet] = []
    with open_source("-", start_seconds=start_seconds) as source:
        frames = list(source.frames(packets.append))
        assert (source.name, source.unreadable) == ("standard input", 0)
    assert [number_of(frame) for frame in frames] == list(range(25 * start_seconds, 50))
    of_file = frames_of(open_source(path, start_seconds=start_seconds))
    assert [frame.pts_seconds for frame in frames] == [frame.pts_seconds for frame in of_file]
    assert packets


def test_pictures_joined_by_cat(piped: Piped) -> None:
    joined = io.BytesIO()
    for number in range(5):
        Image.fromarray(numbered_picture(number, 160, 90)).save(joined, "PNG")
    piped(joined.getvalue())
    assert [number_of(frame) for frame in frames_of(open_source("-"))] == list(range(5))


@pytest.mark.parametrize("name", ["clip.mkv", "clip.mp4"])
def test_an_end_that_comes_early_is_told(piped: Piped, clip: Clip, caplog: pytest.LogCaptureFixture, name: str) -> None:
    data = clip(name, frames=50, container_options=INDEX_FIRST if name == "clip.mp4" else {}).read_bytes()
    piped(data[: len(data) // 2])
    with open_source("-") as source:
        frames = list(source.frames(ignore))
        assert 0 < len(frames) < 50
        assert len(frames) + source.unreadable == 50
    assert any("standard input ends early" in message for message in caplog.messages)


def test_a_table_of_times_that_is_of_no_use(piped: Piped, clip: Clip) -> None:
    data = clip(frames=30, b_frames=2, container_options=INDEX_FIRST).read_bytes()
    place = data.index(b"stts") + 16  # the duration of the first pictures
    piped(data[:place] + bytes(4) + data[place + 4 :])
    assert [number_of(frame) for frame in frames_of(open_source("-"))] == list(range(30))


def sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        container.mux(tone_packets(container.add_stream("aac", rate=48000), 440, 0.2))
    return path


def test_what_cannot_be_read_is_told(piped: Piped, clip: Clip, tmp_path: Path) -> None:
    cases = {
        b"": "^standard input is empty; pipe a video into livecam$",
        b"no video" * 1000: "^standard input is not a video that can be read",
        b"#EXTM3U\n#EXTINF:1,\nclip.ts\n": "^standard input is not a video that can be read",
        f"ffconcat version 1.0\nfile {clip('clip.ts')}\n".encode(): "^standard input is not a video that can be read",
        sound(tmp_path / "sound.mkv").read_bytes(): r"^standard input has no video stream \(it holds audio\)",
        clip().read_bytes(): "^the MP4 at standard input has its index after its pictures",
    }
    for data, told in cases.items():
        piped(data)
        with pytest.raises(InputError, match=told):
            open_source("-")


def test_a_terminal_or_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.openpty()
    with os.fdopen(ours), os.fdopen(theirs) as terminal:
        monkeypatch.setattr("sys.stdin", terminal)
        with pytest.raises(InputError, match="^standard input is the terminal"):
            open_source("-")
    for nothing in (None, io.StringIO(), terminal):
        monkeypatch.setattr("sys.stdin", nothing)
        with pytest.raises(InputError, match="^there is no standard input"):
            open_source("-")


def test_stopped_while_nothing_comes(clip: Clip, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> None:
    data = clip("clip.mkv", frames=50).read_bytes()
    ours, theirs = os.pipe()
    os.write(theirs, data[: len(data) // 2])
    with os.fdopen(ours) as waiting, os.fdopen(theirs, "wb"):
        monkeypatch.setattr("sys.stdin", waiting)
        with open_source("-") as source:
            threading.Timer(0.3, source.stop).start()
            assert 0 < len(list(source.frames(ignore))) < 50
            assert source.unreadable == 0
    assert capfd.readouterr().err == ""


def test_its_names() -> None:
    (alone,) = find_inputs(["-", "pipe:", "pipe:0"])
    assert alone.names == ("-",)
    with pytest.raises(OutputError, match="name the output with -o"):
        default_output(["-", "clip.mp4"], find_inputs(["-", "clip.mp4"]))
    with pytest.raises(InputError, match="can only be annotated"):
        open_live("-", LiveOptions())


def test_a_file_of_such_a_name(clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip("clip.mkv", frames=3).rename(tmp_path / "-")
    monkeypatch.chdir(tmp_path)
    assert len(frames_of(open_source("./-"))) == 3

"""What FFmpeg may open: a name never leads to files or addresses that its user has not named."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import pytest
from click.testing import Result

from livecam.errors import InputError
from livecam.sources import LiveOptions, open_live, open_source, opening
from tests.support.clips import facts_of, make_clip_of, numbered_picture
from tests.support.reading import first_of, frames_of, number_of
from tests.support.stills import scene
from tests.support.streams import free_port

Clip = Callable[..., Path]
Livecam = Callable[..., Result]

SESSION = """v=0
o=- 0 0 IN IP4 127.0.0.1
s=x
c=IN IP4 127.0.0.1
t=0 0
m=video {port} RTP/AVP 96
a=rtpmap:96 H264/90000
"""


def playlist_of(segment: str) -> str:
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\n{segment}\n#EXT-X-ENDLIST\n"


REFERRING = {
    ".ffconcat": "ffconcat version 1.0\nfile clip.ts\n",
    ".m3u8": playlist_of("clip.ts"),
    ".sdp": SESSION.format(port=9),
    ".mpd": '<?xml version="1.0"?>\n<MPD><BaseURL>clip.ts</BaseURL></MPD>\n',
}


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".ts", ""])
@pytest.mark.parametrize("kind", REFERRING)
def test_what_is_named_like_a_video_leads_to_no_other_file(clip: Clip, tmp_path: Path, kind: str, ending: str) -> None:
    clip("clip.ts", frames=2)
    disguised = tmp_path / f"disguised{ending}"
    disguised.write_text(REFERRING[kind])
    with pytest.raises(InputError, match="is no video, it refers to others; to have these read, end its name in .m3u8"):
        open_source(disguised)


@pytest.mark.parametrize("kind", [".ffconcat", ".m3u8"])
def test_a_playlist_that_is_named_as_such_is_followed(clip: Clip, tmp_path: Path, kind: str) -> None:
    clip("clip.ts", frames=4)
    (tmp_path / f"list{kind}").write_text(REFERRING[kind])
    assert [number_of(frame) for frame in frames_of(open_source(tmp_path / f"list{kind}"))] == [0, 1, 2, 3]
    (tmp_path / "clip.ts").unlink()
    with pytest.raises(InputError, match="what .* refers to cannot be read .*; check the names in it"):
        open_source(tmp_path / f"list{kind}")


def test_a_playlist_on_a_server_reads_no_file_of_this_machine(web: str, clip: Clip, tmp_path: Path) -> None:
    local = clip("clip.ts", frames=4)
    (tmp_path / "list.m3u8").write_text(playlist_of(f"file://{local}"))
    (tmp_path / "list.ffconcat").write_text(f"ffconcat version 1.0\nfile 'file://{local}'\n")
    (tmp_path / "good.m3u8").write_text(playlist_of("clip.ts"))
    for name in ("list.m3u8", "list.ffconcat"):
        with pytest.raises(InputError):
            open_source(f"http://{web}/{name}")
    assert len(frames_of(open_source(f"http://{web}/good.m3u8"))) == 4


def test_a_playlist_over_a_bare_connection_reads_no_file_either(clip: Clip) -> None:
    """FFmpeg itself restricts what comes over HTTP, and trusts what comes over TCP."""
    text = playlist_of(f"file://{clip('clip.ts', frames=4)}").encode()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            client, _ = server.accept()
            with client:
                client.sendall(text)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(InputError):
            open_source(f"tcp://127.0.0.1:{server.getsockname()[1]}/list.m3u8")
        thread.join()


@pytest.mark.parametrize("name", ["subfile,,start,0,end,9999,,://{}", "concat://{}", "crypto://{}", "async://{}"])
def test_protocols_that_lead_to_files_are_not_taken(clip: Clip, name: str) -> None:
    uri = name.format(clip("clip.ts", frames=2))
    for opened in (lambda: open_source(uri), lambda: open_live(uri, LiveOptions())):
        with pytest.raises(InputError, match="neither a file nor an address on a network"):
            opened()


def test_a_video_may_be_called_like_a_pattern_of_numbers(clip: Clip) -> None:
    path = shutil.move(clip("clip.mp4", frames=2), Path(clip("a.mp4")).with_name("clip%03d.mp4"))
    assert len(frames_of(open_source(path))) == 2


@contextmanager
def sent_over_rtp(port: int) -> Iterator[None]:
    """Numbered pictures are sent to a port, as cameras do that are described by an .sdp."""
    stopping = threading.Event()

    def send() -> None:
        with av.open(f"rtp://127.0.0.1:{port}", "w", format="rtp") as container:
            video = container.add_stream("libx264", rate=50)
            video.width, video.height, video.pix_fmt = 160, 90, "yuv420p"
            video.codec_context.gop_size = 5
            video.codec_context.options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "10"}
            number = 0
            while not stopping.wait(0.02):
                picture = av.VideoFrame.from_ndarray(numbered_picture(number % 256, 160, 90), format="rgb24")
                picture.pts, number = number, number + 1
                container.mux(video.encode(picture))

    thread = threading.Thread(target=send)
    thread.start()
    yield
    stopping.set()
    thread.join()


def test_a_stream_is_received_by_its_description(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "camera.sdp").write_text(SESSION.format(port=port))
    with sent_over_rtp(port):
        with open_live(str(tmp_path / "camera.sdp"), LiveOptions()) as source:
            assert source.is_live
            numbers = [number_of(frame) for frame in first_of(source, 5)]
        assert numbers == list(range(numbers[0], numbers[0] + 5))
        with open_source(tmp_path / "camera.sdp") as source:
            numbers = [number_of(frame) for frame in first_of(source, 5)]
        assert numbers == list(range(numbers[0], numbers[0] + 5))


def test_a_description_of_a_stream_that_nobody_sends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "OPEN_SECONDS", 0.3)
    (tmp_path / "camera.sdp").write_text(SESSION.format(port=free_port()))
    begin_seconds = time.perf_counter()
    with pytest.raises(InputError, match=r"no picture of .* arrives within 0.3 s; check that"):
        open_source(tmp_path / "camera.sdp")
    assert time.perf_counter() - begin_seconds < 3


def shown(path: Path, stream: int | None = None) -> tuple[int, int]:
    with open_source(path, stream=stream) as source:
        return source.media.width, source.media.height


def test_of_several_videos_that_is_read_which_players_show_or_which_is_asked_for(clip: Clip, tmp_path: Path) -> None:
    large, small = clip("large.mp4", frames=3), clip("small.mp4", frames=3, size=(80, 64))
    second_is_default = make_clip_of(tmp_path / "default.mkv", large, small, default=1)
    unmarked = make_clip_of(tmp_path / "unmarked.ts", large, small)
    (sound_first := tmp_path / "sound.mkv").write_bytes(clip("plain.mkv", frames=3, audio=["aac"]).read_bytes())
    assert (shown(second_is_default), shown(unmarked), shown(sound_first)) == ((80, 64), (160, 90), (160, 90))
    for path in (second_is_default, unmarked, make_clip_of(tmp_path / "both.mp4", large, small)):
        assert [shown(path, 0), shown(path, 1)] == [(160, 90), (80, 64)]
        with pytest.raises(InputError, match=r"stream 2 of .* is no video; choose from 0 \(.*\), 1 \(h264, 80x64\)$"):
            open_source(path, stream=2)
    with pytest.raises(InputError, match=r"stream 1 of .* is no video; choose from 0 \(h264, 160x90\)$"):
        open_source(sound_first, stream=1)


def test_only_video_files_have_streams(tmp_path: Path) -> None:
    scene().save(tmp_path / "photo.png")
    for name in ("demo:", tmp_path / "photo.png"):
        with pytest.raises(InputError, match="stream is for video files with several videos; leave it out for"):
            open_source(name, stream=0)


def test_the_chosen_stream_is_annotated_and_the_others_are_named(livecam: Livecam, clip: Clip, tmp_path: Path) -> None:
    path = make_clip_of(tmp_path / "both.mkv", clip("a.mp4", frames=2), clip("b.mp4", frames=3, size=(80, 64)))
    arguments = ("--stream", 1, "--weights", "none", "--engine", "eager")
    result = livecam("annotate", path, "-o", tmp_path / "out.mp4", *arguments)
    assert (result.exit_code, "not carried over from" in result.stderr) == (0, True), result.output
    facts = facts_of(tmp_path / "out.mp4")
    assert (facts.size, len(facts.times)) == ((80, 64), 3)


@pytest.mark.parametrize(
    ("form", "advice"),
    [("JPEG", "end its name in .jpeg"), ("PNG", "end its name in .png"), ("QOI", "convert it to PNG")],
)
@pytest.mark.parametrize("name", ["photo", "photo.mp4"])
def test_a_picture_that_is_named_like_none(web: str, tmp_path: Path, name: str, form: str, advice: str) -> None:
    path = tmp_path / name
    scene().save(path, form)
    for opened in (open_source, lambda uri: open_live(uri, LiveOptions())):
        with pytest.raises(InputError, match=f"{name} is a picture, not a video; {advice}"):
            opened(str(path))
    with pytest.raises(InputError, match="is a picture, not a video; download it, and name the file"):
        open_source(f"http://{web}/{name}")


@pytest.fixture
def two_videos(clip: Clip, tmp_path: Path) -> Path:
    """A file of two videos, 160x90 and 96x64, as a stream, too."""
    return make_clip_of(tmp_path / "clip.ts", clip("a.ts", frames=9), clip("b.ts", frames=9, size=(96, 64)))


@pytest.mark.parametrize("where", ["file", "stream"])
def test_another_video_is_watched(web: str, two_videos: Path, where: str) -> None:
    uri = str(two_videos) if where == "file" else f"http://{web}/stream"
    for stream, width in ((None, 160), (0, 160), (1, 96)):
        with open_live(uri, LiveOptions(stream=stream)) as source:
            assert {frame.picture.width for frame in first_of(source, 3)} == {width}
    with pytest.raises(InputError, match=r"stream 2 of .* is no video; choose from 0 \(h264, 160x90\), 1 "):
        open_live(uri, LiveOptions(stream=2))


@pytest.mark.parametrize("where", ["file", "stream", "snapshot"])
def test_what_is_watched_is_bounded(web: str, two_videos: Path, where: str) -> None:
    uri = str(two_videos) if where == "file" else f"http://{web}/{where}"
    with pytest.raises(InputError, match="have 160x90 pixels, more than 0.01 megapixels"):
        open_live(uri, LiveOptions(max_megapixels=0.01))
    open_live(uri, LiveOptions(max_megapixels=0.02)).close()

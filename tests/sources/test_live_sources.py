"""Cameras, streams, paced and looped files: frames go on coming, with true times, whatever happens on the way."""

from __future__ import annotations

import functools
import itertools
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import pytest

from livecam import LivecamError
from livecam.errors import InputError
from livecam.picture.frame import Frame
from livecam.sources import LiveOptions, PacedSource, Source, open_live
from livecam.sources.base import Gap, Signal
from livecam.sources.camera import connect_camera
from livecam.sources.connection import Connection, NoSignal
from livecam.sources.inputs import redacted
from livecam.sources.network import connect_stream
from livecam.sources.paced import LoopedSource
from livecam.sources.reconnecting import ReconnectingSource
from livecam.sources.video import VideoSource
from tests.support.clips import number_in, tone_packets

Clip = Callable[..., Path]
QUICK = {"first_wait_seconds": 0.02, "longest_wait_seconds": 0.1}


def ignore(packet: object) -> None:
    """What is not a picture."""


def number_of(frame: Frame) -> int:
    return number_in(frame.picture.to_ndarray(format="rgb24"))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Server:
    """`tests.support.stream_server` in a process of its own, to be killed and started again on the same port."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def start(self, first: int = 0, *arguments: int) -> None:
        command = [
            sys.executable,
            "-m",
            "tests.support.stream_server",
            *(str(n) for n in (self.port, first, *arguments)),
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
        assert self._process.stdout
        assert self._process.stdout.readline() == "ready\n"

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    yield one
    one.kill()


class Handler(SimpleHTTPRequestHandler):
    """Files of a folder; /private wants a password; /stream sends a file bit by bit, as it is made."""

    def do_GET(self) -> None:
        if self.path.startswith("/private"):
            self.send_error(401)
        elif self.path.startswith("/stream"):
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            self.end_headers()
            data = (Path(self.directory) / "clip.ts").read_bytes()
            for begin in range(0, len(data), 188 * 7):
                self.wfile.write(data[begin : begin + 188 * 7])
        else:
            super().do_GET()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The address of a web server that has the test's folder."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(tmp_path))) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


def live(url: str, **waits: float) -> ReconnectingSource:
    connect = functools.partial(connect_stream, url, **waits)
    return ReconnectingSource(redacted(url), connect(), connect, **QUICK)


def test_a_stream_that_is_restarted_goes_on(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.start(0)
    frames: list[Frame] = []
    generations = []
    with live(server.url) as source:
        for frame in source.frames(ignore):
            frames.append(frame)
            generations.append(number_of(frame) // 64)
            if generations.count(generations[-1]) == 5:
                if generations[-1] == 3:
                    source.stop()
                else:
                    server.kill()
                    server.start(64 * (generations[-1] + 1))
        gaps = source.signal.gaps
    assert set(generations) == {0, 1, 2, 3}
    assert generations == sorted(generations)
    assert [frame.index for frame in frames] == list(range(len(frames)))
    times = [frame.pts_seconds for frame in frames]
    assert times[0] == 0
    assert all(later > earlier for earlier, later in itertools.pairwise(times))
    assert all(frame.picture.time_base == Fraction(1, 90_000) == source.media.time_base for frame in frames)
    since_first = [frame.captured_seconds - frames[0].captured_seconds for frame in frames]
    assert times == pytest.approx(since_first, abs=1e-3)
    assert len(gaps) == 3
    for gap, before in zip(gaps, (0, 1, 2), strict=True):
        last = len(generations) - generations[::-1].index(before) - 1
        assert (gap.begin_seconds, gap.end_seconds) == pytest.approx((times[last], times[last + 1]), abs=1e-3)
    assert source.damaged == 0
    assert sum("is lost" in line for line in caplog.messages) == 3
    assert sum("is back after" in line for line in caplog.messages) == 3


def test_a_stream_that_hangs_is_lost_and_comes_back(server: Server) -> None:
    server.start(0, 40)
    with live(server.url, stall_seconds=0.3) as source:
        for _ in source.frames(ignore):
            if source.signal.gaps:
                source.stop()
    (gap,) = source.signal.gaps
    assert gap.problem in ("no data for 0.3 s", "no picture for 0.3 s")  # with a last picture kept back or without
    assert gap.end_seconds - gap.begin_seconds >= 0.3


def test_stopping_ends_the_wait_for_a_lost_stream(server: Server) -> None:
    server.start()
    connect = functools.partial(connect_stream, server.url)
    with ReconnectingSource("it", connect(), connect, first_wait_seconds=3600, longest_wait_seconds=3600) as source:
        frames = source.frames(ignore)
        next(frames)
        server.kill()
        waiting = threading.Thread(target=lambda: list(frames), daemon=True)
        waiting.start()
        while source.signal.lost_seconds() is None:
            time.sleep(0.01)
        assert source.signal.problem
        source.stop()
        waiting.join(30)
        assert not waiting.is_alive()
    assert len(source.signal.gaps) == 1


def test_what_piled_up_before_it_is_read_is_passed_over(server: Server) -> None:
    server.start()
    with live(server.url) as source:
        first_to_come = time.perf_counter()
        time.sleep(1)
        frames = source.frames(ignore)
        assert number_of(next(frames)) >= 40
        assert time.perf_counter() - first_to_come >= 1
        frames.close()


def recordings(*paths: Path) -> Iterator[Connection]:
    """Connections that end one after the other."""
    return (Connection(av.open(str(path))) for path in paths)


def test_another_size_is_scaled_to_the_first(clip: Clip, caplog: pytest.LogCaptureFixture) -> None:
    sizes = [(160, 90), (320, 180), (64, 48), (160, 90)]
    connections = recordings(*(clip(f"{n}.ts", frames=3, size=size) for n, size in enumerate(sizes)))
    with ReconnectingSource("it", next(connections), connections.__next__, **QUICK) as source:
        frames = first_of(source, 10)
    assert {frame.upright_size for frame in frames} == {(160, 90)}
    assert [number_of(frame) for frame in frames] == [1, 2, 0, 1, 2, 0, 1, 2, 0, 1]
    assert sum("scaled to the first size" in line for line in caplog.messages) == 1


def test_who_joins_in_the_middle_sees_nothing_before_a_key_frame(clip: Clip) -> None:
    path = clip("clip.ts", frames=40, codec="mpeg4")  # a key frame each 12; its decoder begins anywhere
    data = path.read_bytes()
    path.write_bytes(data[len(data) // 5 // 188 * 188 :])
    connections = recordings(path, path)
    with ReconnectingSource("it", next(connections), connections.__next__, **QUICK) as source:
        frames = source.frames(ignore)
        numbers = [number_of(frame) for frame in itertools.takewhile(lambda _: not source.signal.gaps, frames)]
        first_after_the_gap = number_of(next(frames)) - 1
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert numbers[0] - 1 == first_after_the_gap == 12  # the first one was looked at when it was opened
    assert source.damaged == 0


def test_a_stream_that_nobody_reads_is_not_lost(clip: Clip) -> None:
    connection = Connection(av.open(str(clip("clip.ts", frames=9, rate=5, audio=["aac"]))), stall_seconds=0.05)
    with ReconnectingSource("it", connection, lambda: connection, **QUICK) as source:
        frames = source.frames(ignore)
        numbers = []
        for _ in range(8):
            time.sleep(0.06)  # longer than a stall may be
            numbers.append(number_of(next(frames)))
        assert numbers == list(range(1, 9))
        assert source.signal.gaps == []
        frames.close()


def test_a_stream_of_sound_alone_is_lost(clip: Clip) -> None:
    path = clip("clip.ts", frames=3, audio=["aac"])
    connection = Connection(av.open(str(path)), join_seconds=0)
    with pytest.raises(InputError, match="cannot open it: no picture for 0 s"):
        ReconnectingSource("it", connection, lambda: connection)


def test_attempts_to_reconnect_become_rarer(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(threading.Event, "wait", lambda self, seconds: waits.append(seconds))

    def fail() -> Connection:
        if len(waits) == 6:
            source.stop()
        raise NoSignal("connection refused")

    with ReconnectingSource("it", next(recordings(clip("clip.ts", frames=3))), fail) as source:
        assert len(list(source.frames(ignore))) == 2
    assert waits == [0.25, 0.5, 1, 2, 2, 2, 2]
    assert [gap.problem for gap in source.signal.gaps] == ["the stream has ended"]  # which is why it began


def test_the_facts_of_a_stream(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.start()
    with caplog.at_level(logging.INFO), open_live(server.url, LiveOptions()) as source:
        assert source.is_live
        assert source.name == server.url
        assert source.facts == "160x90, 50 fps, h264, mpegts"
        assert source.media.rate == 50
        assert source.media.copied_streams == ()
    assert caplog.messages == [f"{server.url}: 160x90, 50 fps, h264, mpegts"]


def test_what_cannot_be_opened_is_told_in_one_line(web: str, tmp_path: Path) -> None:
    (tmp_path / "text.html").write_text("<p>nothing to see</p>" * 100)
    with av.open(str(tmp_path / "sound.ts"), "w") as container:
        container.mux(tone_packets(container.add_stream("aac", rate=48000), 440, 1))
    for uri, problem in {
        f"tcp://127.0.0.1:{free_port()}": "connection refused; check the address",
        f"rtsp://127.0.0.1:{free_port()}/cam": "connection refused",
        f"http://{web}/private": "401",
        f"http://{web}/missing.ts": "404",
        f"http://{web}/text.html": "what comes is no video",
        f"http://{web}/sound.ts": "no video",
        "nonsense://127.0.0.1": "protocol not found",
        "987": "cannot open camera 987: there is no such camera; plug one in",
        "/dev/null": "cannot open /dev/null: ",
        str(tmp_path / "missing.mp4"): "does not exist",
        str(tmp_path / "photo.jpg"): "still picture",
    }.items():
        with pytest.raises(InputError, match=problem) as caught:
            open_live(uri, LiveOptions())
        assert "\n" not in str(caught.value)


def test_nobody_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(NoSignal, match="no answer for 0.2 s"):
            connect_stream(url, open_seconds=0.2)


def everything_said(error: BaseException | None) -> str:
    said = ""
    while error is not None:
        said += f"{error!r} {error}"
        error = error.__cause__ or error.__context__
    return said


@pytest.mark.parametrize("query", ["token=hush", "a=1&password=hush&b=2", "API_KEY=hush", "x=1&X-Amz-Signature=hush"])
def test_credentials_are_nowhere(web: str, clip: Clip, caplog: pytest.LogCaptureFixture, query: str) -> None:
    clip("clip.ts", frames=50, rate=5)
    caplog.set_level(logging.DEBUG)
    url = f"http://admin:hush@{web}/stream?{query}"
    with live(url) as source:
        frames = source.frames(ignore)
        for _ in frames:
            if source.signal.gaps:  # it ends, and is joined anew
                source.stop()
        said = f"{source.name} {source.facts} {source.media} {source.signal.gaps} {caplog.text}"
    assert "is lost" in said
    for wrong in (f"http://admin:hush@{web}/private?{query}", f"rtsp://admin:hush@127.0.0.1:{free_port()}/?{query}"):
        for opened in (lambda uri: open_live(uri, LiveOptions()), VideoSource):
            with pytest.raises(LivecamError) as caught:
                opened(wrong)
            said += everything_said(caught.value)
    assert web in said
    assert "hush" not in said
    assert "admin" not in said


def test_a_file_on_a_web_server_is_a_file(web: str, clip: Clip) -> None:
    clip("clip.mp4", frames=12)
    with open_live(f"http://{web}/clip.mp4", LiveOptions()) as source:
        assert not source.is_live
        assert [number_of(frame) for frame in source.frames(ignore)] == list(range(12))


class Clock:
    """Time passes when someone sleeps."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def tell(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


def test_a_paced_file_drops_nothing_and_is_due_on_time(clip: Clip) -> None:
    clock = Clock()
    pts = [0, 2, 3, 7, 8, 20]
    path = clip("clip.mkv", frames=6, pts=pts, time_base=Fraction(1, 25))
    source = PacedSource(VideoSource(str(path)), clock=clock.tell, sleep=clock.sleep)
    assert source.is_live
    with source:
        frames = []
        for frame in source.frames(ignore):
            frames.append(frame)
            clock.sleep(0.1)  # longer than most frames last
    assert [number_of(frame) for frame in frames] == list(range(6))
    assert [frame.captured_seconds - 100 for frame in frames] == pytest.approx([n / 25 for n in pts])
    assert [frame.pts_seconds for frame in frames] == pytest.approx([n / 25 for n in pts])


def test_a_file_is_paced_where_that_is_asked_for(clip: Clip) -> None:
    path = str(clip(frames=3))
    for realtime in (False, True):
        with open_live(path, LiveOptions(realtime=realtime)) as source:
            assert source.is_live is realtime
            assert source.name == path
            assert len(list(source.frames(ignore))) == 3


def first_of(source: Source, count: int) -> list[Frame]:
    return list(itertools.islice(source.frames(ignore), count))


def test_a_looped_file_goes_on_counting(clip: Clip) -> None:
    path = clip("clip.mp4", frames=4, audio=["aac"])
    with open_live(str(path), LiveOptions(loop=True)) as source:
        assert source.media.copied_streams == ()
        frames = first_of(source, 10)
    assert [number_of(frame) for frame in frames] == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    assert [frame.index for frame in frames] == list(range(10))
    assert [frame.picture.pts * frame.picture.time_base for frame in frames] == [Fraction(n, 25) for n in range(10)]


def test_a_stopped_loop_ends(clip: Clip) -> None:
    with LoopedSource(lambda: VideoSource(str(clip(frames=3)))) as source:
        frames = source.frames(ignore)
        next(frames)
        source.stop()
        assert list(frames) == []


def test_a_paced_source_that_waits_is_stopped() -> None:
    with open_live("demo:?size=32x32&fps=0.001", LiveOptions()) as source:
        frames = source.frames(ignore)
        next(frames)
        waiting = threading.Thread(target=lambda: list(frames), daemon=True)
        waiting.start()
        source.stop()
        waiting.join(30)
        assert not waiting.is_alive()


def test_the_demo_is_live_and_ends_only_where_it_says_so() -> None:
    with open_live("demo:?size=32x32&fps=1000", LiveOptions()) as source:
        assert source.is_live
        assert source.media.expected_frames is None
        assert len(first_of(source, 20)) == 20
    with open_live("demo:?size=32x32&fps=1000&seconds=0.01", LiveOptions()) as source:
        assert len(list(source.frames(ignore))) == 10
    with open_live("demo:?size=32x32&fps=1000&seconds=0.01", LiveOptions(loop=True)) as source:
        assert [frame.picture.pts for frame in first_of(source, 25)] == list(range(25))
    with pytest.raises(InputError, match="seconds=-1"):
        open_live("demo:?seconds=-1", LiveOptions())


class Camera:
    """Stands in for `av.open` of a device: FFmpeg's generated pictures, some reads without one, then unplugged."""

    def __init__(self, *, lasts: int = 8, refuses: Callable[[], Exception | None] = lambda: None) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._lasts, self._refuses = lasts, refuses

    def open(self, device: str, **facts: Any) -> Any:
        self.asked.append((device, facts))
        error = self._refuses()
        if error is not None:
            raise error
        return Opened(av.open("testsrc=size=64x48:rate=25", format="lavfi"), self._lasts)


class Opened:
    def __init__(self, container: Any, lasts: int) -> None:
        self._container = container
        self._left = lasts
        self._turn = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def demux(self) -> Iterator[av.Packet]:
        self._turn += 1
        if self._turn % 2:
            raise av.BlockingIOError(11, "Resource temporarily unavailable")
        if not self._left:
            raise av.OSError(19, "No such device")
        self._left -= 1
        yield next(self._container.demux())
        raise av.BlockingIOError(11, "Resource temporarily unavailable")


def camera(fake: Camera, uri: str = "0", **asked: Any) -> Callable[[], Connection]:
    return functools.partial(connect_camera, uri, open_device=fake.open, platform="linux", **asked)


def test_a_camera_is_asked_for_what_is_wanted() -> None:
    fake = Camera()
    connect = camera(fake, size=(1280, 720), fps=Fraction(30), pixel_format="mjpeg")
    with ReconnectingSource("camera 0", connect(), connect) as source:
        assert source.facts == "64x48, 25 fps, wrapped_avframe, lavfi"
    ((device, facts),) = fake.asked
    assert (device, facts["format"]) == ("/dev/video0", "v4l2")
    asked = {"video_size": "1280x720", "framerate": "30", "input_format": "mjpeg"}
    assert asked.items() <= facts["options"].items()


@pytest.mark.parametrize(
    ("platform", "device", "format_name"), [("darwin", "1", "avfoundation"), ("win32", "video=Cam", "dshow")]
)
def test_cameras_elsewhere(platform: str, device: str, format_name: str) -> None:
    fake = Camera()
    connect_camera(device, platform=platform, open_device=fake.open).close()
    assert [(name, facts["format"]) for name, facts in fake.asked] == [(device, format_name)]


def test_a_camera_that_is_unplugged_comes_back() -> None:
    fake = Camera()
    connect = camera(fake)
    with ReconnectingSource("camera 0", connect(), connect, **QUICK) as source:
        frames = []
        for frame in source.frames(ignore):
            frames.append(frame)
            if len(source.signal.gaps) == 2:
                source.stop()
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert [gap.problem for gap in source.signal.gaps] == ["no such device"] * 2


def test_a_camera_that_gives_nothing_is_no_camera() -> None:
    fake = Camera()
    fake._lasts = 0
    with pytest.raises(InputError, match="cannot open it: no such device"):
        ReconnectingSource("it", camera(fake)(), camera(fake))


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (2, "there is no such camera; plug one in"),
        (13, "it may not be read; add your user to the group"),
        (16, "another program uses it; close that one"),
        (av.error.ErrorType.EXIT.value, "it gives no picture for 10 s; unplug it"),
        (22, "it refuses video_size=1x1; ask for another size"),
    ],
)
def test_why_a_camera_cannot_be_opened(number: int, words: str) -> None:
    fake = Camera(refuses=lambda: av.error.classes[number](number, "what the system says"))
    with pytest.raises(NoSignal) as caught:
        camera(fake, size=(1, 1))()
    assert words in str(caught.value.in_one_line("camera 0"))


def test_the_signal_keeps_the_gaps() -> None:
    clock = Clock()
    signal = Signal(clock.tell)
    signal.lose("not yet")
    assert signal.lost_seconds() == 0
    signal.came(101.0)
    assert signal.lost_seconds() is None
    assert signal.gaps == []
    signal.came(102.0)
    clock.seconds = 105.0
    signal.lose("unplugged")
    assert (signal.lost_seconds(), signal.problem) == (3.0, "unplugged")
    signal.came(106.0)
    signal.lose("connection refused")
    clock.seconds = 108.0
    signal.stop()
    assert signal.gaps == [Gap(1.0, 5.0, "unplugged"), Gap(5.0, 7.0, "connection refused")]

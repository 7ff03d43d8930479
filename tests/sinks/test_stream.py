"""Streams out: a second process receives the pictures that were sent, at their times, and the counts agree."""

from __future__ import annotations

import importlib.util
import io
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import Result

from livecam.errors import OutputError
from livecam.picture.frame import Frame
from livecam.picture.media import Media
from livecam.render import Style
from livecam.sinks import EncoderOptions, kind_of, stream, stream_connection
from livecam.sinks.destination import destination_of, numbered
from livecam.sinks.stream import STREAM, StreamSink
from livecam.sinks.stream_connection import Connection, NotSent, Order
from livecam.sinks.uploads import Upload
from tests.live.harness import LiveRun, wait_until
from tests.support.clips import facts_of, number_in, numbered_picture
from tests.support.doubles import RATE, NumberedSource
from tests.support.receiver import Receiver
from tests.support.store import store
from tests.support.streams import free_port
from tests.support.tcp import TcpServer

Clip = Callable[..., Path]
Livecam = Callable[..., Result]
PLAIN = ("--opacity", 0, "--no-caption")
FPS = 25
MEDIA = Media(width=160, height=90, pixel_format="yuv420p", time_base=Fraction(1, FPS))
SECRET = "swordfish"


def in_order(pictures: list[tuple[int, float]], rate: int = FPS) -> bool:
    """True if each picture has the time of its number, counted from the first."""
    first, begin = pictures[0]
    return all(abs(seconds - begin - (number - first) / rate) < 0.002 for number, seconds in pictures)


@contextmanager
def live_stream(output: str, media: Media = MEDIA, *, waits: bool = False) -> Iterator[StreamSink]:
    sink = StreamSink(output, media, EncoderOptions(), is_live=True, waits=waits)
    try:
        yield sink
    finally:
        sink.abort()


def give(sink: StreamSink, number: int, size: tuple[int, int] = (160, 90), *, noise: bool = False) -> None:
    image = numbered_picture(number % 256, *size)
    if noise:
        image = np.random.default_rng(number).integers(0, 256, image.shape, np.uint8)
    picture = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
    picture.pts, picture.time_base = number, Fraction(1, FPS)
    sink.write(picture, Frame(picture=picture))


class HangsUp(TcpServer):
    """Takes the beginning of a stream, and no other."""

    def serve(self, client: socket.socket) -> None:
        client.recv(1)
        self._listener.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries to connect again at once."""
    monkeypatch.setattr(stream, "_FIRST_WAIT_SECONDS", 0.05)
    monkeypatch.setattr(stream, "_LONGEST_WAIT_SECONDS", 0.1)


@pytest.mark.usefixtures("quick_shapes")
def test_a_video_arrives_whole_at_its_times(livecam: Livecam, clip: Clip) -> None:
    url = f"tcp://127.0.0.1:{free_port()}"
    with Receiver(url) as receiver:
        result = livecam("annotate", clip(frames=20, audio=["aac"]), "-o", url, *PLAIN)
    assert result.exit_code == 0, result.output
    assert f"{url}: 20 read, 20 explained, 0 dropped, 20 written" in result.output
    assert f"{url} gets the pictures without the sound" in result.output
    assert [number for number, _ in receiver.pictures] == list(range(20))
    assert in_order(receiver.pictures)


@pytest.mark.usefixtures("impatient")
def test_a_receiver_that_comes_back_gets_what_is_new(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    url = f"tcp://127.0.0.1:{free_port()}"
    number = 0

    def give_until(is_so: Callable[[], object]) -> None:
        nonlocal number
        deadline = time.monotonic() + 60
        while not is_so():
            assert time.monotonic() < deadline
            give(sink, number)
            number += 1
            time.sleep(1 / FPS)

    first, second = Receiver(url).start(), Receiver(url)
    with live_stream(url) as sink:
        give_until(lambda: sink.arrived >= 10)
        before = first.end(kill=True)
        give_until(lambda: sink.problem is not None)
        lost_at = number
        arrived_before = sink.arrived
        second.start()
        give_until(lambda: sink.arrived >= arrived_before + 10)
        sink.finish()
        after = second.end()
        report = sink.report()["output"]
    assert after and all(number >= lost_at for number, _ in after)
    assert in_order(after)
    assert [seconds for _, seconds in after[:1]] == pytest.approx([after[0][0] / FPS], abs=0.002)  # as if never lost
    assert report["sent"] + sink.dropped.total() == number
    assert len(before) + len(after) <= report["sent"] < number
    lines = [line for line in caplog.messages if line.startswith(url)]
    assert [("are dropped until" in line, "receives after" in line) for line in lines] == [(True, False), (False, True)]


@pytest.mark.long
def test_a_receiver_that_takes_nothing_does_not_hold_up_a_live_run() -> None:
    media = Media(width=640, height=360, pixel_format="yuv420p", time_base=Fraction(1, FPS))
    server = socket.create_server(("127.0.0.1", 0))
    with server, live_stream(f"tcp://127.0.0.1:{server.getsockname()[1]}", media) as sink:
        wait_until(lambda: sink.problem is None)
        number = 0
        while sink.dropped["send"] < 10:
            give(sink, number, (640, 360), noise=True)
            number += 1
            assert sink.problem is None and number < 3000
        sink.finish()  # which does not wait for the receiver either
        assert sink.dropped.total() + sink.report()["output"]["sent"] == number


def test_a_live_run_without_a_receiver_goes_on_and_says_so() -> None:
    url = f"tcp://127.0.0.1:{free_port()}"
    run = LiveRun(NumberedSource(30, is_live=True), recordings=[url], style=Style(caption=False))
    with pytest.raises(OutputError, match=f"nothing was sent to {url}"):
        run()
    (recording,) = run.session.report()["recordings"]
    assert run.ledger.delivered > 0
    assert recording["written"] == 0
    assert recording["dropped"]["connect"] + recording["left_out"] == run.ledger.delivered


@pytest.mark.long
def test_a_live_run_sends_what_it_shows() -> None:
    url = f"tcp://127.0.0.1:{free_port()}"
    with Receiver(url) as receiver:
        run = LiveRun(NumberedSource(100), recordings=[url], style=Style(caption=False, opacity=0))()
    (recording,) = run.session.report()["recordings"]
    assert (recording["written"], recording["dropped"], run.ledger.delivered) == (100, {}, 100)
    assert [number for number, _ in receiver.pictures] == list(range(100))
    assert in_order(receiver.pictures, RATE)


@pytest.mark.long
@pytest.mark.usefixtures("quick_shapes")
def test_a_playlist_on_disk_holds_the_whole_video(livecam: Livecam, clip: Clip, tmp_path: Path) -> None:
    playlist = tmp_path / "out.m3u8"
    result = livecam("annotate", clip(frames=60), "-o", playlist, *PLAIN)
    assert result.exit_code == 0, result.output
    facts = facts_of(playlist)
    assert [number_in(picture) for picture in facts.pictures] == list(range(60))
    assert [round(float(time - facts.times[0]) * FPS) for time in facts.times] == list(range(60))
    assert len(list(tmp_path.glob("out*.ts"))) == 2  # a segment each two seconds
    assert "exists; name another output" in livecam("annotate", clip(), "-o", playlist).output


def test_an_old_segment_that_somebody_else_removed_drops_no_pictures(tmp_path: Path) -> None:
    frames = 800
    with live_stream(str(tmp_path / "out.m3u8"), waits=True) as sink:
        for number in range(frames):
            give(sink, number)
            if number == 120:
                min(tmp_path.glob("*.ts")).unlink()
        sink.finish()
    assert len(list(tmp_path.glob("*.ts"))) < frames / FPS / 2  # others were removed by the muxer
    assert (sink.arrived, sink.dropped.total()) == (frames, 0)


@pytest.mark.usefixtures("impatient")
def test_of_a_playlist_for_a_web_server_what_counts_as_sent_is_on_the_server(caplog: pytest.LogCaptureFixture) -> None:
    with store(refused={2}) as server:
        url = f"http://user:{SECRET}@127.0.0.1:{server.server_port}/live.m3u8"
        number = 0
        with live_stream(url) as sink:
            while sink.arrived < 100:
                wait_until(lambda: sink.problem is None and not sink._waiting)
                give(sink, number)
                number += 1
            sink.finish()
            report = sink.report()["output"]
        segments = [content for path, content in server.files.items() if path.endswith(".ts")]
        playlist = server.files["/live.m3u8"].decode()
    assert sum(map(pictures_in_ts, segments)) == report["sent"] == number - sink.dropped.total()
    assert sink.dropped.total() >= 50  # a segment
    assert server.users == {f"user:{SECRET}"}
    assert playlist.endswith("#EXT-X-ENDLIST\n")
    assert "the server answers 403 Forbidden; frames are dropped until it receives" in caplog.text
    assert SECRET not in caplog.text


class SpeaksSsh(TcpServer):
    """Another server at the port of the address."""

    def serve(self, client: socket.socket) -> None:
        if client.recv(65536):  # else somebody has only looked if it is there
            client.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")


def test_a_server_that_does_not_speak_http_is_told() -> None:
    with SpeaksSsh() as server:
        file = Upload(f"http://127.0.0.1:{server.port}/live.m3u8", 0, {})
        with pytest.raises(OutputError, match="the server's answer is not HTTP; check the port"):
            file.close()


def pictures_in_ts(content: bytes) -> int:
    with av.open(io.BytesIO(content), format="mpegts") as container:
        return sum(packet.size > 0 for packet in container.demux(video=0))


class Stalled(Connection):
    """Is there, and takes nothing."""

    def __init__(self, order: Order) -> None:
        self._is_killed = threading.Event()

    def __exit__(self, *exc: object) -> None:
        self.kill()

    def connect(self) -> None:
        pass

    def send(self, pts: int, picture: av.VideoFrame) -> int:
        self._is_killed.wait()
        raise NotSent("takes nothing")

    def kill(self) -> None:
        self._is_killed.set()


def test_the_end_of_a_live_run_does_not_wait_for_a_receiver_that_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "Connection", Stalled)
    monkeypatch.setattr(stream, "_LIVE_END_SECONDS", 0.1)
    with live_stream("tcp://127.0.0.1:9", waits=True) as sink:
        wait_until(lambda: sink.problem is None)
        writing = threading.Thread(target=give, args=(sink, 0))
        writing.start()
        sink.hurry()
        writing.join(30)
        assert not writing.is_alive()
        for number in range(1, 6):
            give(sink, number)
        with pytest.raises(OutputError, match="nothing was sent to tcp://127.0.0.1:9: it takes nothing"):
            sink.finish()
        assert sink.dropped == {"connect": 0, "send": 6}


def test_pictures_of_a_segment_that_was_not_completed_are_not_counted_as_sent(tmp_path: Path) -> None:
    with live_stream(str(tmp_path / "out.m3u8"), waits=True) as sink:
        arrived = []
        for number in range(60):
            give(sink, number)
            arrived.append(sink.arrived)
        assert (arrived[49], arrived[-1]) == (0, 50)  # a segment counts when it is complete
        sink.abort()  # the process is killed, as it ends itself if a receiver stalls
        assert (sink.report()["output"]["sent"], sink.dropped["send"]) == (50, 10)


def test_of_what_ffmpeg_says_only_the_last_lines_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    says = (
        "import sys; [print(f'[flv @ 0x1] line {n}', file=sys.stderr) for n in range(9999)]; print('!invalid argument')"
    )
    monkeypatch.setattr(stream_connection, "module_command", lambda module: [sys.executable, "-c", says])
    order = Order(destination_of("rtmp://host/app/key", keeps_all=False), MEDIA, EncoderOptions())
    with Connection(order) as connection:
        with pytest.raises(NotSent, match="line 9998"):
            connection.connect()
        assert len(connection._last_lines.result()) < 100


@pytest.mark.long
@pytest.mark.usefixtures("quick_shapes")
def test_a_receiver_that_leaves_makes_a_video_incomplete(livecam: Livecam, clip: Clip) -> None:
    with HangsUp() as receiver:
        url = f"tcp://127.0.0.1:{receiver.port}"
        result = livecam("annotate", clip(frames=20), "-o", url, *PLAIN)
    assert result.exit_code == 1, result.output
    assert "frames are dropped until it receives" in result.output
    dropped = int(result.output.split(" at connect)")[0].rpartition("(")[2])
    assert f"{20 - dropped} written" in result.output
    assert f"livecam: {dropped} frames could not be sent; {url} got the rest" in result.output


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        ("tcp://127.0.0.1:9", "cannot send to tcp://127.0.0.1:9: connection refused; start the receiver first"),
        (f"rtmp://127.0.0.1:9/live/{SECRET}", "cannot send to rtmp://127.0.0.1:9/live/***: connection refused"),
        pytest.param(
            f"https://127.0.0.1:9/whip/{SECRET}",
            "cannot send to https://127.0.0.1:9/***: connection refused",
            marks=pytest.mark.long,
        ),
        pytest.param(
            f"http://u:{SECRET}@127.0.0.1:9/a.m3u8",
            "cannot send to http://127.0.0.1:9/a.m3u8: connection refused",
            marks=pytest.mark.long,
        ),
        (f"srt://127.0.0.1:9?passphrase={SECRET}", "this build of FFmpeg has no SRT"),
        ("gopher://127.0.0.1/x", "is a URL, and livecam writes files and streams; name a file, or a stream such as"),
        ("tcp://127.0.0.1:99999", "is no URL to send to; name one such as"),
        ("rtsp:///live", "is no URL to send to; name one such as"),
        (
            "v4l2:/dev/video99",
            "/dev/video99 is no virtual camera (No such file or directory); sudo modprobe v4l2loopback",
        ),
        ("v4l2:/dev/null", "/dev/null is no virtual camera (Inappropriate ioctl for device)"),
        ("nowhere/out.m3u8", "the folder nowhere does not exist; make it first"),
    ],
)
@pytest.mark.usefixtures("quick_shapes")
def test_what_cannot_be_sent_to_is_told_in_one_line(livecam: Livecam, clip: Clip, output: str, problem: str) -> None:
    result = livecam("annotate", clip(frames=3), "-o", output)
    assert result.exit_code == 1
    assert problem in result.output
    assert SECRET not in result.output
    assert result.output.count("livecam: ") == 1


def test_a_stream_takes_one_video(livecam: Livecam, clip: Clip, tmp_path: Path) -> None:
    several = livecam("annotate", clip(), clip("other.mp4"), "-o", "tcp://127.0.0.1:9")
    assert "tcp://127.0.0.1:9 takes one video at a time; annotate them one by one" in several.output
    from PIL import Image

    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")
    picture = livecam("annotate", tmp_path / "a.png", "-o", "tcp://127.0.0.1:9")
    assert "tcp://127.0.0.1:9 takes videos; name a file or a folder for pictures" in picture.output


def test_names_show_no_secret() -> None:
    shown = {
        f"rtsp://u:{SECRET}@host/live": "rtsp://host/live",
        f"rtmps://host/app/{SECRET}": "rtmps://host/app/***",
        f"https://host:8443/{SECRET}/publish": "https://host:8443/***",
        f"srt://host:9?streamid={SECRET}": "srt://host:9?***",
        "v4l2:/dev/video9": "v4l2:/dev/video9",
        "out.m3u8": "out.m3u8",
    }
    assert {output: STREAM.shown(output) for output in shown} == shown
    assert all(kind_of(output) is STREAM for output in shown)
    destination = destination_of(f"rtmp://host/app/{SECRET}", keeps_all=False)
    assert SECRET not in destination.without_secrets(f"Server error: bad key {SECRET} for {destination.url}")


def test_several_sources_get_a_stream_each() -> None:
    assert numbered("rtsp://u:p@host/live?x=1", 2) == "rtsp://u:p@host/live-2?x=1"
    assert numbered("http://host/a/live.m3u8", 1) == "http://host/a/live-1.m3u8"
    assert numbered("live.m3u8", 3) == "live-3.m3u8"
    for output in ("tcp://host:9000", "v4l2:/dev/video9"):
        with pytest.raises(OutputError, match=f"{output} takes one source"):
            numbered(output, 1)


def test_a_connection_by_whip_has_a_certificate_of_its_own_that_every_server_takes() -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    order = Order(destination_of("http://127.0.0.1:9/whip", keeps_all=False), MEDIA, EncoderOptions())
    keys = []
    for _ in range(2):
        with Connection(order) as connection:
            options = connection._order.destination.options
            certificate = x509.load_pem_x509_certificate(Path(options["cert_file"]).read_bytes())
            keys.append(certificate.public_key())
            with pytest.raises(NotSent, match="connection refused"):
                connection.connect()
        assert not Path(options["key_file"]).exists()
    assert all(isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1) for key in keys)
    assert keys[0] != keys[1]


def test_what_whip_needs_is_told_before_anything_is_loaded(livecam: Livecam, clip: Clip) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda name: None)
        result = livecam("annotate", clip(frames=3), "-o", "https://host/whip")
    assert result.exit_code == 1
    assert "livecam: WHIP needs cryptography; install it with: pip install 'livecam[whip]'" in result.output


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["rtsp", "rtmp", "udp", "http"])
@pytest.mark.usefixtures("quick_shapes")
def test_a_video_arrives_by_other_protocols(scheme: str, livecam: Livecam, clip: Clip) -> None:
    url = f"{scheme}://127.0.0.1:{free_port()}" + ("/app/live" if scheme != "udp" else "")
    with Receiver(url) as receiver:
        time.sleep(2)  # it says that it is ready before it listens
        result = livecam("annotate", clip(frames=50), "-o", url, *PLAIN)
        if scheme == "udp":
            assert receiver.process
            receiver.end(kill=True)  # it cannot know that no more comes
    assert result.exit_code == 0, result.output
    assert "50 written" in result.output
    timed = [(number, seconds) for number, seconds in receiver.pictures if seconds is not None]
    assert [number for number, _ in timed] == list(range(50 - len(timed), 50))[: len(timed)] or scheme == "udp"
    assert in_order(timed[1:])  # RTP's first times come before what they count from


@pytest.mark.long
def test_a_turned_video_is_sent_upright(clip: Clip, livecam: Livecam, quick_shapes: None) -> None:
    url = f"tcp://127.0.0.1:{free_port()}"
    with Receiver(url) as receiver:
        result = livecam("annotate", clip(frames=10, rotation=90), "-o", url)
    assert result.exit_code == 0, result.output
    assert receiver.sizes == {(90, 160)}

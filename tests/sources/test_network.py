"""Streams by their URLs: their facts, errors on opening, and that no credentials are shown."""

from __future__ import annotations

import itertools
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import pytest

from livecam import LivecamError
from livecam.errors import InputError
from livecam.sources import LiveOptions, open_live, open_source
from livecam.sources.video import VideoSource
from tests.support.clips import tone_packets
from tests.support.reading import ignore, number_of
from tests.support.rtsp import rtp_packets
from tests.support.streams import StreamServer, free_port, watched

Clip = Callable[..., Path]


def test_the_facts_of_a_stream(server: StreamServer, caplog: pytest.LogCaptureFixture) -> None:
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
        f"http://{web}/text.html": "the address does not send a video",
        f"http://{web}/sound.ts": "no video",
        "nonsense://127.0.0.1": "this build of FFmpeg has no NONSENSE; livecam doctor lists",
        "987": "cannot open camera 987: there is no such camera; plug one in",
        "/dev/null": "cannot open /dev/null: ",
        str(tmp_path / "missing.mp4"): "does not exist",
        str(tmp_path / "missing.sdp"): "does not exist",
        str(tmp_path / "photo.jpg"): "still picture",
    }.items():
        with pytest.raises(InputError, match=problem) as caught:
            open_live(uri, LiveOptions())
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("opened", [open_source, lambda url: open_live(url, LiveOptions())])
def test_rtp_without_a_description(opened: Callable[[str], object]) -> None:
    with sending(port := free_port()), pytest.raises(InputError, match="RTP does not tell what it carries"):
        opened(f"rtp://127.0.0.1:{port}")


@contextmanager
def sending(port: int) -> Iterator[None]:
    """Sends a packet of RTP again and again, whose type only a description explains."""
    (packet,) = rtp_packets([b"\x65" + bytes(100)], 0, itertools.count())
    is_over = threading.Event()

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not is_over.wait(0.02):
                sender.sendto(packet, ("127.0.0.1", port))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


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
    with watched(url) as source:
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


@pytest.mark.parametrize("name", ["clip.mp4", "clip.ts"])  # FFmpeg cannot tell how long the second one lasts
def test_a_file_on_a_web_server_is_a_file(web: str, clip: Clip, name: str) -> None:
    clip(name, frames=12)
    with open_live(f"http://{web}/{name}", LiveOptions()) as source:
        assert not source.is_live
        assert [number_of(frame) for frame in source.frames(ignore)] == list(range(12))


@pytest.mark.parametrize("scheme", ["http", "tcp"])
def test_a_server_that_says_nothing_is_told(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livecam.sources.opening.OPEN_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/clip.mp4"
        with pytest.raises(InputError, match=r"cannot open .*clip.mp4: no answer for 0.3 s"):
            VideoSource(uri)

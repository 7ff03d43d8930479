"""Servers with TLS: a certificate is checked, and the error tells what is wrong with it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from livecam.errors import InputError
from livecam.sources import LiveOptions, open_live, open_source
from tests.support.reading import first_of
from tests.support.rtmp import RtmpServer
from tests.support.rtsp import RtspServer
from tests.support.streams import WebHandler
from tests.support.tcp import CERTIFICATE, with_tls

Server = Callable[[], AbstractContextManager]
UNTRUSTED = r"cannot open {}://127.0.0.1.*: its certificate is not trusted \(self-signed certificate\); .* --insecure"


@pytest.fixture
def https(tmp_path: Path, clip: Callable[..., Path]) -> Iterator[str]:
    """The address of a clip on a web server."""
    clip("clip.mp4")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(WebHandler, directory=str(tmp_path))) as server:
        server.socket = with_tls(server.socket)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}/clip.mp4"
        server.shutdown()
        thread.join()


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))


@pytest.mark.parametrize("kind", [RtspServer, RtmpServer])
def test_a_stream_from_an_unknown_server_is_refused(kind: type[RtspServer | RtmpServer]) -> None:
    with kind(has_tls=True) as server:
        protocol = server.url.partition(":")[0]
        with pytest.raises(InputError, match=UNTRUSTED.format(protocol)):
            open_live(server.url, LiveOptions())
        with open_live(server.url, LiveOptions(insecure=True)) as source:
            assert len(first_of(source, 2)) == 2


@pytest.mark.parametrize("kind", [RtspServer, RtmpServer])
@pytest.mark.usefixtures("trusted")
def test_a_stream_from_a_trusted_server_comes(kind: type[RtspServer | RtmpServer]) -> None:
    with kind(has_tls=True) as server, open_live(server.url, LiveOptions()) as source:
        assert len(first_of(source, 2)) == 2


def test_a_file_on_an_unknown_server_is_refused(https: str) -> None:
    with pytest.raises(InputError, match=UNTRUSTED.format("https")):
        open_source(https)
    for opened in (open_source(https, insecure=True), open_live(https, LiveOptions(insecure=True))):
        with opened as source:
            assert source.media.expected_frames == 12


@pytest.mark.usefixtures("trusted")
def test_a_file_on_a_trusted_server_is_read(https: str) -> None:
    with open_source(https) as source:
        assert source.media.expected_frames == 12


@pytest.mark.usefixtures("trusted")
def test_the_name_has_to_be_in_the_certificate(https: str) -> None:
    with pytest.raises(InputError, match="its certificate is not trusted .*match"):
        open_source(https.replace("127.0.0.1", "127.1"))

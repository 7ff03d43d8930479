"""What is not a page of this server is refused, what is too much is bounded, and the run goes on."""

from __future__ import annotations

import asyncio
import math
import os
import socket
import ssl
import struct
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import aiohttp
import numpy as np
import pytest

from livecam.errors import OutputError
from livecam.web.camera import BrowserCamera
from livecam.web.guarding import Arrivals
from livecam.web.listening import BACKLOG, Listener
from livecam.web.messages import FrameHeader
from livecam.web.server import WebOptions, WebServer
from tests.support.streams import free_port
from tests.support.tcp import CERTIFICATE
from tests.web.client import connected, encoded, grey, level_of, page, token_of

LOCAL = WebOptions(port=0)
CAMERA = WebOptions(port=0, camera=True)


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer(LOCAL) as server:
        yield server


@pytest.fixture
def camera_server() -> Iterator[WebServer]:
    with WebServer(CAMERA) as server:
        yield server
        server.camera.stop()


def resident_megabytes() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


def raw_socket(server: WebServer) -> socket.socket:
    """A socket over which a page was let in, without a client's library."""
    url, token = server.url.split("#")
    netloc = url.split("/")[2]
    host, _, port = netloc.rpartition(":")
    connection = socket.create_connection((host, int(port)))
    key = "A" * 22 + "=="
    connection.sendall(
        f"GET /socket HTTP/1.1\r\nHost: {netloc}\r\nOrigin: http://{netloc}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    assert connection.recv(65536).startswith(b"HTTP/1.1 101")
    hello = b'{"type":"hello","token":"%s","decodes":["h264"]}' % token.encode()
    connection.sendall(struct.pack("!BBH4x", 0x81, 0x80 | 126, len(hello)) + hello)
    return connection


async def status_of(url: str, **options: object) -> int:
    async with aiohttp.ClientSession() as session, session.get(url, **options) as response:
        return response.status


async def still_shows(server: WebServer) -> bool:
    """True if a page that comes now is shown what the run publishes."""
    async with page(server) as viewer:
        server.publish(0, grey(77), {})
        header, _ = await viewer.picture()
        return bool(header["key"])


@pytest.mark.parametrize("token", ["", "wrong", "tökén"])
def test_a_wrong_token_is_refused(server: WebServer, token: str) -> None:
    async def scenario() -> None:
        async with connected(server) as client:
            await client.hello(token)
            assert await client.close_code() == 4401
        assert server.pages == 0 and await still_shows(server)

    asyncio.run(scenario())


@pytest.mark.parametrize("origin", [None, "null", "https://evil.example", "http://127.0.0.1:1", "http://127.0.0.1"])
def test_another_origin_is_refused(server: WebServer, origin: str | None) -> None:
    async def scenario() -> None:
        async with connected(server, origin=origin) as client:
            assert await client.close_code() == 4403

    asyncio.run(scenario())


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8765", "localhost@evil.example", "", "["])
def test_another_host_is_refused(server: WebServer, host: str) -> None:
    async def scenario() -> None:
        url, _ = server.url.split("#")
        assert await status_of(url, headers={"Host": host}) == 403
        async with connected(server, headers={"Host": host}, origin=f"http://{host}") as client:
            assert await client.close_code() == 4403

    asyncio.run(scenario())


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "[::1]", "127.0.0.1"])
def test_names_of_this_machine_are_own_hosts(server: WebServer, host: str) -> None:
    url, _ = server.url.split("#")
    assert asyncio.run(status_of(url, headers={"Host": f"{host}:8765"})) == 200


@pytest.mark.parametrize(
    "path", ["../server.py", "..%2fserver.py", "%2e%2e/server.py", "page/index.html", "etc%2fpasswd"]
)
def test_only_files_of_the_page_are_served(server: WebServer, path: str) -> None:
    from yarl import URL

    url, _ = server.url.split("#")
    assert asyncio.run(status_of(URL(f"{url}{path}", encoded=True))) == 404  # type: ignore[arg-type]


def test_the_page_runs_no_foreign_code_and_is_in_no_frame(server: WebServer) -> None:
    async def scenario() -> None:
        url, token = server.url.split("#")
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            headers, text = response.headers, await response.text()
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert (headers["X-Content-Type-Options"], headers["Referrer-Policy"]) == ("nosniff", "no-referrer")
        assert token not in text + str(headers)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "message",
    [
        "",
        "[]",
        "[" * 60_000,
        '{"type": "ping"}',
        '{"type": "hello"}',
        '{"type": "hello", "token": "\\ud800", "decodes": ["h264"]}',
        '{"type": "hello", "token": [], "decodes": ["h264"]}',
        '{"type": "hello", "token": "x", "decodes": ["h264"], "role": []}',
        '{"type": "hello", "token": "x", "decodes": ["hevc"]}',
        '{"type": "hello", "token": "x", "decodes": ["h264"], "captured": NaN}',
        '{"type": "hello", "token": "x", "decodes": ["h264"], "captured": -1}',
    ],
)
def test_a_malformed_hello_is_refused(server: WebServer, message: str) -> None:
    async def scenario() -> None:
        async with connected(server) as client:
            await client.socket.send_str(message)
            assert await client.close_code() == 4400

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "message",
    [
        {"type": "unknown"},
        {"type": "set"},
        {"type": "set", "target": "x" * 1001},
        {"type": "set", "target": ["dog"]},
        {"type": "set", "opacity": math.inf},
        {"type": "set", "view": "\x1b[2J"},
        {"type": "do", "command": "quit"},
        {"type": "key", "source": "0"},
    ],
)
def test_a_malformed_message_ends_its_page_and_reaches_nobody(server: WebServer, message: dict[str, object]) -> None:
    async def scenario() -> None:
        async with page(server) as client:
            await client.tell(**message)
            assert await client.close_code() == 4400
        assert server.commands() == []

    asyncio.run(scenario())


def test_a_message_of_100_mb_is_not_read(server: WebServer) -> None:
    async def scenario() -> None:
        before = resident_megabytes()
        connection = raw_socket(server)
        connection.sendall(struct.pack("!BBQ4x", 0x82, 0x80 | 127, 100_000_000))
        assert await asyncio.to_thread(sent_until_refused, connection) < 20_000_000  # what is in the system's buffers
        assert resident_megabytes() - before < 50
        assert await still_shows(server)

    asyncio.run(scenario())


def sent_until_refused(connection: socket.socket) -> int:
    sent = 0
    with connection, suppress(ConnectionError):
        while sent < 100_000_000:
            sent += connection.send(bytes(1_000_000))
    return sent


def test_8k_and_garbage_are_not_decoded_and_the_next_frames_are(camera_server: WebServer) -> None:
    (huge,) = encoded(0, width=7680, height=4320)
    key, follows = encoded(40, 90)
    damaged = follows[: len(follows) // 2]
    random = np.random.default_rng(1)
    garbage = [random.bytes(2000), b"", b"\0\0\1", key[: len(key) // 2], b"\0\0\0\1\x65" + random.bytes(2000)]
    camera = camera_server.camera
    frames = camera.frames(lambda packet: None)

    async def scenario() -> None:
        async with page(camera_server, role="camera") as client:
            for payload in (huge, *garbage):
                await client.send_frame(payload)
            await client.send_frame(follows, key=False)
            await client.send_frame(b"\xff\xd8" + random.bytes(500), codec="jpeg")
            await client.send_frame(key)
            await client.send_frame(follows, key=False)
            await client.send_frame(damaged, key=False)
            await client.send_frame(follows, key=False)
            await client.send_frame(key)
            shown = await asyncio.to_thread(lambda: list(islice(frames, 3)))
            assert [round(level_of(frame.picture), -1) for frame in shown] == [40, 90, 40]
            assert camera.dropped == {"decode": len(garbage) + 5}
            assert (await client.text("wanted"))["what"] == "key"

    asyncio.run(scenario())


@pytest.mark.parametrize("message", [b"", b"\xff\xff\xff\xff", b"\2\0\0\0{}", b"\x05\0\0\0{}"])
def test_a_malformed_frame_ends_its_page(camera_server: WebServer, message: bytes) -> None:
    async def scenario() -> None:
        async with page(camera_server, role="camera") as client:
            await client.socket.send_bytes(message)
            assert await client.close_code() == 4400

    asyncio.run(scenario())


@pytest.mark.parametrize("payload", [bytes(10), bytes(1_000_000)], ids=["small", "large"])
def test_frames_that_come_faster_than_they_are_decoded_do_not_pile_up(payload: bytes) -> None:
    camera = BrowserCamera()
    camera.join("page")
    header = FrameHeader(codec="h264", is_key=True, sequence=0, captured_ms=0.0, dropped=0)
    for _ in range(300):
        camera.put(header, memoryview(payload))
    assert (300 - camera.dropped["decode"]) * len(payload) <= 8_000_000
    assert 300 - camera.dropped["decode"] <= 20


def test_a_thousand_connections_leave_room_for_pages(server: WebServer) -> None:
    async def scenario() -> None:
        url, _ = server.url.split("#")
        host, _, port = url.split("/")[2].rpartition(":")
        async with page(server) as viewer:
            idle = await asyncio.to_thread(idle_connections, host, int(port), 1000)
            assert await status_of(url) == 200
            assert sum(map(is_open, idle)) <= 64 + BACKLOG < len(idle)
            server.publish(0, grey(50), {})
            await viewer.picture()
            assert await still_shows(server)
            for connection in idle:
                connection.close()

    asyncio.run(scenario())


def idle_connections(host: str, port: int, count: int) -> deque[socket.socket]:
    """The last of so many connections that ask for nothing, or for half of something."""
    idle: deque[socket.socket] = deque(maxlen=300)
    for number in range(count):
        idle.append(socket.create_connection((host, port)))
        if number % 2:
            idle[-1].sendall(b"GET / HTTP/1.1\r\nHost:")
    return idle


def is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return bool(connection.recv(1000))
    except BlockingIOError:
        return True
    except ConnectionError:
        return False


def test_a_thousand_sockets_of_one_address_are_too_many(server: WebServer) -> None:
    statuses = asyncio.run(statuses_of_sockets(server.url.split("#")[0], 1000, lambda number: {}))
    assert 101 in statuses and statuses[-1] == 429


def test_behind_a_proxy_the_address_is_the_one_that_the_proxy_adds() -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    with WebServer(WebOptions(port=port, behind_proxy="https://gpu.example.org")):
        forged = statuses_of_sockets(url, 1000, lambda number: {"X-Forwarded-For": f"{number}, 192.0.2.1"})
        assert asyncio.run(forged)[-1] == 429
        others = statuses_of_sockets(url, 30, lambda number: {"X-Forwarded-For": f"x, 192.0.2.{number + 2}"})
        assert set(asyncio.run(others)) == {101}


async def statuses_of_sockets(url: str, most: int, headers: Callable[[int], dict[str, str]]) -> list[int]:
    """Open sockets one after the other, up to the first that is refused."""
    statuses: list[int] = []
    async with aiohttp.ClientSession() as session:
        while len(statuses) < most and 429 not in statuses:
            try:
                async with session.ws_connect(f"{url}socket", headers=headers(len(statuses))):
                    statuses.append(101)
            except aiohttp.WSServerHandshakeError as exc:
                statuses.append(exc.status)
    return statuses


def test_an_address_may_connect_so_many_sockets_a_second() -> None:
    seconds = [0.0]
    arrivals = Arrivals(clock=lambda: seconds[0])
    assert [arrivals.is_too_many("a") for _ in range(17)] == [False] * 16 + [True]
    assert not arrivals.is_too_many("b")
    seconds[0] = 1.0
    assert [arrivals.is_too_many("a") for _ in range(5)] == [False] * 4 + [True]


def test_a_page_that_does_not_read_holds_up_nobody_and_begins_again_with_a_key_frame(server: WebServer) -> None:
    noise = grey(0, 640, 480)
    noise.planes[0].update(np.random.default_rng(1).bytes(noise.planes[0].buffer_size))

    async def scenario() -> None:
        async with page(server, page="quick") as quick, page(server, page="slow") as slow:
            before = resident_megabytes()
            for number in range(150):
                server.publish(0, noise if number % 2 else grey(number, 640, 480), {"age_frames": number})
                header, _ = await quick.picture()
                assert header["age_frames"] == number
            assert all(each.waiting < 10 for each in server._service.pages) and resident_megabytes() - before < 50
            server.publish(0, noise, {"age_frames": 150})
            headers = [(await slow.picture())[0]]
            while headers[-1]["age_frames"] < 150:
                headers.append((await slow.picture())[0])
            jumps = [later for earlier, later in zip(headers, headers[1:], strict=False) if is_jump(earlier, later)]
            assert jumps and all(later["key"] for later in jumps)

    asyncio.run(scenario())


def is_jump(earlier: dict[str, int], later: dict[str, int]) -> bool:
    return later["sequence"] > earlier["sequence"] + 1


def test_no_more_pages_than_there_is_room_for(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livecam.web.service.MOST_PAGES", 1)

    async def scenario() -> None:
        async with page(server), connected(server) as client:
            await client.hello(token_of(server))
            assert await client.close_code() == 4429
        assert await still_shows(server)

    asyncio.run(scenario())


def test_a_page_has_to_say_hello_in_time(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livecam.web.service._HELLO_SECONDS", 0.01)

    async def scenario() -> None:
        async with connected(server) as client:
            assert await client.close_code() == 4408

    asyncio.run(scenario())


def test_over_https_pages_may_have_any_name_that_the_certificate_has() -> None:
    async def scenario() -> None:
        with WebServer(WebOptions(port=0, certificate=str(CERTIFICATE))) as server:
            url, token = server.url.split("#")
            assert url.startswith("https://127.0.0.1:")
            trusted = ssl.create_default_context(cafile=CERTIFICATE)
            async with aiohttp.ClientSession() as session:
                async with session.get(url, ssl=trusted) as response:
                    assert response.status == 200
                socket_options = {"origin": url.rstrip("/"), "ssl": trusted}
                async with session.ws_connect(f"{url}socket", **socket_options) as connection:
                    await connection.send_json({"type": "hello", "token": token, "decodes": ["jpeg"]})
                    assert (await connection.receive_json())["type"] == "welcome"

    asyncio.run(scenario())


def test_over_https_connections_that_send_nothing_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livecam.web.serving._HANDSHAKE_SECONDS", 0.1)
    with WebServer(WebOptions(port=0, certificate=str(CERTIFICATE))) as server:
        host, _, port = server.url.split("/")[2].rpartition(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            assert connection.recv(1) == b""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (WebOptions(host="0.0.0.0"), "others can reach 0.0.0.0, which needs encryption.* ssh -L 8765:127.0.0.1:8765"),
        (WebOptions(host="::"), "others can reach ::"),
        (WebOptions(key=str(CERTIFICATE)), "--key needs a --certificate"),
        (WebOptions(certificate="missing.pem"), "cannot read the certificate"),
        (WebOptions(certificate=__file__), "no certificate with its key .*; name PEM files"),
        (WebOptions(behind_proxy="gpu.example.org"), "--behind-proxy gpu.example.org is no URL; name the one"),
        (WebOptions(behind_proxy="https://[::1/"), r"--behind-proxy https://\[::1/ is no URL"),
        (WebOptions(behind_proxy="https://gpu.example.org:x"), "--behind-proxy https://gpu.example.org:x is no URL"),
        (WebOptions(host="no.such.host.invalid"), "cannot listen on no.such.host.invalid:8765 .*--listen"),
        (WebOptions(port=70000), "cannot listen on 127.0.0.1:70000"),
    ],
)
def test_where_a_server_must_not_or_cannot_listen(options: WebOptions, message: str) -> None:
    with pytest.raises(OutputError, match=message):
        WebServer(options)


@pytest.mark.parametrize("host", ["127.0.0.2", "LocalHost"])
def test_the_address_that_is_printed_is_an_own_one(host: str) -> None:
    with WebServer(WebOptions(host=host, port=0)) as server:
        assert asyncio.run(status_of(server.url)) == 200


@pytest.mark.parametrize(
    ("proxy", "url"),
    [
        ("https://GPU.example.org:443", "https://gpu.example.org/"),
        ("http://gpu.example.org:80/Live#top", "http://gpu.example.org/Live/"),
        ("https://gpu.example.org:8443/", "https://gpu.example.org:8443/"),
        ("https://[2001:DB8::1]", "https://[2001:db8::1]/"),
    ],
)
def test_the_address_of_a_proxy_is_that_of_browsers(proxy: str, url: str) -> None:
    listener = Listener(WebOptions(port=0, behind_proxy=proxy))
    listener.socket.close()
    assert listener.url == url
    origin, host = url.partition("/Live")[0].rstrip("/"), url.split("/")[2]
    assert listener.is_own_host(host) and listener.is_own_origin(origin, host)


def test_behind_a_proxy_its_address_is_the_own_one() -> None:
    listener = Listener(WebOptions(host="0.0.0.0", port=0, behind_proxy="https://gpu.example.org/live"))
    listener.socket.close()
    assert listener.url == "https://gpu.example.org/live/"
    assert listener.is_own_host("gpu.example.org") and not listener.is_own_host("evil.example")
    assert listener.is_own_origin("https://gpu.example.org", "127.0.0.1:8765")
    assert not listener.is_own_origin("https://evil.example", "gpu.example.org")
    assert not listener.is_own_origin("http://gpu.example.org", "gpu.example.org")


def test_a_port_that_is_taken_is_told_in_one_plain_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OutputError, match=rf"127.0.0.1:{port} \(Address already in use\); name another address"):
            WebServer(WebOptions(port=port))


def test_the_next_free_port_is_taken_unless_one_is_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    with WebServer(WebOptions()) as first, WebServer(WebOptions()) as second:
        ports = [int(each.url.split("/")[2].rpartition(":")[2]) for each in (first, second)]
        assert ports[1] > ports[0] >= 8765
        assert f"port 8765 is taken: the page is at port {ports[1]}" in caplog.text
        with pytest.raises(OutputError, match=f"cannot listen on 127.0.0.1:{ports[0]} .*--listen"):
            WebServer(WebOptions(port=ports[0]))


def test_without_aiohttp_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(OutputError, match=r"install it with: pip install 'livecam\[web\]'"):
        WebServer(LOCAL)

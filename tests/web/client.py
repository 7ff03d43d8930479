"""A client of the server, as a page is one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import av

from livecam.web.encoding import H264
from livecam.web.messages import packed, unpacked
from livecam.web.server import WebServer

Picture = tuple[dict[str, Any], memoryview]


class Client:
    """A socket that is connected to a server.

    Attributes:
        texts: The JSON messages that came while something else was waited for.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.texts: list[dict[str, Any]] = []
        self._sent = 0

    async def hello(self, token: str, **fields: Any) -> None:
        await self.tell(
            type="hello", **{"token": token, "role": "viewer", "decodes": ["h264"], "page": "one", **fields}
        )

    async def tell(self, **message: Any) -> None:
        await self.socket.send_str(json.dumps(message))

    async def text(self, kind: str) -> dict[str, Any]:
        """The next JSON message of this type."""
        while True:
            for number, text in enumerate(self.texts):
                if text["type"] == kind:
                    return self.texts.pop(number)
            assert await self._next() is None

    async def picture(self) -> Picture:
        """The next picture: its header and its payload."""
        while (picture := await self._next()) is None:
            pass
        return picture

    async def close_code(self) -> int:
        """The code with which the server closes the socket."""
        while not self.socket.closed:
            await self._receive()
        return int(self.socket.close_code or 0)

    async def send_frame(self, payload: bytes, *, key: bool = True, codec: str = "h264", dropped: int = 0) -> None:
        """Send a frame of the camera."""
        header = {"codec": codec, "key": key, "sequence": self._sent, "captured_ms": 40.0 * self._sent}
        self._sent += 1
        await self.socket.send_bytes(packed({"type": "frame", "dropped": dropped, **header}, payload))

    async def _next(self) -> Picture | None:
        message = await self._receive()
        if message.type is aiohttp.WSMsgType.TEXT:
            self.texts.append(json.loads(message.data))
            return None
        assert message.type is aiohttp.WSMsgType.BINARY, message
        return unpacked(message.data)

    async def _receive(self) -> Any:
        """The next message; pings are answered, as browsers do."""
        while (message := await self.socket.receive(timeout=30)).type is aiohttp.WSMsgType.PING:
            with suppress(ConnectionError):
                await self.socket.pong(message.data)
        return message


@asynccontextmanager
async def connected(server: WebServer, **options: Any) -> AsyncIterator[Client]:
    """A client whose socket is open, and which has not said anything. `options` are those of `ws_connect`."""
    url, _ = server.url.split("#")
    origin = options.pop("origin", url.rstrip("/"))
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{url}socket", origin=origin, max_msg_size=0, autoping=False, **options) as socket,
    ):
        yield Client(socket)


@asynccontextmanager
async def page(server: WebServer, **fields: Any) -> AsyncIterator[Client]:
    """A client that was let in. `fields` are those of its hello."""
    async with connected(server) as client:
        await client.hello(token_of(server), **fields)
        await client.text("welcome")
        yield client


def token_of(server: WebServer) -> str:
    return server.url.split("#")[1]


def grey(level: int, width: int = 64, height: int = 48) -> av.VideoFrame:
    """A picture of one grey."""
    picture = av.VideoFrame(width, height, "yuv420p")
    for plane, value in zip(picture.planes, (level, 128, 128), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    return picture


def encoded(*levels: int, width: int = 64, height: int = 48) -> list[bytes]:
    """H.264 of grey pictures, of which the first is a key frame."""
    encoder = H264(grey(0, width, height))
    return [encoder(grey(level, width, height), is_key=False)[0] for level in levels]


def level_of(picture: av.VideoFrame) -> int:
    """The luma in the middle of a picture."""
    plane = picture.planes[0]
    return memoryview(plane)[plane.line_size * (plane.height // 2) + plane.width // 2]

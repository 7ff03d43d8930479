"""What the server does in the thread of its loop: it lets pages in, and takes and sends their messages."""

from __future__ import annotations

import asyncio
import hmac
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from aiohttp import WSMsgType, web

from livecam.web.camera import BrowserCamera
from livecam.web.guarding import MOST_PAGES, Arrivals, break_off
from livecam.web.listening import Listener
from livecam.web.messages import (
    LARGEST_BYTES,
    Hello,
    MalformedError,
    command_from,
    count_from,
    frame_from,
    hello_from,
    number_from,
    parsed,
    unpacked,
)
from livecam.web.pages import Page
from livecam.web.publishing import Encoded, Publisher
from livecam.web.serving import serve

_HELLO_SECONDS = 5.0
_HEARTBEAT_SECONDS = 10.0
_STATE_SECONDS = 0.25
_GOODBYE_SECONDS = 0.4
_MOST_COMMANDS = 1000
_MALFORMED, _BAD_TOKEN, _FOREIGN, _TOO_LATE, _CAMERA_IN_USE, _TOO_MANY = 4400, 4401, 4403, 4408, 4409, 4429


class _Refused(Exception):  # noqa: N818 - not an error of the server
    """A page is refused, with the code that its socket is closed with and the reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Service:
    """Serves pages. All methods are for the thread of the loop, apart from the `commands`, a queue.

    Args:
        listener: Where pages connect.
        token: What they must know.
        camera: Gets the frames of the page that sends its camera's; None if no page's camera is wanted.
        publisher: Encodes the pictures.
    """

    def __init__(self, listener: Listener, token: str, camera: BrowserCamera | None, publisher: Publisher) -> None:
        self.pages: list[Page] = []
        self.commands: deque[dict[str, Any]] = deque(maxlen=_MOST_COMMANDS)
        self._listener = listener
        self._token = token.encode()
        self._camera = camera
        self._publisher = publisher
        self._camera_page: Page | None = None
        self._state: dict[str, Any] = {}
        self._is_state_due = False
        self._kept: dict[Page, web.RequestHandler] = {}  # their connections
        self._arrivals = Arrivals()
        self._closed = asyncio.Event()

    async def run(self, on_started: Callable[[], None]) -> None:
        """Serve until it is closed."""
        await serve(self._listener, self._socket, self._kept.values(), self._closed, on_started)

    async def close(self, reason: str) -> None:
        """Say goodbye to all pages, and let `run` return."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_SECONDS):
                goodbyes = (page.say_goodbye(self._state, reason) for page in list(self.pages))
                await asyncio.gather(*goodbyes, return_exceptions=True)
        self._closed.set()

    def deliver(self, encoded: Encoded) -> None:
        """Send a picture to the pages that take its codec."""
        for page in self.pages:
            if page.codec == encoded.codec:
                page.offer(encoded)

    def set_state(self, state: dict[str, Any]) -> None:
        """Send the state of the run to all pages, at once or when the next one is due."""
        self._state = state
        if not self._is_state_due:
            self._is_state_due = True
            self._send_state()

    def _send_state(self) -> None:
        """Send the newest state; then none for a while."""
        state = self._state
        for page in self.pages:
            page.tell_state(state)
        asyncio.get_running_loop().call_later(_STATE_SECONDS, self._send_later_state, state)

    def _send_later_state(self, sent: dict[str, Any]) -> None:
        self._is_state_due = self._state is not sent
        if self._is_state_due:
            self._send_state()

    def answer(self, text: str) -> None:
        """Send a line to all pages."""
        for page in self.pages:
            page.tell(type="answer", text=text)

    def want_camera_key(self) -> None:
        """Ask the page whose camera is used for a key frame."""
        if self._camera_page is not None:
            self._camera_page.tell(type="wanted", what="key")

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        if self._arrivals.is_too_many(self._address(request)):
            raise web.HTTPTooManyRequests
        socket = web.WebSocketResponse(
            heartbeat=_HEARTBEAT_SECONDS,
            autoping=False,  # pongs confirm pictures
            compress=False,
            max_msg_size=LARGEST_BYTES,
            timeout=_GOODBYE_SECONDS,
        )
        await socket.prepare(request)
        try:
            await self._serve(request, socket)
        except _Refused as exc:
            await socket.close(code=exc.code, message=str(exc).encode()[:120])
        except MalformedError as exc:
            await socket.close(code=_MALFORMED, message=str(exc).encode()[:120])
        return socket

    def _address(self, request: web.Request) -> str:
        """Return the address that a page comes from, which a proxy adds to a header."""
        forwarded = request.headers.get("X-Forwarded-For", "") if self._listener.is_behind_proxy else ""
        return forwarded.rpartition(",")[2].strip() or request.remote or ""

    async def _serve(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        self._check_origin(request)
        hello = await _hello(socket)
        self._check(hello)
        page = Page(hello, socket, self._publisher.want_key, partial(break_off, request.protocol))
        self._enter(page, request.protocol)
        writing = asyncio.create_task(page.write())
        try:
            async for message in socket:
                if message.type is WSMsgType.BINARY:
                    self._take_frame(page, message.data)
                elif message.type is WSMsgType.TEXT:
                    self._take(page, parsed(message.data))
                elif message.type is WSMsgType.PONG:
                    page.confirm()
                elif message.type is WSMsgType.PING:
                    await socket.pong(message.data)
        finally:
            writing.cancel()
            self._leave(page)

    def _check_origin(self, request: web.Request) -> None:
        own_host = self._listener.is_own_host(request.host)
        if not (own_host and self._listener.is_own_origin(request.headers.get("Origin"), request.host)):
            raise _Refused(_FOREIGN, "only the page of this server may connect")

    def _check(self, hello: Hello) -> None:
        if not hmac.compare_digest(hello.token.encode(), self._token):
            raise _Refused(_BAD_TOKEN, "the token of the URL is wrong; take the URL that livecam printed")
        if len(self.pages) >= MOST_PAGES:
            raise _Refused(_TOO_MANY, f"{MOST_PAGES} pages are connected, which is the most")
        if hello.role == "camera" and self._is_camera_of_another(hello):
            raise _Refused(_CAMERA_IN_USE, "another page's camera is in use; this one may look on")

    def _is_camera_of_another(self, hello: Hello) -> bool:
        used = self._camera_page
        return used is not None and (used.hello.page != hello.page or not hello.page)

    def _enter(self, page: Page, connection: web.RequestHandler) -> None:
        hello = page.hello
        is_wanted = self._camera is not None and not self._is_camera_of_another(hello)
        if self._camera is not None:
            self._join(self._camera, page)
        self.pages.append(page)
        self._kept[page] = connection
        page.tell(type="welcome", sources=self._state.get("sources", []), camera=is_wanted)
        if self._state:
            page.tell_state(self._state)
        self._look()
        self._publisher.want_key()

    def _join(self, camera: BrowserCamera, page: Page) -> None:
        """Account for what a page has captured, and take its camera's frames from now on if it sends them."""
        hello, used = page.hello, self._camera_page
        if hello.captured:
            camera.account(hello.page, hello.captured, hello.dropped)
        if used is not None and not self._is_camera_of_another(hello):  # its connection before, which may be broken
            self._camera_page = None
            used.hang_up()
            camera.leave()
        if hello.role == "camera":
            self._camera_page = page
            camera.join(hello.page)

    def _leave(self, page: Page) -> None:
        self.pages.remove(page)
        del self._kept[page]
        if self._camera is not None and page is self._camera_page:
            self._camera_page = None
            self._camera.leave()
        self._look()

    def _look(self) -> None:
        self._publisher.look({page.codec for page in self.pages})

    def _take_frame(self, page: Page, message: bytes) -> None:
        text, payload = unpacked(message)
        header = frame_from(text)
        if self._camera is not None and page is self._camera_page:
            self._camera.put(header, payload)

    def _take(self, page: Page, message: dict[str, Any]) -> None:
        match message.get("type"):
            case "ping":
                page.tell(type="pong", sent_ms=number_from(message, "sent_ms"))
            case "set" | "do":
                self.commands.append(command_from(message))
            case "key":
                self._publisher.want_key(count_from(message, "source"))
            case _:
                raise MalformedError("an unknown type of message")


async def _hello(socket: web.WebSocketResponse) -> Hello:
    try:
        message = await socket.receive(timeout=_HELLO_SECONDS)
    except TimeoutError as exc:
        raise _Refused(_TOO_LATE, "no hello came in time") from exc
    if message.type is not WSMsgType.TEXT:
        raise MalformedError("the first message is not hello")
    return hello_from(parsed(message.data))

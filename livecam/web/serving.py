"""HTTP: the files of the page, and the connections over which pages come."""

from __future__ import annotations

import asyncio
import logging
import mimetypes
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from livecam.web.guarding import add_headers, make_room
from livecam.web.listening import BACKLOG, Listener

SOCKET_PATH = "/socket"
_FOLDER = Path(__file__).parent / "page"
_HANDSHAKE_SECONDS = 5.0
_FOREIGN_NAME = (
    "livecam does not answer to the name in the address bar.\n"
    "Open the address that it has printed, or start it with --behind-proxy and the address of the proxy.\n"
)


async def serve(
    listener: Listener,
    on_socket: Callable[[web.Request], Awaitable[web.StreamResponse]],
    kept: Collection[web.RequestHandler],
    until: asyncio.Event,
    on_started: Callable[[], None],
) -> None:
    """Serve the page until an event.

    Args:
        listener: Where it is served, and who may come.
        on_socket: Serves a socket. It has to check the request's host and origin by itself, and tell the page.
        kept: The connections that no others may displace, at any time.
        until: Ends serving.
        on_started: Called once pages can connect.
    """
    app = web.Application(middlewares=[_guard(listener)])
    app.on_response_prepare.append(_with_headers)
    app.router.add_get(SOCKET_PATH, on_socket)
    app.router.add_get("/{name:[a-z0-9_.-]*}", _file)
    runner = web.AppRunner(app, access_log=None, logger=_quiet_log(), shutdown_timeout=0.1)
    await runner.setup()
    server = runner.server
    assert server is not None  # it was set up

    def connection() -> asyncio.Protocol:
        make_room(server, kept)
        return server()

    listening = await asyncio.get_running_loop().create_server(
        connection,
        sock=listener.socket,
        backlog=BACKLOG,
        ssl=listener.tls,
        ssl_handshake_timeout=_HANDSHAKE_SECONDS if listener.tls else None,
    )
    on_started()
    await until.wait()
    listening.close()
    await runner.cleanup()


def _guard(listener: Listener) -> Middleware:
    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path != SOCKET_PATH and not listener.is_own_host(request.host):
            raise web.HTTPForbidden(text=_FOREIGN_NAME)
        try:
            return await handler(request)
        except (web.HTTPException, OSError):
            raise
        except Exception as exc:
            asyncio.get_running_loop().call_exception_handler({"message": "a request failed", "exception": exc})
            raise

    return guarded


async def _file(request: web.Request) -> web.Response:
    """Answer with a file of the page, found by its name among the names in the folder."""
    name = request.match_info["name"] or "index.html"
    for path in _FOLDER.iterdir():
        if path.name == name:
            content_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
            return web.Response(body=path.read_bytes(), content_type=content_type, charset="utf-8")
    raise web.HTTPNotFound(text="there is no such file")


async def _with_headers(request: web.Request, response: web.StreamResponse) -> None:
    add_headers(request, response)


def _quiet_log() -> logging.Logger:
    """Return a log for what clients do wrong, which concerns nobody who runs the server."""
    quiet = logging.getLogger("livecam.web.clients")
    quiet.propagate = False
    quiet.addHandler(logging.NullHandler())
    return quiet

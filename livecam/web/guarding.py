"""Who is let in: limits on connections, and the headers that tell browsers what the page may do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection

from aiohttp import web

MOST_PAGES = 32
_MOST_OTHERS = 64
"""So many connections may be open that are not, or not yet, of a page."""
_SOCKETS_PER_SECOND, _SOCKETS_AT_ONCE = 4.0, 16.0
_MOST_ADDRESSES = 1000


class Arrivals:
    """Limits how often each address may connect a socket: some at once, then so many a second.

    `clock` returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._spent: dict[str, tuple[float, float]] = {}  # by address: how many, at which time

    def is_too_many(self, address: str) -> bool:
        """Count one more, and return True if it is one too many."""
        now_seconds = self._clock()
        spent, seconds = self._spent.pop(address, (0.0, now_seconds))
        spent = max(spent - _SOCKETS_PER_SECOND * (now_seconds - seconds), 0.0)
        is_too_many = spent + 1 > _SOCKETS_AT_ONCE
        self._spent[address] = (spent if is_too_many else spent + 1), now_seconds
        if len(self._spent) > _MOST_ADDRESSES:
            del self._spent[next(iter(self._spent))]
        return is_too_many


def make_room(server: web.Server, kept: Collection[web.RequestHandler]) -> None:
    """Break off the oldest connections if there are too many, apart from those that are kept."""
    others = [connection for connection in server.connections if connection not in kept]
    for connection in others[: max(len(others) - _MOST_OTHERS, 0)]:
        break_off(connection)


def break_off(connection: web.RequestHandler) -> None:
    """End a connection at once, even if the other side does not read what was sent."""
    if isinstance(connection.transport, asyncio.Transport):
        connection.transport.abort()


def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add what browsers must know of the page: it runs no foreign code, is in no frame, and tells nobody of its URL."""
    socket = f"ws://{request.host} wss://{request.host}"  # Safari does not count them as 'self'
    response.headers.update(
        {
            "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
            f"connect-src 'self' {socket}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            "Permissions-Policy": "camera=(self), microphone=()",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }
    )

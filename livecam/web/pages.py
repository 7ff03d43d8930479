"""A page that is connected, and what waits to be sent to it."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from aiohttp import web

from livecam.web.encoding import codec_for
from livecam.web.messages import Hello
from livecam.web.publishing import Encoded

_MOST_PICTURES = 4
"""So many pictures of a source may wait for a page that reads slowly."""
_FIRST_UNDERWAY, _MOST_UNDERWAY = 4.0, 32.0
"""So many pictures may have been sent that have not arrived yet, at first and if all arrive in time."""
_LATE_SECONDS = 0.25
"""A picture that arrives this much later than the quickest one did has waited on its way."""
_MOST_TEXTS = 200


class Page:
    """A page that is connected.

    A page that receives slowly gets the newest pictures: if too many of a source wait, they are dropped, and so are all
    that follow up to the next key frame. A ping goes with each picture, and its pong confirms that the picture has
    arrived. If that takes long, fewer are sent ahead: what lies between, such as a tunnel, may hold seconds of video.

    For the thread of the server's loop only.

    Args:
        hello: What it said first.
        socket: Its connection.
        want_key: Called with the number of a source of which it needs a key frame.
        hang_up: Breaks the connection at once.

    Attributes:
        codec: The codec in which it gets pictures.
    """

    def __init__(
        self,
        hello: Hello,
        socket: web.WebSocketResponse,
        want_key: Callable[[int], None],
        hang_up: Callable[[], None],
    ) -> None:
        self.hello = hello
        self.codec = codec_for(hello.decodes)
        self.hang_up = hang_up
        self._socket = socket
        self._want_key = want_key
        self._texts: deque[str] = deque()
        self._pictures: deque[Encoded] = deque()
        self._following: set[int] = set()  # the sources of which it has all pictures since a key frame
        self._behind: set[int] = set()  # those of which it did not get a picture
        self._underway: deque[float] = deque()  # when each picture was sent that has not arrived
        self._window = _FIRST_UNDERWAY  # so many may be
        self._quickest_seconds = math.inf
        self._state: dict[str, Any] | None = None
        self._labels: Any = None  # those that it has got
        self._has_news = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many messages wait to be sent."""
        return len(self._texts) + len(self._pictures)

    def tell(self, **message: Any) -> None:
        """Send a JSON message, before pictures that wait."""
        self._texts.append(json.dumps(message))
        self._has_news.set()
        if len(self._texts) > _MOST_TEXTS:
            self.hang_up()

    def tell_state(self, state: dict[str, Any]) -> None:
        """Send the state of the run, in place of one that waits; without its labels if the page has them."""
        self._state = state
        self._has_news.set()

    def offer(self, encoded: Encoded) -> None:
        """Send a picture, unless the page receives too slowly."""
        source = encoded.source
        self._has_news.set()
        if encoded.is_key:
            if self._waiting_of(source) > 1:
                self._drop_waiting(source)
            self._following.add(source)
        if source in self._following:
            self._pictures.append(encoded)
        else:
            self._behind.add(source)
        if self._waiting_of(source) > _MOST_PICTURES:
            self._following.discard(source)
            self._behind.add(source)
            self._drop_waiting(source)

    def confirm(self) -> None:
        """Note that a picture has arrived."""
        if not self._underway:
            return
        took_seconds = time.perf_counter() - self._underway.popleft()
        self._quickest_seconds = min(took_seconds, self._quickest_seconds)
        is_late = took_seconds > self._quickest_seconds + _LATE_SECONDS
        self._window = max(self._window / 2, 1) if is_late else min(self._window + 1, _MOST_UNDERWAY)
        self._has_news.set()

    async def write(self) -> None:
        """Send what waits, until the connection breaks."""
        while True:
            await self._has_news.wait()
            self._has_news.clear()
            while self._texts or self._state is not None or (self._pictures and self._has_room):
                await self._send_next()
            if self._has_room:
                for source in self._behind - self._following:
                    self._want_key(source)
                self._behind.clear()

    async def say_goodbye(self, state: dict[str, Any], reason: str) -> None:
        """Send the last state of the run, and tell the page that it shall not come back, and why."""
        self._state = state
        await self._socket.send_str(self._state_message())
        await self._socket.send_str(json.dumps({"type": "bye", "reason": reason}))
        await self._socket.close(code=1001)

    @property
    def _has_room(self) -> bool:
        return len(self._underway) < self._window

    async def _send_next(self) -> None:
        if self._texts:
            await self._socket.send_str(self._texts.popleft())
        elif self._state is not None:
            await self._socket.send_str(self._state_message())
        else:
            self._underway.append(time.perf_counter())
            await self._socket.send_bytes(self._pictures.popleft().message)
            await self._socket.ping()

    def _state_message(self) -> str:
        assert self._state is not None
        state, self._state = self._state, None
        if state.get("labels") == self._labels:
            state = {name: value for name, value in state.items() if name != "labels"}
        self._labels = state.get("labels", self._labels)
        return json.dumps({"type": "state", **state})

    def _waiting_of(self, source: int) -> int:
        return sum(waiting.source == source for waiting in self._pictures)

    def _drop_waiting(self, source: int) -> None:
        self._pictures = deque(waiting for waiting in self._pictures if waiting.source != source)

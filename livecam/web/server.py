"""The server of a live run's pages. Its loop runs in a thread of its own; the run calls it from any thread."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import threading
from concurrent.futures import wait
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from livecam.errors import OutputError, in_one_line
from livecam.system.background import in_background
from livecam.web.camera import BrowserCamera
from livecam.web.listening import Listener, WebOptions
from livecam.web.publishing import Publisher

if TYPE_CHECKING:
    import av

__all__ = ["WebOptions", "WebServer"]

log = logging.getLogger("livecam")

_TOKEN_BYTES = 24
_CLOSE_SECONDS = 0.9


class WebServer:
    """Serves a page that shows a live run, and may send its camera's pictures. Use it as a context manager.

    All methods are thread-safe, and none but `flush` and `close` waits.

    Args:
        options: Where it listens.

    Attributes:
        url: The address of the page. Who knows it may use the page.
        camera: The source of what the camera of a page sends, with `WebOptions.camera`.

    Raises:
        OutputError: It cannot listen there, or must not; or aiohttp is not installed.
    """

    def __init__(self, options: WebOptions) -> None:
        _check_installed()
        listener = Listener(options)
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        self.url = f"{listener.url}#{token}"
        self.camera = BrowserCamera(self._want_camera_key)
        self._publisher = Publisher(self._deliver)
        self._loop = asyncio.new_event_loop()
        self._is_closed = self._has_told_problem = False
        self._state = ""
        started = threading.Event()
        self._threads = [
            in_background(lambda: self._serve(listener, token, options.camera, started), "web"),
            in_background(self._publisher.run, "web-encoder"),
        ]
        while not started.wait(0.05):
            self._raise_failure()

    @property
    def pages(self) -> int:
        """How many pages are connected."""
        return len(self._service.pages)

    def publish(self, source: int, picture: av.VideoFrame, facts: dict[str, Any]) -> None:
        """Show a picture on all pages; a newer one of the same source may replace it before it is encoded.

        Args:
            source: The number of the source, from 0.
            picture: The picture, yuv420p and upright. It is not written to, and must not be any more.
            facts: What is said of it: the classes, the age of its map and so on; `latency_ms` without what is to come.
        """
        self._raise_failure()
        self._publisher.put(source, picture, facts)

    def flush(self, timeout_seconds: float) -> None:
        """Wait until what was published is encoded and on its way, at most for the timeout."""
        self._publisher.flush(timeout_seconds)

    def set_state(self, state: dict[str, Any]) -> None:
        """Tell all pages the state of the run, if it has changed; newer ones replace those of a quarter of a second.

        Raises TypeError if it cannot be written as JSON.
        """
        text = json.dumps(state)
        if text != self._state:
            self._state = text
            self._call(self._service.set_state, state)

    def answer(self, text: str) -> None:
        """Show a line on all pages, such as what a command has done."""
        self._call(self._service.answer, text)

    def commands(self) -> list[dict[str, Any]]:
        """Return the commands that pages have sent since the last call, of which only the form is checked."""
        commands = self._service.commands
        return [commands.popleft() for _ in range(len(commands))]

    def close(self, reason: str) -> None:
        """Tell all pages why the run has ended, and stop serving; takes a second at most, and may be called again."""
        if self._is_closed:
            return
        self._is_closed = True
        self._publisher.close()
        self._call(lambda: self._loop.create_task(self._service.close(reason)))
        wait(self._threads, _CLOSE_SECONDS)

    def __enter__(self) -> WebServer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close("livecam has ended")

    def _serve(self, listener: Listener, token: str, has_camera: bool, started: threading.Event) -> None:
        from livecam.web.service import Service

        self._loop.set_exception_handler(self._tell_problem)
        self._service = Service(listener, token, self.camera if has_camera else None, self._publisher)
        try:
            self._loop.run_until_complete(self._service.run(started.set))
        finally:
            self._loop.close()

    def _tell_problem(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Tell once that serving goes wrong. A connection that breaks, an OSError, concerns nobody but its page."""
        error = context.get("exception")
        if error is not None and not isinstance(error, OSError) and not self._has_told_problem:
            self._has_told_problem = True
            log.warning("the page's server: unexpected %s: %s", type(error).__name__, in_one_line(error))

    def _deliver(self, encoded: Any) -> None:
        self._call(self._service.deliver, encoded)

    def _want_camera_key(self) -> None:
        self._call(self._service.want_camera_key)

    def _call(self, function: Any, *arguments: Any) -> None:
        """Call a function in the thread of the loop, unless that has ended."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)

    def _raise_failure(self) -> None:
        """Raise what a thread has failed with."""
        for thread in self._threads:
            if thread.done():
                thread.result()


def _check_installed() -> None:
    try:
        import aiohttp  # noqa: F401
    except ImportError as exc:
        raise OutputError("a page needs aiohttp; install it with: pip install 'livecam[web]'") from exc

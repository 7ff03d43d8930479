"""A web server that keeps the files which it gets by PUT, but for those that it refuses."""

from __future__ import annotations

import base64
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Store(ThreadingHTTPServer):
    """Keeps `files` by their path. The segments (.ts) with the `refused` numbers, from 1, are answered with 403."""

    def __init__(self, refused: Collection[int]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.users: set[str] = set()
        self.segments = 0
        self.refused = refused


class _Handler(BaseHTTPRequestHandler):
    server: Store

    def do_PUT(self) -> None:  # noqa: N802 - the name is http.server's
        content = self.rfile.read(int(self.headers["Content-Length"]))
        _, _, credentials = self.headers.get("Authorization", "").partition("Basic ")
        self.server.users.add(base64.b64decode(credentials).decode())
        self.server.segments += self.path.endswith(".ts")
        if self.path.endswith(".ts") and self.server.segments in self.server.refused:
            self.send_error(403)
            return
        self.server.files[self.path] = content
        self.send_response(201)
        self.end_headers()

    def do_DELETE(self) -> None:  # noqa: N802 - as above
        self.server.files.pop(self.path, None)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def store(*, refused: Collection[int] = ()) -> Iterator[Store]:
    """Run a store inside the block."""
    with Store(refused) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()

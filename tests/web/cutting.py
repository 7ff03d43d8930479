"""A connection that breaks: a proxy that passes on a number of bytes, which may end within a message, and hangs up."""

from __future__ import annotations

import math
import socket
import threading
from contextlib import suppress

from tests.support.tcp import TcpServer


class CuttingProxy(TcpServer):
    """Passes everything on to a port of this machine.

    Attributes:
        server_port: The port to pass on to, to be set before anybody connects.
        cuts: How often all connections were ended.
    """

    def __init__(self) -> None:
        self.server_port = 0
        self.cuts = 0
        self._left: float = math.inf
        self._counting = threading.Lock()

    def cut_after(self, count: int) -> None:
        """End all connections once so many more bytes have passed, both ways together."""
        with self._counting:
            self._left = count

    def serve(self, client: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", self.server_port)) as server:
            back = threading.Thread(target=self._pass_on, args=(server, client), daemon=True)
            back.start()
            self._pass_on(client, server)
            back.join()

    def _pass_on(self, giver: socket.socket, taker: socket.socket) -> None:
        with suppress(OSError):
            while data := giver.recv(1 << 14):
                taker.sendall(data[: self._spend(len(data))])
        for each in (giver, taker):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _spend(self, count: int) -> int:
        """Return how many of so many bytes still pass; if it is the last, all connections end."""
        with self._counting:
            passed = min(count, self._left)
            self._left -= passed
            if self._left > 0:
                return int(passed)
            self._left = math.inf
            self.cuts += 1
        self.hang_up()
        return int(passed)

"""The part that small servers have in common: a thread that listens, and one for each client."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress
from pathlib import Path

CERTIFICATE = Path(__file__).parents[1] / "data" / "localhost.pem"


def with_tls(connection: socket.socket) -> ssl.SSLSocket:
    """The server's side of a connection or of a listening socket, with a certificate that nobody knows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context.wrap_socket(connection, server_side=True)


class TcpServer:
    """Calls `serve` with the connection of every client, until the block ends; then all connections are closed.

    With `has_tls` the connections are encrypted.
    """

    has_tls = False

    def __enter__(self) -> TcpServer:
        self._clients: list[socket.socket] = []
        self._serving: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        with suppress(OSError):  # it may be closed already
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        self.hang_up()
        for serving in self._serving:
            serving.join()

    @property
    def port(self) -> int:
        return self._listener.getsockname()[1]

    def hang_up(self) -> None:
        """End all connections."""
        for client in self._clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def serve(self, client: socket.socket) -> None:
        raise NotImplementedError

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._clients.append(client)
                self._serving.append(threading.Thread(target=self._until_it_leaves, args=(client,), daemon=True))
                self._serving[-1].start()

    def _until_it_leaves(self, client: socket.socket) -> None:
        with suppress(OSError), with_tls(client) if self.has_tls else client as connection:
            self.serve(connection)

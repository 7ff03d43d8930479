"""Where the server listens, who may reach it there, and the address that is given to the user."""

from __future__ import annotations

import errno
import ipaddress
import logging
import socket
import ssl
from dataclasses import dataclass
from itertools import count
from urllib.parse import SplitResult, urlsplit

from livecam.errors import OutputError

log = logging.getLogger("livecam")

USUAL_PORT = 8765
_LAST_PORT = 8800
BACKLOG = 128
"""So many connections may wait to be accepted."""
_USUAL_PORTS = {"http": 80, "https": 443}
_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class WebOptions:
    """Where pages are served.

    Attributes:
        host: The address or name to listen on. Without encryption only the own machine may reach the server.
        port: The port; None for 8765, or the next one that is free.
        certificate: A file with the certificate, in PEM, to encrypt connections.
        key: A file with its key; None if that is in the same file.
        behind_proxy: The URL under which a reverse proxy serves the page, which then cares for the encryption.
        camera: True if the camera of a page is a source of the run.
    """

    host: str = "127.0.0.1"
    port: int | None = None
    certificate: str | None = None
    key: str | None = None
    behind_proxy: str | None = None
    camera: bool = False


class Listener:
    """A socket that listens, with what pages have to know of it.

    Attributes:
        socket: The socket.
        tls: How connections are encrypted; None if they are not.
        url: The address of the page, without the token.

    Raises:
        OutputError: It cannot listen there, or must not.
    """

    def __init__(self, options: WebOptions) -> None:
        self._proxy = urlsplit("") if options.behind_proxy is None else _proxied(options.behind_proxy)
        self._names = {*_LOOPBACK_NAMES, options.host.lower()}
        self.tls = _tls(options)
        self.socket = _listening(options, is_open_to_others=bool(self.tls or options.behind_proxy))
        self.url = self._proxy.geturl() or f"{self._scheme}://{_netloc(options.host, self.port)}/"

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return int(self.socket.getsockname()[1])

    @property
    def is_behind_proxy(self) -> bool:
        """True if pages come by a reverse proxy."""
        return bool(self._proxy.netloc)

    @property
    def _scheme(self) -> str:
        return "https" if self.tls else "http"

    def is_own_host(self, host: str) -> bool:
        """Return True if a request with this Host header is meant for this server, and not led here by foreign DNS.

        Over TLS the browser has compared the name with the certificate.
        """
        if self.tls is not None:
            return bool(host)
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:  # brackets that do not match
            return False
        return bool(name) and (name in self._names or host == self._proxy.netloc)

    def is_own_origin(self, origin: str | None, host: str) -> bool:
        """Return True if a script with this origin came from a page of this server, reached by this Host header."""
        if origin == f"{self._proxy.scheme}://{self._proxy.netloc}":
            return True
        return host != self._proxy.netloc and origin == f"{self._scheme}://{host}"


def _proxied(url: str) -> SplitResult:
    """Return the URL of a proxy as browsers have it: in small letters, without the usual port, with a path."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:  # brackets or a port that cannot be
        host = port = None
    if not host or parts.scheme not in _USUAL_PORTS:
        raise OutputError(
            f"--behind-proxy {url} is no URL; name the one that the proxy serves, such as https://gpu.example.org"
        )
    host = f"[{host}]" if ":" in host else host
    netloc = host if port in (None, _USUAL_PORTS[parts.scheme]) else f"{host}:{port}"
    return SplitResult(parts.scheme, netloc, f"{parts.path.rstrip('/')}/", "", "")


def _tls(options: WebOptions) -> ssl.SSLContext | None:
    if options.certificate is None:
        if options.key is not None:
            raise OutputError("--key needs a --certificate")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(options.certificate, options.key)
    except ssl.SSLError as exc:
        names = options.certificate + (f" and {options.key}" if options.key else "")
        reason = exc.reason or "not PEM"
        raise OutputError(
            f"{names}: no certificate with its key ({reason}); name PEM files with --certificate and --key"
        ) from exc
    except OSError as exc:
        raise OutputError(f"cannot read the certificate or its key ({exc.strerror}); check the paths") from exc
    return context


def _listening(options: WebOptions, *, is_open_to_others: bool) -> socket.socket:
    """Return a socket that listens. Raises OutputError."""
    for port in count(USUAL_PORT if options.port is None else options.port):
        try:
            family, _, _, _, address = socket.getaddrinfo(
                options.host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            if not (is_open_to_others or ipaddress.ip_address(address[0]).is_loopback):
                raise OutputError(
                    f"others can reach {options.host}, which needs encryption: name --certificate and --key, or "
                    f"--behind-proxy; or listen on 127.0.0.1 and run there: ssh -L {port}:127.0.0.1:{port} HOST"
                )
            listening = socket.create_server((str(address[0]), port), family=family, backlog=BACKLOG)
        except (OSError, OverflowError) as exc:
            if getattr(exc, "errno", None) == errno.EADDRINUSE and options.port is None and port < _LAST_PORT:
                continue
            place = _netloc(options.host, port)
            reason, *_ = str(getattr(exc, "strerror", exc)).split(" (while ")  # the address follows
            raise OutputError(f"cannot listen on {place} ({reason}); name another address with --listen") from exc
        if options.port is None and port != USUAL_PORT:
            log.warning("port %d is taken: the page is at port %d", USUAL_PORT, port)
        return listening
    raise AssertionError("there is always a next port")


def _netloc(host: str, port: int) -> str:
    """Return the address for a URL: of this machine by its name if the server listens on all its addresses."""
    if host in ("", "0.0.0.0", "::"):
        host = socket.gethostname()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

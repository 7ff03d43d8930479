"""The certificates of servers: which authorities are trusted, and why a server is not."""

from __future__ import annotations

import errno
import socket
import ssl
import sys
from pathlib import Path
from urllib.parse import urlsplit

import av

HOW_TO_TRUST = "name its authority with SSL_CERT_FILE=FILE, or go on without this check by --insecure"
"""The advice where a server is not trusted."""
_PORTS = {"https": 443, "rtsps": 322, "rtmps": 443}
_AUTHORITIES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Arch, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # openSUSE
)
_TIMEOUT_SECONDS = 5.0


def tls_options(*, insecure: bool = False) -> dict[str, str]:
    """Return FFmpeg's options to check the certificates of servers, or not to."""
    if insecure:
        return {"tls_verify": "0"}
    authorities = _authorities()
    return {"tls_verify": "1"} | ({"ca_file": authorities} if authorities else {})


def distrust(error: av.FFmpegError) -> str:
    """Return why a server is not trusted if its certificate caused an error, else an empty text.

    FFmpeg's error does not say it, so this connects to the server once more.
    """
    url = urlsplit(str(error.filename))
    if error.errno != errno.EIO or url.scheme not in _PORTS or url.hostname is None:
        return ""
    context = ssl.create_default_context(cafile=_authorities())
    try:
        with (
            socket.create_connection((url.hostname, url.port or _PORTS[url.scheme]), _TIMEOUT_SECONDS) as connection,
            context.wrap_socket(connection, server_hostname=url.hostname),
        ):
            return ""
    except ssl.SSLCertVerificationError as exc:
        return f"its certificate is not trusted ({exc.verify_message})"
    except OSError:
        return ""


def _authorities() -> str | None:
    """Return the file with the authorities that the system trusts; None where FFmpeg's TLS library finds it."""
    if sys.platform != "linux":
        return None
    places = (ssl.get_default_verify_paths().cafile, *_AUTHORITIES)
    return next((place for place in places if place and Path(place).is_file()), None)

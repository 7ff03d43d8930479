"""Files that a web server gets one by one: the segments of a playlist and the playlist itself."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Mapping
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

from livecam.errors import OutputError


class Upload:
    """A file for FFmpeg's muxer, sent to the server when it is closed, which may raise OutputError or OSError.

    FFmpeg can do that by itself, but reads no answer: what a server refuses would count as sent.

    Args:
        url: Where it is sent; a user and a password in it are sent as HTTP's basic authentication.
        flags: FFmpeg's flags of how it is opened.
        options: FFmpeg's options, of which the `method` is taken.
    """

    def __init__(self, url: str, flags: int, options: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        _, _, host = parts.netloc.rpartition("@")
        self._request = Request(parts._replace(netloc=host).geturl(), method=options.get("method", "PUT"))
        if parts.username is not None:
            credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            self._request.add_header("Authorization", f"Basic {base64.b64encode(credentials).decode()}")
        self._content = bytearray()

    def write(self, content: bytes) -> int:
        """Append to the file."""
        self._content += content
        return len(content)

    def close(self) -> None:
        """Send the file. Raises OutputError if the server refuses it, and OSError if there is no connection."""
        if self._request.get_method() == "PUT":
            self._request.data = bytes(self._content)
        unchecked = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE  # as FFmpeg, of all receivers
        try:
            urlopen(self._request, context=unchecked).close()
        except HTTPError as exc:
            if self._request.get_method() == "PUT":  # of an old segment nobody minds
                raise OutputError(f"the server answers {exc.code} {exc.reason}") from exc
        except URLError as exc:
            raise exc.reason if isinstance(exc.reason, OSError) else OutputError(str(exc.reason)) from exc
        except HTTPException as exc:
            raise OutputError("the server's answer is not HTTP; check the port in the address") from exc

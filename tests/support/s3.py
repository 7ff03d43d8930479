"""An object store on this machine: moto's S3, as a server that refuses what a test tells it to refuse."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from livecam.system import stores

KEY, SECRET = "AKIAOFNOBODYATALL", "a/secret+that=nobody.may.see"
_REFUSAL = "<Error><Code>{}</Code><Message>told to fail</Message></Error>"
Application = Callable[[dict[str, Any], Callable[..., Any]], Any]


class S3:
    """The server and its bucket `bucket`. Requests that match the pattern `refused` get a 403, or another `refusal`.

    `requests` has those that were not refused, such as "PUT /bucket/out/a.mp4".
    """

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.refused, self.refusal = "", "403 AccessDenied"
        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it would print each request among livecam's messages
        self._server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.address = f"http://{host}:{port}"
        self._server._server.app = self._asked(self._server._server.app)  # type: ignore[union-attr]
        self.client = boto3.client(
            "s3",
            endpoint_url=self.address,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )

    def put(self, name: str, content: bytes | Path) -> str:
        """Make an object; return its name."""
        body = content.read_bytes() if isinstance(content, Path) else content
        self.client.put_object(Bucket="bucket", Key=name, Body=body)
        return f"s3://bucket/{name}"

    def get(self, name: str) -> bytes:
        """The content of an object."""
        return bytes(self.client.get_object(Bucket="bucket", Key=name)["Body"].read())

    def names(self, prefix: str = "") -> list[str]:
        """The names of all objects that begin so."""
        found = self.client.list_objects_v2(Bucket="bucket", Prefix=prefix).get("Contents", [])
        return [each["Key"] for each in found]

    def shown(self, prefix: str = "") -> list[str]:
        """The names of those that begin so and are not hidden."""
        return [name for name in self.names(prefix) if "/." not in name]

    def unfinished(self) -> int:
        """How many uploads of parts were neither completed nor aborted."""
        return len(self.client.list_multipart_uploads(Bucket="bucket").get("Uploads", []))

    def empty(self) -> None:
        """Begin anew, with an empty bucket."""
        self.refused, self.refusal = "", "403 AccessDenied"
        self.client.create_bucket(Bucket="bucket")
        for name in self.names():
            self.client.delete_object(Bucket="bucket", Key=name)
        self.requests.clear()

    def stop(self) -> None:
        self._server.stop()

    def _asked(self, application: Application) -> Application:
        def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            query = f"?{environ['QUERY_STRING']}" if environ["QUERY_STRING"] else ""
            request = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}{query}"
            if self.refused and re.search(self.refused, request):
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                start_response(self.refusal, [("Content-Type", "application/xml")])
                told = _REFUSAL.format(self.refusal.split()[1]).encode()
                return [] if environ["REQUEST_METHOD"] == "HEAD" else [told]
            self.requests.append(request)
            return application(environ, start_response)

        return answer


@contextmanager
def serving() -> Iterator[S3]:
    """Run a server."""
    server = S3()
    yield server
    server.stop()


@contextmanager
def reached(patch: pytest.MonkeyPatch, server: S3) -> Iterator[S3]:
    """Let this process and its children reach the server, with an empty bucket."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        patch.delenv(name, raising=False)
    settings = {
        "AWS_ENDPOINT_URL": server.address,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/nowhere",
        "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
        "AWS_MAX_ATTEMPTS": "1",
    }
    for name, value in settings.items():
        patch.setenv(name, value)
    server.empty()
    forget()
    yield server
    forget()


def forget() -> None:
    """Let the next use of a store begin anew, with the settings of then."""
    stores._filesystem.cache_clear()
    stores._listings.clear()

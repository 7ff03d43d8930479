"""Object stores: names such as s3://bucket/clips/a.mp4, which fsspec lists, reads and writes."""

from __future__ import annotations

import difflib
import functools
import glob
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from livecam.errors import InputError, LivecamError, OutputError, in_one_line
from livecam.text import OBJECT_STORES, redacted, with_urls_redacted

_CREDENTIALS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gs": "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS",
    "az": "set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
    "hf": "run `hf auth login`, or set HF_TOKEN",
}
"""How the libraries of the stores are told who asks."""
_OTHER_NAMES = {"s3a": "s3", "s3n": "s3", "gcs": "gs", "abfs": "az", "abfss": "az"}
"""The schemes of other programs for these stores."""
_BUCKET = re.compile(r"[\w.-]+")
_KINDS_OF_REPOSITORIES = ("datasets", "spaces", "buckets")
_FRESH_SECONDS = 60.0
"""How long a listing is believed: a run is planned meanwhile, which asks for each object by itself."""
_VERSIONS = ("ETag", "etag", "md5Hash", "blob_id", "LastModified", "last_modified", "updated", "created")
"""What the libraries call that which changes with the content of an object, the surest first."""
_NO_ANSWER = frozenset(
    ("ConnectionError", "TimeoutError", "HTTPClientError", "ClientConnectionError", "TransportError", "gaierror")
    + ("ServiceRequestError", "FSTimeoutError", "OfflineModeIsEnabled", "RetryError")
)
"""The errors of the libraries that mean that the store was not reached."""


class Facts(NamedTuple):
    """What a store tells of an object; `version` changes with its content, and is empty if the store tells none."""

    size_bytes: int
    version: str


class Listing(NamedTuple):
    """The objects in a folder, and the names of the folders in it."""

    files: dict[StoredPath, Facts]
    folders: list[str]


@dataclass(frozen=True, order=True)
class StoredPath:
    """The name of an object, or of a folder of objects, in an object store. It is used like a Path.

    `key` is bucket and name, without a slash at the end: bucket/clips/a.mp4.
    """

    scheme: str
    key: str

    @classmethod
    def of(cls, name: str) -> StoredPath:
        """Take a name such as s3://bucket/clips/a.mp4 apart. Raises LivecamError."""
        scheme, _, key = name.partition("://")
        if not _BUCKET.fullmatch(key.partition("/")[0]):
            raise LivecamError(
                f"{scheme}:// is not followed by a bucket; write {scheme}://bucket/name, and of credentials nothing: "
                f"{_CREDENTIALS[scheme.lower()]}"
            )
        return cls(scheme.lower(), key.rstrip("/"))

    def __str__(self) -> str:
        return f"{self.scheme}://{self.key}"

    def __truediv__(self, name: str) -> StoredPath:
        return StoredPath(self.scheme, f"{self.key}/{name}")

    @property
    def name(self) -> str:
        """The last part of the name."""
        return self.key.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """The ending of the name, with its dot."""
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> StoredPath:
        """The folder that it is in; a bucket is in itself."""
        return StoredPath(self.scheme, self.key.rpartition("/")[0] or self.key)

    @property
    def bucket(self) -> StoredPath:
        """The bucket that it is in; on the Hugging Face Hub the repository, such as datasets/user/name."""
        parts = self.key.split("/")
        count = 1 if self.scheme != "hf" else 3 if parts[0] in _KINDS_OF_REPOSITORIES else 2
        return StoredPath(self.scheme, "/".join(parts[:count]))

    def facts(self) -> Facts | None:
        """Return what the store tells of the object, None if there is none of this name.

        Raises InputError, also if there is no such bucket.
        """
        if (listing := _fresh_listing(self.parent)) is not None:
            return listing.files.get(self)
        with _errors_named(self, InputError):
            try:
                info = self._asked().info(str(self))
            except FileNotFoundError:
                if not self._has_bucket():
                    raise
                return None
        return None if info["type"] == "directory" else _facts_in(info)

    def exists(self) -> bool:
        """Return True if there is an object of this name. Raises InputError."""
        return self.facts() is not None

    def listing(self) -> Listing:
        """Ask the store what is in this folder. Raises InputError, also if there is no such bucket."""
        with _errors_named(self, InputError):
            try:
                found = self._asked().ls(str(self), detail=True)
            except FileNotFoundError:
                if not self._has_bucket():
                    raise
                found = []
        return _remembered(self, found)

    def tree(self) -> list[StoredPath]:
        """Ask the store for all objects in this folder and in those inside it. Raises InputError."""
        with _errors_named(self, InputError):
            found = self._asked().find(str(self), detail=True).values()
        by_folder: dict[StoredPath, list[dict[str, Any]]] = {}
        for info in found:
            by_folder.setdefault(self._named(info).parent, []).append(info)
        return [path for folder, infos in by_folder.items() for path in _remembered(folder, infos).files]

    def matching(self) -> list[StoredPath]:
        """Ask the store for the objects that this name matches as a pattern, without hidden ones. Raises InputError."""
        from fsspec.utils import glob_translate

        parts = self.key.split("/")
        fixed = next(place for place, part in enumerate(parts) if glob.has_magic(part))
        root = StoredPath(self.scheme, "/".join(parts[:fixed]))
        found = list(root.listing().files) if fixed == len(parts) - 1 else root.tree()
        matches = re.compile(glob_translate(self.key)).match
        return [path for path in found if matches(path.key) and "/." not in path.key[len(root.key) :]]

    def fetch(self, file: Path) -> None:
        """Copy the object into a local file. Raises InputError."""
        with _errors_named(self, InputError):
            _filesystem(self.scheme).get_file(str(self), str(file))

    def has_changed(self) -> None:
        """Do not believe the listing that has this object any more: this or another process has written it."""
        _listings.pop(self.parent, None)

    def put(self, file: Path) -> None:
        """Copy a local file into the object, which appears whole or not at all. Raises OutputError."""
        self.has_changed()
        with _errors_named(self, OutputError):
            _filesystem(self.scheme).put_file(str(file), str(self))

    def _asked(self) -> Any:
        """Return the file system, so that it asks the store: some keep what they were told."""
        filesystem = _filesystem(self.scheme)
        filesystem.invalidate_cache()
        return filesystem

    def _has_bucket(self) -> bool:
        return bool(_filesystem(self.scheme).exists(str(self.bucket)))

    def _named(self, info: dict[str, Any]) -> StoredPath:
        return StoredPath(self.scheme, info["name"].strip("/"))


def is_stored(name: str) -> bool:
    """Return True for a name in an object store, such as s3://bucket/clip.mp4."""
    scheme, separator, _ = name.partition("://")
    return bool(separator) and scheme.lower() in OBJECT_STORES


def meant_by(name: str) -> str:
    """Return what was probably meant by a name with an unknown scheme, or a / too few; empty if it is nothing here."""
    scheme, _, rest = name.partition(":")
    known = (*OBJECT_STORES, *_OTHER_NAMES)
    near = difflib.get_close_matches(scheme.lower(), known, 1, cutoff=0.5) if len(scheme) > 1 else []
    if not near or not rest.strip("/"):
        return ""
    return redacted(f"{_OTHER_NAMES.get(near[0], near[0])}://{rest.lstrip('/')}")


AnyPath = Path | StoredPath
"""A path in the file system, or in an object store."""


def path_of(name: str | AnyPath) -> AnyPath:
    """Return the path that a name means. Raises LivecamError for a name in a store without a bucket."""
    if isinstance(name, StoredPath):
        return name
    return StoredPath.of(str(name)) if is_stored(str(name)) else Path(name)


def contents_of(paths: Sequence[StoredPath]) -> list[bytes | InputError]:
    """Read several objects of one store at once. Return the content of each, or why it cannot be read."""
    filesystem = _filesystem(paths[0].scheme)
    contents = filesystem.cat_ranges([str(path) for path in paths], None, None, on_error="return")
    return [
        content if isinstance(content, bytes) else InputError(_problem(content, path))
        for path, content in zip(paths, contents, strict=True)
    ]


_listings: dict[StoredPath, tuple[float, Listing]] = {}
"""The latest listing of each folder, and when it was made, on the clock of `time.monotonic`."""


def _remembered(folder: StoredPath, found: Sequence[dict[str, Any]]) -> Listing:
    """Return and keep the listing of a folder in which a store has found these."""
    named = {folder._named(info): info for info in found}
    named.pop(folder, None)  # an empty object stands for the folder in some stores
    listing = Listing(
        {path: _facts_in(info) for path, info in named.items() if info["type"] != "directory"},
        [path.name for path, info in named.items() if info["type"] == "directory"],
    )
    _listings[folder] = time.monotonic(), listing
    return listing


def _fresh_listing(folder: StoredPath) -> Listing | None:
    asked_seconds, listing = _listings.get(folder, (-_FRESH_SECONDS, None))
    return listing if time.monotonic() - asked_seconds < _FRESH_SECONDS else None


def _facts_in(info: dict[str, Any]) -> Facts:
    version = next((str(info[name]) for name in _VERSIONS if info.get(name)), "")
    return Facts(info["size"], version.strip('"'))


@functools.cache
def _filesystem(scheme: str) -> Any:
    """Return fsspec's file system for a store. Raises LivecamError if its library is not installed."""
    try:
        import fsspec  # which takes long with its libraries

        kind = fsspec.get_filesystem_class(scheme)
    except ImportError as exc:
        raise LivecamError(f"{scheme}:// is an extra of livecam; install it: pip install 'livecam[{scheme}]'") from exc
    # Listings that it keeps do not grow old, and other instances are those of a thread.
    return kind(use_listings_cache=False, skip_instance_cache=True)


@contextmanager
def _errors_named(path: StoredPath, error: type[LivecamError]) -> Iterator[None]:
    try:
        yield
    except (LivecamError, MemoryError):
        raise
    except Exception as exc:  # each library has errors of its own
        raise error(_problem(exc, path)) from exc


def _problem(exc: Exception, path: StoredPath) -> str:
    """Return what is wrong and what to do, in one line without credentials."""
    kinds = {kind.__name__ for each in (exc, exc.__cause__) for kind in type(each).__mro__}
    status, words = _status(exc), with_urls_redacted(in_one_line(getattr(exc, "strerror", None) or exc))
    credentials = _CREDENTIALS[path.scheme]
    if isinstance(exc, FileNotFoundError) or status == 404:
        with suppress(Exception):  # who may not ask for the bucket does not learn more
            if not path._has_bucket():
                return f"the bucket {path.bucket} does not exist (404); check its name"
        return f"{path} does not exist (404); check its name"
    if any("Credential" in kind for kind in kinds):
        return f"no credentials are found for {path.bucket}; {credentials}"
    if isinstance(exc, PermissionError) or status in (401, 403):
        return f"{path}: access is refused ({status or 403}: {words}); check what you may do there, or {credentials}"
    if status is not None and status >= 500:
        return f"{path}: the store has failed ({status}: {words}); try again later"
    if kinds & _NO_ANSWER:
        return f"{path}: no answer from the store; check the network, and the address of the store if you have set one"
    return f"{path}: {type(exc).__name__}: {words}"


def _status(exc: Exception) -> int | None:
    """Return the status of HTTP behind an error, None if there is none."""
    for each in (exc, exc.__cause__):
        response = getattr(each, "response", None)
        if isinstance(response, dict):
            return response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        status = getattr(response, "status_code", None) or getattr(each, "status_code", getattr(each, "code", None))
        if isinstance(status, int):
            return status
    return None

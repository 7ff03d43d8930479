"""The publisher: encodes the newest picture of each source once for all pages, in a thread of its own."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import av

from livecam.web.encoding import ENCODERS, Encoder, form_of, to_encode
from livecam.web.messages import packed

_KEY_INTERVAL_SECONDS = 0.3
"""The shortest time between two key frames that pages ask for."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A picture of the source with this number, as a message in one codec."""

    source: int
    codec: str
    is_key: bool
    message: bytes


@dataclass(frozen=True, slots=True)
class Published:
    sequence: int
    picture: av.VideoFrame
    facts: dict[str, Any]
    seconds: float


class Channel:
    """The pictures of one source, from the run to the encoders."""

    def __init__(self, source: int) -> None:
        self.newest: Published | None = None
        self.wants_key = False
        self._source = source
        self._sequence = 0
        self._encoders: dict[str, tuple[tuple[int, ...], Encoder]] = {}
        self._encoded_sequence = -1
        self._key_seconds = -math.inf

    def put(self, picture: av.VideoFrame, facts: dict[str, Any]) -> None:
        self.newest = Published(self._sequence, picture, facts, time.perf_counter())
        self._sequence += 1

    @property
    def is_new(self) -> bool:
        """True if the newest picture was not taken yet."""
        return self.newest is not None and self.newest.sequence > self._encoded_sequence

    @property
    def has_work(self) -> bool:
        """True if the newest picture is to be encoded now."""
        return self.is_new or (self.newest is not None and self._is_key_due)

    def take(self) -> tuple[Published, bool]:
        """Return the newest picture, and True if it has to become a key frame."""
        assert self.newest is not None
        is_key = self._is_key_due
        if is_key:
            self.wants_key, self._key_seconds = False, time.perf_counter()
        self._encoded_sequence = self.newest.sequence
        return self.newest, is_key

    @property
    def _is_key_due(self) -> bool:
        return self.wants_key and time.perf_counter() > self._key_seconds + _KEY_INTERVAL_SECONDS

    def encoded(self, published: Published, codec: str, *, is_key: bool) -> Encoded:
        picture = to_encode(published.picture)
        payload, is_key = self._encoder(codec, picture)(picture, is_key=is_key)
        return Encoded(self._source, codec, is_key, packed(self._header(published, codec, is_key), payload))

    def _encoder(self, codec: str, picture: av.VideoFrame) -> Encoder:
        form, encoder = self._encoders.get(codec, (None, None))
        if encoder is None or form != form_of(picture):
            encoder = ENCODERS[codec](picture)
            self._encoders[codec] = form_of(picture), encoder
        return encoder

    def _header(self, published: Published, codec: str, is_key: bool) -> dict[str, Any]:
        latency_ms = published.facts.get("latency_ms", 0.0) + 1e3 * (time.perf_counter() - published.seconds)
        return {
            "type": "picture",
            "source": self._source,
            "codec": codec,
            "key": is_key,
            "sequence": published.sequence,
            "width": published.picture.width,
            "height": published.picture.height,
            "camera_sequence": None,
            "captured_ms": None,
            "age_frames": 0,
            "clip_frames": None,
            "cell_frames": None,
            "classes": [],
            "best": [],
            **published.facts,
            "latency_ms": round(latency_ms, 3),
        }


class Publisher:
    """Encodes pictures for the codecs that pages look for; the newest picture of a source replaces one that waits.

    `deliver` is called with each of them, by the thread of `run`. All other methods are thread-safe and do not block.
    """

    def __init__(self, deliver: Callable[[Encoded], None]) -> None:
        self._deliver = deliver
        self._changed = threading.Condition()
        self._channels: dict[int, Channel] = {}
        self._codecs: frozenset[str] = frozenset()
        self._is_encoding = self._is_closed = False

    def put(self, source: int, picture: av.VideoFrame, facts: dict[str, Any]) -> None:
        """Take the newest picture of the source with this number, and its facts for the header."""
        with self._changed:
            self._channels.setdefault(source, Channel(source)).put(picture, facts)
            self._changed.notify_all()

    def look(self, codecs: Iterable[str]) -> None:
        """Encode for these codecs from now on."""
        with self._changed:
            self._codecs = frozenset(codecs)

    def want_key(self, source: int | None = None) -> None:
        """Send the newest picture of a source, or of all, as a key frame, even if it was sent before."""
        with self._changed:
            for number, channel in self._channels.items():
                channel.wants_key = channel.wants_key or source in (None, number)
            self._changed.notify_all()

    def flush(self, timeout_seconds: float) -> None:
        """Wait until no new picture waits to be encoded, or the time is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or not self._has_new(), timeout_seconds)

    def close(self) -> None:
        """Make `run` return."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def run(self) -> None:
        """Encode until it is closed."""
        while (taken := self._take()) is not None:
            codecs, works = taken
            for channel, published, is_key in works:
                for codec in codecs:
                    self._deliver(channel.encoded(published, codec, is_key=is_key))

    def _take(self) -> tuple[list[str], list[tuple[Channel, Published, bool]]] | None:
        """Wait for pictures to encode, and return them with the codecs; None once it is closed."""
        with self._changed:
            self._is_encoding = False
            self._changed.notify_all()
            while not (self._is_closed or self._has_work()):
                self._changed.wait(_KEY_INTERVAL_SECONDS)
            if self._is_closed:
                return None
            self._is_encoding = True
            works = [(channel, *channel.take()) for channel in self._channels.values() if channel.has_work]
            return sorted(self._codecs), works

    def _has_work(self) -> bool:
        return any(channel.has_work for channel in self._channels.values())

    def _has_new(self) -> bool:
        return self._is_encoding or any(channel.is_new for channel in self._channels.values())

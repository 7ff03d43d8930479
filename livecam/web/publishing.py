"""The publisher: encodes the newest picture of each source once for all pages, in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import av

from livecam.web.encoding import ENCODERS, Encoder, form_of, to_encode
from livecam.web.messages import packed


@dataclass(frozen=True, slots=True)
class Encoded:
    """A picture of the source with this number, as a message in one codec."""

    source: int
    codec: str
    is_key: bool
    message: bytes


@dataclass(frozen=True, slots=True)
class _Published:
    sequence: int
    picture: av.VideoFrame
    facts: dict[str, Any]
    seconds: float


class _Channel:
    """The pictures of one source, from the run to the encoders."""

    def __init__(self, source: int) -> None:
        self.newest: _Published | None = None
        self.wants_key = False
        self._source = source
        self._sequence = 0
        self._encoders: dict[str, tuple[tuple[int, ...], Encoder]] = {}
        self._encoded_sequence = -1

    def put(self, picture: av.VideoFrame, facts: dict[str, Any]) -> None:
        self.newest = _Published(self._sequence, picture, facts, time.perf_counter())
        self._sequence += 1

    @property
    def has_work(self) -> bool:
        return self.newest is not None and (self.wants_key or self.newest.sequence > self._encoded_sequence)

    def take(self) -> tuple[_Published, bool]:
        """Return the newest picture, and True if a key frame is wanted."""
        assert self.newest is not None
        wants_key, self.wants_key = self.wants_key, False
        self._encoded_sequence = self.newest.sequence
        return self.newest, wants_key

    def encoded(self, published: _Published, codec: str, *, is_key: bool) -> Encoded:
        picture = to_encode(published.picture)
        payload, is_key = self._encoder(codec, picture)(picture, is_key=is_key)
        return Encoded(self._source, codec, is_key, packed(self._header(published, codec, is_key), payload))

    def _encoder(self, codec: str, picture: av.VideoFrame) -> Encoder:
        form, encoder = self._encoders.get(codec, (None, None))
        if encoder is None or form != form_of(picture):
            encoder = ENCODERS[codec](picture)
            self._encoders[codec] = form_of(picture), encoder
        return encoder

    def _header(self, published: _Published, codec: str, is_key: bool) -> dict[str, Any]:
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
        self._channels: dict[int, _Channel] = {}
        self._codecs: frozenset[str] = frozenset()
        self._is_closed = False

    def put(self, source: int, picture: av.VideoFrame, facts: dict[str, Any]) -> None:
        """Take the newest picture of the source with this number, and its facts for the header."""
        with self._changed:
            self._channels.setdefault(source, _Channel(source)).put(picture, facts)
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

    def close(self) -> None:
        """Make `run` return."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def run(self) -> None:
        """Encode until it is closed."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closed or self._has_work())
                if self._is_closed:
                    return
                codecs = self._codecs
                taken = [(channel, *channel.take()) for channel in self._channels.values() if channel.has_work]
            for channel, published, is_key in taken:
                for codec in sorted(codecs):
                    self._deliver(channel.encoded(published, codec, is_key=is_key))

    def _has_work(self) -> bool:
        return bool(self._codecs) and any(channel.has_work for channel in self._channels.values())

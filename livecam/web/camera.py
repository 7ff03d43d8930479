"""The camera of a page as a source."""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import chain, islice

import av

from livecam.picture.frame import Frame
from livecam.picture.media import Media, media_of
from livecam.sources.base import OnPacket, Source
from livecam.sources.conditioning import Conditioner, conditioned
from livecam.sources.signal import LossNotes, Signal
from livecam.web.decoding import Decoder
from livecam.web.messages import FrameHeader

_TIME_BASE = Fraction(1, 90_000)
_STALL_SECONDS = 3.0
"""The time without a frame after which the signal is lost."""
_MOST_WAITING, _MOST_WAITING_BYTES = 20, 8_000_000
"""How much may wait to be decoded. What comes then is too much, up to the next key frame."""
_REMEMBERED = 512
"""So many frames may be on their way between the decoder and a page."""
_KEY_INTERVAL_SECONDS = 0.5
_POLL_SECONDS = 0.1
_MOST_ACCOUNTS = 100


@dataclasses.dataclass(frozen=True, slots=True)
class Arrived:
    """A frame of a page, as it arrived. Those with the same `stretch` followed each other without a loss."""

    header: FrameHeader
    payload: memoryview
    seconds: float
    stretch: int


@dataclasses.dataclass
class _Account:
    """What is known of the frames that one page has captured."""

    received: int = 0
    dropped: int = 0
    lost: int = 0

    @property
    def missing(self) -> int:
        return self.dropped + self.lost


class BrowserCamera(Source):
    """Yields what the camera of a page sends, from page to page and from connection to connection.

    It is there at once, with the facts of a black picture, and has those of the first picture as soon as that has come.
    The pictures carry the times of their arrival. It ends only when it is stopped. `account`, `join`, `put` and `leave`
    are for the server's thread, all else for the thread that reads.

    Args:
        want_key: Called when the next frame has to be a key frame. Thread-safe.
    """

    is_live = True
    name = "browser:"
    media = Media(width=640, height=360, pixel_format="yuv420p", time_base=_TIME_BASE)

    def __init__(self, want_key: Callable[[], None] = lambda: None) -> None:
        self.signal = Signal()
        self.signal.lose("no page sends its camera yet")
        self._loss_notes = LossNotes("the page's camera")
        self._want_key = want_key
        self._wanted_key_seconds = 0.0
        self._changed = threading.Condition()
        self._waiting: deque[Arrived] = deque()
        self._stretch = 0
        self._arrived_seconds = 0.0
        self._is_loss_told = self._is_stopped = False
        self._decoder: Decoder | None = None
        self._decoded_stretch = -1, ""
        self._page = ""
        self._accounts: dict[str, _Account] = {}  # by page
        self._missing_before = 0  # of pages whose accounts are closed
        self._dropped_here: Counter[str] = Counter()
        self._begin_seconds: float | None = None
        self._last_pts = -1
        self._origins: dict[int, FrameHeader] = {}

    @property
    def dropped(self) -> Counter[str]:
        """How many of the frames that pages captured were not, and will not be, among `frames`, by place.

        "browser": dropped by the page, or lost with a broken connection; "loading": came before the first of `frames`
        was taken; "decode": could not be decoded, at all or in time.
        """
        with self._changed:
            in_browser = self._missing_before + sum(account.missing for account in self._accounts.values())
            return +(self._dropped_here + Counter(browser=in_browser))

    def origin(self, frame: Frame) -> dict[str, float | None]:
        """Return the number and the time that the page gave to a recent frame of this source."""
        header = self._origins.get(-1 if frame.picture.pts is None else frame.picture.pts)
        return {
            "camera_sequence": header.sequence if header else None,
            "captured_ms": header.captured_ms if header else None,
        }

    def account(self, page: str, captured: int, dropped: int) -> None:
        """Account for the frames that a page has captured so far, each of which it has sent or dropped."""
        with self._changed:
            account = self._accounts[page] = self._accounts.pop(page, _Account())
            account.dropped = max(account.dropped, dropped)
            account.lost = max(captured - account.dropped - account.received, account.lost)
            while len(self._accounts) > _MOST_ACCOUNTS:
                oldest = next(iter(self._accounts))
                self._missing_before += self._accounts.pop(oldest).missing

    def join(self, page: str) -> None:
        """Let a page send from now on, which is accounted for."""
        with self._changed:
            self._page = page
            self._stretch += 1

    def put(self, header: FrameHeader, payload: memoryview) -> None:
        """Take a frame of the page that has joined."""
        with self._changed:
            account = self._accounts.setdefault(self._page, _Account())
            account.received += 1
            account.dropped = max(account.dropped, header.dropped)
            self._arrived_seconds = time.perf_counter()
            self._waiting.append(Arrived(header, payload, self._arrived_seconds, self._stretch))
            if self._is_too_much():
                self._dropped_here["decode"] += len(self._waiting)
                self._waiting.clear()
                self._stretch += 1
            self._changed.notify_all()

    def leave(self) -> None:
        """The page sends no more."""
        with self._changed:
            if self._begin_seconds is not None and not self._is_stopped:
                self.signal.lose("no page sends its camera")

    def idle(self, until: threading.Event, on_frame: Callable[[Frame], None]) -> None:
        while not (until.is_set() or self._is_stopped):
            picture = self._next_picture(_POLL_SECONDS)
            if picture is not None:
                self._drop("loading")
                on_frame(Frame(picture=picture))

    def frames(self, on_packet: OnPacket) -> Iterator[Frame]:
        pictures = iter(self._next_picture, None)
        try:
            first = list(islice(pictures, 1))  # from then on the media are known
            conditioner = Conditioner(self.name, self.media)
            for index, picture in enumerate(conditioner.pictures(chain(first, pictures))):
                assert self._begin_seconds is not None and picture.time is not None  # it was stamped
                yield Frame(picture=picture, index=index, captured_seconds=self._begin_seconds + picture.time)
        finally:
            self.signal.stop()

    def stop(self) -> None:
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    def close(self) -> None:
        pass

    def _next_picture(self, patience_seconds: float = math.inf) -> av.VideoFrame | None:
        """Wait for the next picture that can be decoded; None if none came in time, or the source is stopped."""
        while (arrived := self._next_arrived(patience_seconds)) is not None:
            picture = self._decoder_for(arrived)(arrived.header, arrived.payload)
            if picture is not None:
                self._found(picture, arrived.seconds)
                return self._stamped(picture, arrived)
            self._drop("decode")
            self._ask_for_key()
        return None

    def _next_arrived(self, patience_seconds: float) -> Arrived | None:
        with self._changed:
            deadline_seconds = time.perf_counter() + patience_seconds
            while not (self._waiting or self._is_stopped):
                now_seconds = time.perf_counter()
                if now_seconds > deadline_seconds:
                    return None
                if now_seconds > self._arrived_seconds + _STALL_SECONDS:
                    self._tell_loss()
                self._changed.wait(_POLL_SECONDS)
            return None if self._is_stopped else self._waiting.popleft()

    def _decoder_for(self, arrived: Arrived) -> Decoder:
        stretch = arrived.stretch, arrived.header.codec
        if self._decoder is None or stretch != self._decoded_stretch:
            self._decoder, self._decoded_stretch = Decoder(arrived.header.codec), stretch
        return self._decoder

    def _stamped(self, picture: av.VideoFrame, arrived: Arrived) -> av.VideoFrame:
        """Give a picture the time of its arrival, later for each."""
        assert self._begin_seconds is not None  # it was found
        self._last_pts = max(int((arrived.seconds - self._begin_seconds) / _TIME_BASE), self._last_pts + 1)
        picture.pts, picture.time_base, picture.duration = self._last_pts, _TIME_BASE, 0
        if len(self._origins) >= _REMEMBERED:
            del self._origins[next(iter(self._origins))]
        self._origins[self._last_pts] = arrived.header
        return picture

    def _is_too_much(self) -> bool:
        waiting_bytes = sum(len(arrived.payload) for arrived in self._waiting)
        return len(self._waiting) > _MOST_WAITING or waiting_bytes > _MOST_WAITING_BYTES

    def _drop(self, place: str) -> None:
        with self._changed:
            self._dropped_here[place] += 1

    def _ask_for_key(self) -> None:
        now_seconds = time.perf_counter()
        if now_seconds > self._wanted_key_seconds + _KEY_INTERVAL_SECONDS:
            self._wanted_key_seconds = now_seconds
            self._want_key()

    def _tell_loss(self) -> None:
        """Tell that no frames come any more; for a while that is nothing, as when a page is loaded again."""
        if self._begin_seconds is not None:  # before, it was not there yet
            problem = self.signal.problem or f"no picture for {_STALL_SECONDS:g} s"
            self.signal.lose(problem)
            self._loss_notes.lost(problem)
            self._is_loss_told = True

    def _found(self, picture: av.VideoFrame, now_seconds: float) -> None:
        if self._begin_seconds is None:
            self._begin_seconds = now_seconds
            self.media = conditioned(media_of(picture, time_base=_TIME_BASE))
        else:
            self._loss_notes.came(self.signal.lost_seconds() if self._is_loss_told else None)
            self._is_loss_told = False
        self.signal.came(now_seconds)

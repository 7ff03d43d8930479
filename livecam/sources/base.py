"""What every source is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

import av

from livecam.frame import Frame
from livecam.media import Media
from livecam.sources.signal import Signal

OnPacket = Callable[[av.Packet], None]


class Source(ABC):
    """Gives frames, once, in the order in which they are shown.

    Opening happens in the constructor, which raises InputError and decodes the first frame, so that what cannot be read
    is found before a model is loaded. `unreadable`, `unreadable_files` and `damaged` are as in the ledger, and final
    once the frames are exhausted. `close` is called once, by the thread that opened, after the frames have ended.

    `name` is what the source is called on screen and in reports, without credentials. The frames of one that `is_live`
    come on a schedule of their own, whether or not anyone takes them; `signal` tells whether they do.
    """

    media: Media
    name: str = ""
    is_live: bool = False
    signal: Signal = Signal()
    """That of a source that cannot lose it."""
    unreadable: int = 0
    unreadable_files: Sequence[str] = ()
    damaged: int = 0

    @property
    def facts(self) -> str:
        """What comes, in a few words: 1280x720, 30 fps."""
        size = f"{self.media.width}x{self.media.height}"
        return f"{size}, {float(self.media.rate):.4g} fps" if self.media.rate else size

    @abstractmethod
    def frames(self, on_packet: OnPacket) -> Iterator[Frame]:
        """The frames. Packets of `media.copied_streams` go to `on_packet` as they come by. May raise InputError."""

    def stop(self) -> None:  # noqa: B027 - most never wait
        """Make `frames` end instead of waiting for what is to come; for any thread."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the file or device."""

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

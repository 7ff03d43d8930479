"""What every source is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

import av

from livecam.frame import Frame
from livecam.media import Media

OnPacket = Callable[[av.Packet], None]


class Source(ABC):
    """Gives frames, once, in the order in which they are shown.

    Opening happens in the constructor, which raises InputError and decodes the first frame, so that what cannot be read
    is found before a model is loaded. `unreadable`, `unreadable_files` and `damaged` are as in the ledger, and final
    once the frames are exhausted. `close` is called once, by the thread that opened, after the frames have ended.
    """

    media: Media
    unreadable: int = 0
    unreadable_files: Sequence[str] = ()
    damaged: int = 0

    @abstractmethod
    def frames(self, on_packet: OnPacket) -> Iterator[Frame]:
        """The frames. Packets of `media.copied_streams` go to `on_packet` as they come by. May raise InputError."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the file or device."""

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

"""Which pictures of a stream are damaged by what was lost on the way."""

from __future__ import annotations

from typing import cast

import av


class Damage:
    """Tells of each picture if a loss has damaged it: those from a loss on to the next whole key frame.

    A decoder paints over what is missing and says so at most of that one picture, although all pictures that are
    predicted from it are as wrong. `losses` counts the packets that were damaged or could not be decoded.
    """

    def __init__(self, decoder: av.VideoCodecContext) -> None:
        decoder.copy_opaque = True  # each picture then has what its packet was given
        self.losses = 0
        self._was_corrupt = False
        self._losses_before = 0
        self._is_damaged = False

    def take(self, packet: av.Packet) -> None:
        """Look at a packet before it is decoded."""
        self.losses += packet.is_corrupt
        # FFmpeg's parsers give back a packet only when the next one has come, whose flags it then gets.
        # It has to be a new object each time: PyAV forgets it with the first picture.
        packet.opaque = self.losses, packet.is_corrupt or self._was_corrupt
        self._was_corrupt = packet.is_corrupt

    def lose(self) -> None:
        """Count a packet that could not be decoded."""
        self.losses += 1

    def has(self, picture: av.VideoFrame) -> bool:
        """Return True if the next picture that was decoded is damaged."""
        losses, is_corrupt = cast(tuple[int, bool], picture.opaque or (self.losses, False))
        is_predicted_from_damage = self._is_damaged or losses > self._losses_before
        self._losses_before = losses
        self._is_damaged = picture.is_corrupt or is_corrupt or (is_predicted_from_damage and not picture.key_frame)
        return self._is_damaged

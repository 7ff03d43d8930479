"""Clips changed packet by packet, and what is in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import av

Change = Callable[[int, av.Packet], Iterable[av.Packet]]
"""What takes the place of a packet with a number."""


def packets_in(path: Path) -> Iterator[av.Packet]:
    """The packets of the picture."""
    with av.open(str(path)) as container:
        yield from (packet for packet in container.demux(video=0) if packet.size)


def unchanged(number: int, packet: av.Packet) -> list[av.Packet]:
    return [packet]


def remuxed(source: Path, target: Path, change: Change = unchanged, **options: str) -> Path:
    """A copy in which each packet of the picture, with its number, was replaced by others; other streams stay.

    `options` are those of the muxer.
    """
    options = {"avoid_negative_ts": "disabled", **options}
    with av.open(str(source)) as container, av.open(str(target), "w", container_options=options) as copy:
        streams = {each.index: copy.add_stream_from_template(each, opaque=True) for each in container.streams}
        number = 0
        for packet in container.demux():
            if not packet.size:
                continue
            is_picture = packet.stream.type == "video"
            for each in change(number, packet) if is_picture else [packet]:
                each.stream = streams[packet.stream_index]
                copy.mux(each)
            number += is_picture
    return target


def without(*numbers: int) -> Change:
    """Leaves out packets."""
    return lambda number, packet: [] if number in numbers else [packet]


def overwritten(*numbers: int) -> Change:
    """Overwrites the second half of packets with zeros."""

    def change(number: int, packet: av.Packet) -> list[av.Packet]:
        if number in numbers:
            half = packet.size // 2
            packet.update(bytes(packet)[:half] + bytes(packet.size - half))
        return [packet]

    return change


def packet_of(data: bytes, like: av.Packet, *, ticks_earlier: int = 0) -> av.Packet:
    """A packet of other data, at the time of one of the same stream or some ticks before it."""
    packet = av.Packet(data)
    packet.pts = packet.dts = like.dts - ticks_earlier
    packet.time_base, packet.stream, packet.is_keyframe = like.time_base, like.stream, like.is_keyframe
    return packet

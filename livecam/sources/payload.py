"""Finds packets that hold no picture of their own: a decoder that gives no picture for them has lost nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import av

_H264_HEADERS = {6, 7, 8, 9, 10, 11, 12, 13, 15}
_HEVC_HEADERS = set(range(32, 41))
_LONGEST_EMPTY_VOP = 19  # bytes; FFmpeg's own limit


def holds_picture(packet: av.Packet, context: av.CodecContext) -> bool:
    """Return False if a packet is recognised as headers alone, as a hidden picture or as a repeated one."""
    recognise = _RECOGNISED.get(context.codec.canonical_name)
    return recognise is None or not recognise(bytes(packet), context.extradata or b"")


def _is_h264_header(data: bytes, extradata: bytes) -> bool:
    length_size = (extradata[4] & 3) + 1 if extradata[:1] == b"\1" else 0
    return all(unit & 31 in _H264_HEADERS for unit in _first_bytes_of_units(data, length_size))


def _is_hevc_header(data: bytes, extradata: bytes) -> bool:
    length_size = (extradata[21] & 3) + 1 if extradata[:1] == b"\1" else 0
    return all(unit >> 1 & 63 in _HEVC_HEADERS for unit in _first_bytes_of_units(data, length_size))


def _first_bytes_of_units(data: bytes, length_size: int) -> Iterator[int]:
    """Yield the first byte of each NAL unit, which are separated by start codes or have their length in front."""
    if not length_size:
        yield from (unit[0] for unit in data.split(b"\0\0\1")[1:] if unit)
        return
    place = 0
    while place + length_size < len(data):
        yield data[place + length_size]
        place += length_size + int.from_bytes(data[place : place + length_size])


def _is_mpeg_header(data: bytes, extradata: bytes) -> bool:
    return b"\0\0\1\0" not in data


def _is_empty_vop(data: bytes, extradata: bytes) -> bool:
    begin = data.find(b"\0\0\1\xb6")
    return begin < 0 or len(data) - begin <= _LONGEST_EMPTY_VOP


def _is_hidden_vp8(data: bytes, extradata: bytes) -> bool:
    return not data[0] & 0x10


_RECOGNISED: dict[str, Callable[[bytes, bytes], bool]] = {
    "h264": _is_h264_header,
    "hevc": _is_hevc_header,
    "mpeg1video": _is_mpeg_header,
    "mpeg2video": _is_mpeg_header,
    "mpeg4": _is_empty_vop,
    "vp8": _is_hidden_vp8,
}

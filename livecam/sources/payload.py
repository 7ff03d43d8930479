"""Finds packets that hold no picture of their own: a decoder that gives no picture for them has lost nothing."""

from __future__ import annotations

from collections.abc import Callable

import av

_H264_HEADERS = {6, 7, 8, 9, 10, 11, 12, 13, 15}
_HEVC_HEADERS = set(range(32, 41))
_MPEG_HEADERS = {0xB2, 0xB3, 0xB5, 0xB7, 0xB8}
_MPEG4_HEADERS = {*range(0x30), 0xB0, 0xB1, 0xB2, 0xB3, 0xB5}
_LONGEST_EMPTY_VOP = 19  # bytes; FFmpeg's own limit


def holds_picture(packet: av.Packet, context: av.CodecContext) -> bool:
    """Return False if a packet is recognised as headers alone, as a hidden picture or as a repeated one."""
    recognise = _RECOGNISED.get(context.codec.canonical_name)
    return recognise is None or not recognise(bytes(packet), context.extradata or b"")


def _is_h264_header(data: bytes, extradata: bytes) -> bool:
    length_size = (extradata[4] & 3) + 1 if extradata[:1] == b"\1" else 0
    return {unit & 31 for unit in _first_bytes_of_units(data, length_size) or [0]} <= _H264_HEADERS


def _is_hevc_header(data: bytes, extradata: bytes) -> bool:
    length_size = (extradata[21] & 3) + 1 if extradata[:1] == b"\1" else 0
    return {unit >> 1 & 63 for unit in _first_bytes_of_units(data, length_size) or [0]} <= _HEVC_HEADERS


def _is_mpeg_header(data: bytes, extradata: bytes) -> bool:
    return set(_first_bytes_of_units(data) or [0]) <= _MPEG_HEADERS


def _is_empty_vop(data: bytes, extradata: bytes) -> bool:
    units = _first_bytes_of_units(data)
    is_short = len(data) - data.find(b"\0\0\1\xb6") <= _LONGEST_EMPTY_VOP
    return bool(units) and set(units) <= _MPEG4_HEADERS | ({0xB6} if is_short else set())


def _first_bytes_of_units(data: bytes, length_size: int = 0) -> list[int]:
    """Return the first byte of each unit, which are separated by start codes or have their length in front.

    It is empty if the data are damaged.
    """
    if not length_size:
        return [unit[0] for unit in data.split(b"\0\0\1")[1:] if unit]
    units, place = [], 0
    while place + length_size < len(data):
        units.append(data[place + length_size])
        place += length_size + int.from_bytes(data[place : place + length_size])
    return units if place == len(data) else []


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

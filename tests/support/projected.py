"""Boxes of an MP4 that say how its pictures are to be shown: around the viewer, or one half to each eye."""

from __future__ import annotations

import struct
from pathlib import Path

_TO_THE_SAMPLE_ENTRY = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")


def box(kind: bytes, *content: bytes) -> bytes:
    payload = b"".join(content)
    return struct.pack(">I4s", 8 + len(payload), kind) + payload


def sphere(projection: bytes, *, yaw_degrees: int = 0) -> bytes:
    """All of a sphere, turned; `projection` is one of `EQUIRECTANGULAR` and `CUBEMAP`."""
    head = box(b"prhd", struct.pack(">Iiii", 0, yaw_degrees << 16, 0, 0))
    return box(b"sv3d", box(b"svhd", bytes(4), b"test\0"), box(b"proj", head, projection))


EQUIRECTANGULAR = box(b"equi", bytes(20))
CUBEMAP = box(b"cbmp", bytes(12))
TOP_AND_BOTTOM = box(b"st3d", bytes(4), b"\1")
SIDE_BY_SIDE = box(b"st3d", bytes(4), b"\2")


def insert_into_sample_entry(path: Path, boxes: bytes) -> None:
    """Add boxes to the description of an MP4's first track; its index has to lie behind the pictures."""
    content = bytearray(path.read_bytes())
    begin, end, sizes = 0, len(content), []
    for kind in _TO_THE_SAMPLE_ENTRY:
        begin = _find(content, kind, begin, end)
        sizes.append(begin)
        end = begin + _size_at(content, begin)
        begin += 8
    entry = begin + 8  # behind version, flags and the number of entries
    for place in (*sizes, entry):
        struct.pack_into(">I", content, place, _size_at(content, place) + len(boxes))
    end = entry + _size_at(content, entry) - len(boxes)
    content[end:end] = boxes
    path.write_bytes(content)


def _find(content: bytearray, kind: bytes, begin: int, end: int) -> int:
    while content[begin + 4 : begin + 8] != kind:
        begin += _size_at(content, begin)
        assert begin < end, f"no box {kind!r}"
    return begin


def _size_at(content: bytearray, place: int) -> int:
    return int.from_bytes(content[place : place + 4], "big")

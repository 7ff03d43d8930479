"""What a stream says of its pictures that PyAV does not pass on: where chroma is sampled, 360 degrees, stereo 3D.

FFmpeg's Matroska muxer writes all of it into the header of a file, and the demuxer reads it from there.
"""

from __future__ import annotations

import io
import re
import struct
from typing import Any

import av
from av.bitstream import BitStreamFilterContext

_CHROMA_LOCATIONS = {(1, 2): 1, (2, 2): 2, (1, 1): 3, (2, 1): 4, (1, 3): 5, (2, 3): 6}
"""FFmpeg's AVChromaLocation by Matroska's ChromaSitingHorz and ChromaSitingVert."""
_STEREO_MODES = {
    1: ("left_right", "right_left"),
    2: ("top_bottom", "bottom_top"),
    4: ("checkerboard_lr", "checkerboard_rl"),
    6: ("row_interleaved_lr", "row_interleaved_rl"),
    7: ("col_interleaved_lr", "col_interleaved_rl"),
}
"""Matroska's names by FFmpeg's AVStereo3DType, with the left eye and with the right eye first."""
_RIGHT_FIRST = 1
_CHROMA_SITING = re.compile(rb"\x55\xb7\x81(.)\x55\xb8\x81(.)", re.DOTALL)
_CODEC_ID = re.compile(rb"(\x86.V_).", re.DOTALL)
_COLOUR, _UNKNOWN_ELEMENT = b"\x55\xb0", b"\x55\xaf"
_EMPTY_CLUSTER = b"\x1f\x43\xb6\x75\x83\xe7\x81\x00"


def header_of(stream: av.VideoStream, picture: av.VideoFrame) -> bytes:
    """Return the Matroska header that FFmpeg writes for a stream; empty if Matroska cannot hold its codec.

    `picture` is one of its decoded pictures: H.264 and HEVC may tell stereo 3D only there.
    """
    file = io.BytesIO()
    try:
        with av.open(file, "w", format="matroska", container_options={"live": "1", "write_crc32": "0"}) as container:
            copy = container.add_stream_from_template(stream, opaque=True)
            copy.metadata.update(_stereo_mode(picture))
            container.start_encoding()
            return file.getvalue()
    except (av.FFmpegError, ValueError):
        return b""


def _stereo_mode(picture: av.VideoFrame) -> dict[str, str]:
    """Return the tag from which Matroska's muxer learns how a picture holds those for both eyes."""
    data: Any = picture.side_data.get("STEREO3D")
    kind, flags = struct.unpack_from("=2I", bytes(data)) if data is not None else (0, 0)
    return {"stereo_mode": _STEREO_MODES[kind][flags & _RIGHT_FIRST]} if kind in _STEREO_MODES else {}


def chroma_location_in(header: bytes) -> int:
    """Return FFmpeg's AVChromaLocation of a stream by its header; 0 is unspecified."""
    siting = _CHROMA_SITING.search(header)
    return _CHROMA_LOCATIONS.get((siting[1][0], siting[2][0]), 0) if siting else 0


def is_projected(picture: av.VideoFrame) -> bool:
    """Return True if a decoded picture covers a sphere or shows a scene for both eyes."""
    return any(kind in picture.side_data for kind in ("SPHERICAL", "STEREO3D"))


def project(stream: av.VideoStream, header: bytes) -> None:
    """Give a new stream, before its encoder is set up, the spherical mapping and the stereo mode of another's header.

    Luminances of an HDR display are in the header too, but they would not be true of 8-bit pictures.
    """
    # Without a known codec, or the encoder would refuse to be opened for another one.
    facts = _CODEC_ID.sub(rb"\1-", header, count=1).replace(_COLOUR, _UNKNOWN_ELEMENT) + _EMPTY_CLUSTER
    with av.open(io.BytesIO(facts), format="matroska") as container:
        BitStreamFilterContext("null", container.streams[0], stream)

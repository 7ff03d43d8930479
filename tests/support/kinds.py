"""The containers and codecs of videos that FFmpeg writes here."""

from __future__ import annotations

from typing import Any

import pytest

KINDS = [
    ("clip.mp4", "libx264", 2),
    ("clip.mp4", "libx265", 2),
    ("clip.mp4", "mpeg4", 2),
    ("clip.mov", "mjpeg", 0),
    ("clip.mov", "prores_ks", 0),
    ("clip.mkv", "libx264", 3),
    ("clip.mkv", "libx265", 3),
    ("clip.mkv", "libvpx", 0),
    ("clip.mkv", "ffv1", 0),
    ("clip.mkv", "mpeg2video", 2),
    ("clip.webm", "libvpx-vp9", 0),
    ("clip.webm", "libsvtav1", 0),
    ("clip.avi", "mpeg4", 2),
    ("clip.avi", "libx264", 2),
    ("clip.avi", "ffv1", 0),
    ("clip.avi", "mjpeg", 0),
    ("clip.ts", "libx264", 2),
    ("clip.ts", "libx265", 2),
    ("clip.ts", "mpeg2video", 2),
    ("clip.ts", "mpeg4", 2),
    ("clip.mpg", "mpeg2video", 2),
    ("clip.vob", "mpeg1video", 2),
    ("clip.flv", "libx264", 2),
    ("clip.flv", "flv", 0),
    ("clip.wmv", "wmv2", 0),
    ("clip.asf", "msmpeg4v3", 0),
    ("clip.mxf", "mpeg2video", 2),
    ("clip.h264", "libx264", 2),
    ("clip.hevc", "libx265", 2),
    ("clip.m2v", "mpeg2video", 2),
]
"""A container, an encoder, and how many B-frames it uses in a row."""
FORMATS = {"prores_ks": "yuv422p10le", "mjpeg": "yuvj420p"}

every_kind = pytest.mark.parametrize("kind", KINDS, indirect=True, ids=lambda kind: " ".join(map(str, kind)))


def facts_of_kind(name: str, codec: str, b_frames: int) -> dict[str, Any]:
    """What to tell `clip` to make one of this kind."""
    facts: dict[str, Any] = {"name": name, "codec": codec, "b_frames": b_frames}
    if codec in FORMATS:
        facts["pixel_format"] = FORMATS[codec]
    if name.endswith(".mxf"):
        facts["size"] = (720, 576)
    if name.endswith(".flv"):
        facts["pts"] = range(10, 110)  # it holds no times before 0
    return facts

"""Clips of many containers and codecs, and the ways in which files get damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.support.clips import make_clip

PAIRS = {
    "h264.mp4": ("libx264", "yuv420p", "aac"),
    "hevc.mp4": ("libx265", "yuv420p", "aac"),
    "prores.mov": ("prores_ks", "yuv422p10le", "pcm_s16le"),
    "h264.mkv": ("libx264", "yuv420p", "libopus"),
    "ffv1.mkv": ("ffv1", "yuv420p", "flac"),
    "vp9.webm": ("libvpx-vp9", "yuv420p", "libopus"),
    "mpeg4.avi": ("mpeg4", "yuv420p", "libmp3lame"),
    "mjpeg.avi": ("mjpeg", "yuvj420p", "pcm_s16le"),
    "h264.ts": ("libx264", "yuv420p", "mp2"),
    "mpeg2.mpg": ("mpeg2video", "yuv420p", "mp2"),
    "flv1.flv": ("flv1", "yuv420p", "libmp3lame"),
    "mpeg2.mxf": ("mpeg2video", "yuv420p", "pcm_s16le"),
}
"""Encoder of the picture, pixel format and encoder of the sound, by the name of the file."""


def make_pair(folder: Path, name: str, frames: int = 30) -> Path:
    """Write a clip of one of `PAIRS`."""
    codec, pixel_format, audio = PAIRS[name]
    path = folder / name
    return make_clip(path, codec=codec, pixel_format=pixel_format, audio=[audio], frames=frames, size=(96, 64))


def mutated(content: bytes, random: Random) -> bytes:
    """Return a file's bytes with damage of a random kind in a random place."""
    return random.choice(_MUTATIONS)(bytearray(content), random)


def _flip_bits(content: bytearray, random: Random) -> bytes:
    for _ in range(random.randint(1, 60)):
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    return bytes(content)


def _change_head(content: bytearray, random: Random) -> bytes:
    for _ in range(random.randint(1, 6)):
        content[random.randrange(min(len(content), 1500))] = random.choice((0, 1, 127, 128, 255))
    return bytes(content)


def _change_tail(content: bytearray, random: Random) -> bytes:
    for _ in range(random.randint(1, 12)):
        content[-random.randint(1, min(len(content), 1500))] = random.randrange(256)
    return bytes(content)


def _overwrite(content: bytearray, random: Random) -> bytes:
    begin, end = _span(content, random)
    content[begin:end] = random.randbytes(end - begin)
    return bytes(content)


def _blank(content: bytearray, random: Random) -> bytes:
    begin, end = _span(content, random)
    content[begin:end] = bytes(end - begin)
    return bytes(content)


def _cut_out(content: bytearray, random: Random) -> bytes:
    begin, end = _span(content, random)
    del content[begin:end]
    return bytes(content)


def _double(content: bytearray, random: Random) -> bytes:
    begin, end = _span(content, random)
    content[end:end] = content[begin:end]
    return bytes(content)


def _truncate(content: bytearray, random: Random) -> bytes:
    return bytes(content[: random.randint(len(content) // 20, len(content) - 1)])


def _behead(content: bytearray, random: Random) -> bytes:
    return bytes(content[random.randint(1, len(content) // 2) :])


def _append_itself(content: bytearray, random: Random) -> bytes:
    return bytes(content + content[random.randrange(len(content)) :])


def _span(content: bytearray, random: Random) -> tuple[int, int]:
    """Return the (begin, end) of up to a fifth of the content."""
    begin = random.randrange(len(content))
    return begin, min(begin + random.randint(1, len(content) // 5), len(content))


_MUTATIONS: tuple[Callable[[bytearray, Random], bytes], ...] = (
    *(_flip_bits, _change_head, _change_tail, _overwrite, _blank),
    *(_cut_out, _double, _truncate, _behead, _append_itself),
)

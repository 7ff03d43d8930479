"""Packets without a picture of their own are no losses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import pytest

from livecam.sources.video import VideoSource
from tests.support.fields import field_pairs
from tests.support.packets import Change, packet_of, packets_in, remuxed
from tests.support.reading import number_of

Clip = Callable[..., Path]


def with_data_between(data: Callable[[bytes], bytes]) -> Change:
    """Puts a packet before the sixth: data made of that one's, a few ticks earlier."""

    def change(number: int, packet: av.Packet) -> list[av.Packet]:
        return [packet_of(data(bytes(packet)), packet, ticks_earlier=3), packet] if number == 5 else [packet]

    return change


@pytest.mark.parametrize(
    ("codec", "data"),
    [
        ("libx264", lambda data: b"\0\0\0\2\x09\x10"),  # an access unit delimiter
        ("libx265", lambda data: b"\0\0\0\3\x46\x01\x50"),
        ("mpeg2video", lambda data: b"\0\0\1\xb2A"),  # what a user wrote
        ("mpeg4", lambda data: b"\0\0\1\xb6\x50\x4f"),  # a picture that is not coded
        ("libvpx", lambda data: bytes([data[0] & ~0x10]) + data[1:]),  # a picture that is not shown
    ],
)
def test_a_packet_without_a_picture_is_no_loss(
    clip: Clip, tmp_path: Path, codec: str, data: Callable[[bytes], bytes]
) -> None:
    path = remuxed(clip("sound.mkv", codec=codec, frames=12), tmp_path / "clip.mkv", with_data_between(data))
    assert sum(1 for _ in packets_in(path)) == 13
    with VideoSource(str(path)) as source:
        numbers = [number_of(frame) for frame in source.frames(lambda packet: None)]
    assert numbers == list(range(12))
    assert source.unreadable == 0


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg2video", "mpeg4"])
def test_a_packet_of_noise_is_a_loss(clip: Clip, tmp_path: Path, codec: str) -> None:
    noise = with_data_between(lambda data: bytes(range(7, 250)))
    path = remuxed(clip("sound.mkv", codec=codec, frames=12), tmp_path / "clip.mkv", noise)
    with VideoSource(str(path)) as source:
        frames = list(source.frames(lambda packet: None))
    assert len(frames) + source.unreadable == 13


def test_two_fields_are_one_picture(tmp_path: Path) -> None:
    path = field_pairs(tmp_path / "clip.h264", pictures=20)
    assert sum(1 for _ in packets_in(path)) == 40
    with VideoSource(str(path)) as source:
        assert len(list(source.frames(lambda packet: None))) == 20
    assert source.unreadable == 0


def test_two_pictures_packed_into_one_packet(clip: Clip, tmp_path: Path) -> None:
    """As DivX wrote them: a packet holds the next reference and the picture before it, the next packet none."""
    kept: list[bytes] = []

    def packed(number: int, packet: av.Packet) -> list[av.Packet]:
        data = bytes(packet)
        if number == 0:
            begin = data.index(b"\0\0\1\xb6")
            return [packet_of(data[:begin] + b"\0\0\1\xb2DivX503b1393p" + data[begin:], packet)]
        if number % 2:
            kept.append(data)
            return []
        both = packet_of(kept.pop() + data, packet, ticks_earlier=1)
        return [both, packet_of(b"\0\0\1\xb6\x50\x4f", packet)]

    plain = clip("plain.avi", codec="mpeg4", b_frames=1, frames=13, key_every=100)
    path = remuxed(plain, tmp_path / "clip.avi", packed)
    with VideoSource(str(path)) as source:
        frames = list(source.frames(lambda packet: None))
    assert [number_of(frame) for frame in frames] == list(range(13))
    assert [frame.pts_seconds for frame in frames] == pytest.approx([n / 25 for n in range(13)])
    assert source.unreadable == 0

"""What is lost on the way: every picture that is not as it was sent is told."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from livecam.picture.frame import Frame
from livecam.sources import open_source
from livecam.sources.connection import Connection, NoSignal
from livecam.sources.reconnecting import ReconnectingSource
from tests.support.clips import numbered_picture
from tests.support.reading import ignore
from tests.support.streams import QUICK

KEY_INTERVAL = 12
DATAGRAM_BYTES = 7 * 188
ENCODERS = {
    "libx264": {"preset": "ultrafast", "tune": "zerolatency"},
    "libx265": {"preset": "ultrafast", "tune": "zerolatency", "x265-params": "log-level=none"},
    "mpeg2video": {},
}


def sent(path: Path, codec: str, count: int = 72) -> bytes:
    """Pictures that move and are rich in detail, so that each takes several datagrams, as MPEG-TS."""
    noise = np.random.default_rng(1).integers(0, 64, (180, 320, 3), np.uint8)
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=25)
        video.width, video.height, video.pix_fmt = 320, 180, "yuv420p"
        video.codec_context.gop_size, video.codec_context.bit_rate = KEY_INTERVAL, 1_000_000
        video.codec_context.options = ENCODERS[codec]
        for number in range(count):
            picture = numbered_picture(number, 320, 180) // 2 + np.roll(noise, 2 * number, axis=1)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
    return path.read_bytes()


def with_losses(data: bytes, share: float) -> bytes:
    """Leave out datagrams at random, but none of the first pictures."""
    chance = random.Random(4)
    datagrams = [data[begin : begin + DATAGRAM_BYTES] for begin in range(0, len(data), DATAGRAM_BYTES)]
    return b"".join(one for number, one in enumerate(datagrams) if number < 20 or chance.random() >= share)


def frames_of(path: Path) -> Iterator[Frame]:
    """The frames until the stream ends, from the first key frame on."""

    def reconnect() -> Connection:
        source.stop()
        raise NoSignal("it is over")

    with ReconnectingSource("it", Connection(av.open(str(path))), reconnect, **QUICK) as source:
        yield from source.frames(ignore)


def luma(frame: Frame) -> np.ndarray:
    return frame.picture.to_ndarray(format="gray").astype(int)


@pytest.mark.parametrize("codec", ENCODERS)
def test_what_is_not_damaged_is_as_it_was_sent(codec: str, tmp_path: Path) -> None:
    path = tmp_path / "sent.ts"
    data = sent(path, codec)
    whole = list(frames_of(path))
    assert not any(frame.is_damaged for frame in whole)
    path.write_bytes(with_losses(data, 0.04))
    received = list(frames_of(path))
    damaged = [frame for frame in received if frame.is_damaged]
    assert 0 < len(damaged) < len(received)
    originals = [luma(frame) for frame in whole]
    for frame in received:
        if not frame.is_damaged:
            picture = luma(frame)
            assert any(np.array_equal(picture, original) for original in originals), frame.index


def test_in_a_file_what_is_predicted_from_a_damaged_picture_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    sent(path, "libx264")
    with av.open(str(path)) as container:
        packet = next(itertools.islice((each for each in container.demux(video=0)), 15, None))
    with path.open("r+b") as file:
        file.seek(packet.pos + packet.size // 2)
        file.write(bytes(packet.size // 2))
    with open_source(path) as source:
        assert len(list(source.frames(ignore))) == 72
    assert source.damaged == 2 * KEY_INTERVAL - 15

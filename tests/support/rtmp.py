"""A sender over RTMP, such as a streaming program: a picture and sound in FLV."""

from __future__ import annotations

import functools
import io
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction

import av

from tests.support.clips import numbered_picture, tone_packets
from tests.support.tcp import TcpServer

FPS = 25
SIZE = (160, 90)
_SECONDS = 10
_SET_CHUNK_SIZE, _COMMAND, _AUDIO, _VIDEO = 1, 20, 8, 9
_HANDSHAKE_BYTES, _CHUNK_BYTES = 1536, 128


@dataclass
class RtmpServer(TcpServer):
    """Sends ten seconds to every client, as time passes: sound from the beginning, pictures `picture_after_seconds`."""

    picture_after_seconds: float = 0.0
    has_video: bool = True
    has_tls: bool = False
    asked: list[str] = field(default_factory=list)

    def __enter__(self) -> RtmpServer:
        flv_tags(self.picture_after_seconds, self.has_video)
        super().__enter__()
        return self

    @property
    def url(self) -> str:
        return f"rtmp{'s' * self.has_tls}://127.0.0.1:{self.port}/live/cam"

    def serve(self, client: socket.socket) -> None:
        with client.makefile("rb") as received:
            received.read(1)
            client.sendall(b"\3" + bytes(_HANDSHAKE_BYTES) + received.read(_HANDSHAKE_BYTES))
            received.read(_HANDSHAKE_BYTES)
            client.sendall(message(_SET_CHUNK_SIZE, 0, struct.pack(">I", 1 << 24)))
            for kind, body in messages(received):
                if kind == _COMMAND:
                    self._answer(client, body)

    def _answer(self, client: socket.socket, body: bytes) -> None:
        length = struct.unpack(">H", body[1:3])[0]
        name, number = body[3 : 3 + length].decode(), body[3 + length : 12 + length]
        self.asked.append(name)
        if name == "connect":
            said = amf({"code": "NetConnection.Connect.Success", "level": "status"})
            client.sendall(message(_COMMAND, 0, amf("_result") + number + amf({}) + said))
        elif name == "createStream":
            client.sendall(message(_COMMAND, 0, amf("_result") + number + amf(None) + amf(1.0)))
        elif name == "play":
            said = amf({"code": "NetStream.Play.Start", "level": "status"})
            client.sendall(message(_COMMAND, 0, amf("onStatus") + amf(0.0) + amf(None) + said))
            threading.Thread(target=self._play, args=(client,), daemon=True).start()

    def _play(self, client: socket.socket) -> None:
        begin = time.monotonic()
        with suppress(OSError):
            for kind, milliseconds, body in flv_tags(self.picture_after_seconds, self.has_video):
                time.sleep(max(begin + milliseconds / 1000 - time.monotonic(), 0))
                client.sendall(message(kind, milliseconds, body))


def message(kind: int, milliseconds: int, body: bytes) -> bytes:
    """A message of RTMP, in one chunk."""
    return b"\4" + (milliseconds << 32 | len(body) << 8 | kind).to_bytes(7, "big") + struct.pack("<I", 1) + body


def messages(received: io.BufferedReader) -> Iterator[tuple[int, bytes]]:
    """The messages of a client, put together from its chunks."""
    streams: dict[int, tuple[int, int, bytes]] = {}
    while first := received.read(1):
        form, stream = first[0] >> 6, first[0] & 63
        header = received.read((11, 7, 3, 0)[form])
        size, kind, body = streams.get(stream, (0, 0, b""))
        if form < 2:
            size, kind = int.from_bytes(header[3:6], "big"), header[6]
        body += received.read(min(_CHUNK_BYTES, size - len(body)))
        if len(body) == size:
            yield kind, body
            body = b""
        streams[stream] = size, kind, body


def amf(value: str | float | dict[str, str] | None) -> bytes:
    """A value in the AMF0 format."""
    if value is None:
        return b"\5"
    if isinstance(value, float):
        return b"\0" + struct.pack(">d", value)
    if isinstance(value, str):
        return b"\2" + struct.pack(">H", len(value)) + value.encode()
    fields = b"".join(amf(name)[1:] + amf(text) for name, text in value.items())
    return b"\3" + fields + b"\0\0\t"


@functools.cache
def flv_tags(picture_after_seconds: float, has_video: bool) -> list[tuple[int, int, bytes]]:
    """Type, time and body of everything that is sent, in the order of time."""
    file = io.BytesIO()
    with av.open(file, "w", format="flv") as container:
        sound = container.add_stream("aac", rate=48000, layout="stereo")
        packets = tone_packets(sound, 440, _SECONDS)
        if has_video:
            video = container.add_stream("libx264", rate=FPS)
            video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
            video.codec_context.gop_size = 10
            video.codec_context.options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "10"}
            for number in range(_SECONDS * FPS):
                picture = av.VideoFrame.from_ndarray(numbered_picture(number, *SIZE), format="rgb24")
                picture.pts, picture.time_base = number, Fraction(1, FPS)
                packets += video.encode(picture)
        container.mux(sorted(packets, key=lambda packet: packet.dts * packet.time_base))
    begin_milliseconds = {_AUDIO: 0, _VIDEO: round(picture_after_seconds * 1000)}
    tags = [(kind, at, body) for kind, at, body in _tags(file.getvalue()) if kind in begin_milliseconds]
    return sorted(((kind, max(at, begin_milliseconds[kind]), body) for kind, at, body in tags), key=lambda tag: tag[1])


def _tags(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    place = 13
    while place < len(data):
        size, low, high = (
            int.from_bytes(data[place + 1 : place + 4], "big"),
            int.from_bytes(data[place + 4 : place + 7], "big"),
            data[place + 7],
        )
        yield data[place], high << 24 | low, data[place + 11 : place + 11 + size]
        place += 15 + size

"""A camera that speaks RTSP: numbered pictures in H.264, over its TCP connection or over UDP, at 25 a second."""

from __future__ import annotations

import functools
import itertools
import re
import socket
import struct
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction

import av

from tests.support.clips import numbered_picture
from tests.support.tcp import TcpServer

FPS = 25
SIZE = (160, 90)
_CLOCK_HZ = 90_000
_PAYLOAD_BYTES = 1200
_LOOP_PICTURES = 100


@dataclass
class RtspServer(TcpServer):
    """Serves every client from a thread of its own, from the first picture on.

    `has_udp` and `has_tcp` are the ways that it knows, `is_silent` makes it answer nothing, `sends_nothing` makes it
    answer and never play, `password` is what it asks for from now on, `key_interval` counts pictures, `joins_at` is the
    number of the first one sent, and after `pictures` of them it hangs up.
    """

    has_tcp: bool = True
    has_udp: bool = True
    is_silent: bool = False
    sends_nothing: bool = False
    password: str = ""
    key_interval: int = 10
    joins_at: int = 0
    pictures: int | None = None
    duration_seconds: float | None = None
    has_tls: bool = False
    asked: list[str] = field(default_factory=list)

    def __enter__(self) -> RtspServer:
        encoded(self.key_interval)
        super().__enter__()
        return self

    @property
    def url(self) -> str:
        return f"rtsp{'s' * self.has_tls}://127.0.0.1:{self.port}/cam"

    def serve(self, client: socket.socket) -> None:
        with client.makefile("rb") as requests:
            send = None
            while head := b"\n".join(iter(lambda: requests.readline().rstrip(), b"")).decode("latin-1"):
                if self.is_silent:
                    continue
                method = head.split(" ")[0]
                self.asked.append(method)
                status, fields, body = "200 OK", [re.search("CSeq: *[0-9]+", head)[0]], ""
                if self.password and f":{self.password}" not in head:
                    status = "401 Unauthorized"
                    fields.append('WWW-Authenticate: Basic realm="cam"')
                elif method == "DESCRIBE":
                    body = self._description()
                    fields.append("Content-Type: application/sdp")
                elif method == "SETUP":
                    transport = re.search(r"Transport: *(\S+)", head)[1]
                    send, answer = self._channel(client, transport)
                    if send is None:
                        status = "461 Unsupported Transport"
                    else:
                        fields += [f"Transport: {answer}", "Session: 1"]
                text = "\r\n".join([f"RTSP/1.0 {status}", *fields, f"Content-Length: {len(body)}", "", body])
                client.sendall(text.encode())
                if method == "PLAY" and status == "200 OK" and not self.sends_nothing:
                    threading.Thread(target=self._play, args=(client, send), daemon=True).start()

    def _channel(self, client: socket.socket, transport: str):
        if "TCP" in transport and self.has_tcp:

            def send(packet: bytes) -> None:
                client.sendall(struct.pack(">BBH", 0x24, 0, len(packet)) + packet)

            return send, "RTP/AVP/TCP;unicast;interleaved=0-1"
        if "TCP" not in transport and self.has_udp:
            port = int(re.search(r"client_port=(\d+)", transport)[1])
            out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            out.bind(("127.0.0.1", 0))
            own = out.getsockname()[1]
            address = ("127.0.0.1", port)
            return lambda packet: out.sendto(packet, address), (
                f"RTP/AVP;unicast;client_port={port}-{port + 1};server_port={own}-{own + 1}"
            )
        return None, ""

    def _description(self) -> str:
        parameters, _ = encoded(self.key_interval)
        sets = ",".join(b64encode(unit).decode() for unit in parameters)
        end = "" if self.duration_seconds is None else f"{self.duration_seconds:g}"
        return (
            f"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=cam\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\na=range:npt=0-{end}\r\n"
            "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
            f"a=fmtp:96 packetization-mode=1;sprop-parameter-sets={sets}\r\na=control:track1\r\n"
        )

    def _play(self, client: socket.socket, send) -> None:
        begin = time.monotonic()
        with suppress(OSError):
            for packets, number in self._numbered():
                for packet in packets:
                    send(packet)
                time.sleep(max(begin + (number + 1) / FPS - time.monotonic(), 0))
            client.shutdown(socket.SHUT_RDWR)

    def _numbered(self) -> Iterator[tuple[list[bytes], int]]:
        _, pictures = encoded(self.key_interval)
        sequence = itertools.count()
        for number in itertools.islice(itertools.count(), self.pictures):
            units = pictures[(self.joins_at + number) % len(pictures)]
            yield rtp_packets(units, (number + 1) * _CLOCK_HZ // FPS, sequence), number


def rtp_packets(units: list[bytes], timestamp: int, sequence: Iterator[int]) -> list[bytes]:
    """A picture's NAL units in RTP (RFC 6184): whole, or as fragments (FU-A)."""
    payloads: list[bytes] = []
    for unit in units:
        if len(unit) <= _PAYLOAD_BYTES:
            payloads.append(unit)
            continue
        body = unit[1:]
        for begin in range(0, len(body), _PAYLOAD_BYTES):
            is_first, is_last = begin == 0, begin + _PAYLOAD_BYTES >= len(body)
            header = bytes([unit[0] & 0x60 | 28, is_first << 7 | is_last << 6 | unit[0] & 0x1F])
            payloads.append(header + body[begin : begin + _PAYLOAD_BYTES])
    last = len(payloads) - 1
    return [
        struct.pack(">BBHII", 0x80, (place == last) << 7 | 96, next(sequence) & 0xFFFF, timestamp, 7) + payload
        for place, payload in enumerate(payloads)
    ]


@functools.cache
def encoded(key_interval: int) -> tuple[list[bytes], list[list[bytes]]]:
    """SPS and PPS, and the NAL units of pictures that can be sent again and again."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.framerate = *SIZE, "yuv420p", FPS
    encoder.time_base = Fraction(1, FPS)
    encoder.gop_size = key_interval
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "10", "x264-params": "scenecut=0:slices=1"}
    pictures = []
    for number in range(max(_LOOP_PICTURES, key_interval)):
        image = av.VideoFrame.from_ndarray(numbered_picture(number % 256, *SIZE), format="rgb24")
        image.pts = number
        pictures += [nal_units(bytes(packet)) for packet in encoder.encode(image.reformat(format="yuv420p"))]
    parameters = [unit for unit in pictures[0] if unit[0] & 0x1F in (7, 8)]
    return parameters, pictures


def nal_units(data: bytes) -> list[bytes]:
    return [unit for unit in re.split(b"\0\0\0?\1", data) if unit]

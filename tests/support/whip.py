"""A WebRTC server that receives one stream by WHIP, as FFmpeg sends it: HTTP, STUN, DTLS, SRTP, H.264."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import av
from OpenSSL import SSL, crypto
from pylibsrtp import Policy, Session

_CERTIFICATE = Path(__file__).parents[1] / "data" / "localhost.pem"
_SUITE, _KEY, _SALT = b"SRTP_AES128_CM_SHA1_80", 16, 14
_RTP_CLOCK = 90000
_LONGEST = 2048
_AGAIN_SECONDS, _LONGEST_SECONDS = 0.5, 30.0


def received(port: int) -> Iterator[av.VideoFrame]:
    """Wait for a stream at http://127.0.0.1:PORT/…, check who sends it, and yield its pictures until its end."""
    media = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    media.bind(("127.0.0.1", 0))
    with media, _Signalling(("127.0.0.1", port), media.getsockname()[1]) as signalling:
        print("ready", flush=True)
        signalling.handle_request()
        threading.Thread(target=signalling.handle_request, daemon=True).start()  # says goodbye
        yield from _pictures(media, _Dtls(media, signalling.fingerprint))


class _Signalling(HTTPServer):
    """Answers the sender's offer; `fingerprint` is that of its certificate."""

    fingerprint = ""

    def __init__(self, address: tuple[str, int], media_port: int) -> None:
        super().__init__(address, _Handler)
        self.media_port = media_port


class _Handler(BaseHTTPRequestHandler):
    server: _Signalling

    def do_POST(self) -> None:  # noqa: N802 - the name is http.server's
        offer = self.rfile.read(int(self.headers["Content-Length"])).decode()
        assert "a=setup:passive" in offer
        self.server.fingerprint = re.findall("a=fingerprint:sha-256 (.*)", offer)[0].strip()
        payload, mid = re.findall("a=rtpmap:(.*) H264/90000", offer)[0], re.findall("a=mid:(.*)", offer)[0].strip()
        own = crypto.load_certificate(crypto.FILETYPE_PEM, _CERTIFICATE.read_bytes()).digest("sha256").decode()
        lines = (
            "v=0",
            "o=- 1 1 IN IP4 127.0.0.1",
            "s=-",
            "t=0 0",
            f"a=group:BUNDLE {mid}",
            f"m=video {self.server.media_port} UDP/TLS/RTP/SAVPF {payload}",
            "c=IN IP4 127.0.0.1",
            f"a=mid:{mid}",
            "a=recvonly",
            "a=rtcp-mux",
            f"a=rtpmap:{payload} H264/90000",
            "a=ice-ufrag:fragment",
            "a=ice-pwd:a-password-of-22-letters",
            f"a=fingerprint:sha-256 {own}",
            "a=setup:active",
            f"a=candidate:1 1 udp 2130706431 127.0.0.1 {self.server.media_port} typ host",
            "",
        )
        answer = "\r\n".join(lines).encode()
        self.send_response(201)
        self.send_header("Content-Type", "application/sdp")
        self.send_header("Location", "/stream")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_DELETE(self) -> None:  # noqa: N802 - as above
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


class _Dtls:
    """The client's side of DTLS, which decrypts packets of RTP once `take` has got all of the handshake."""

    def __init__(self, media: socket.socket, fingerprint: str) -> None:
        self._media, self._fingerprint = media, fingerprint
        context = SSL.Context(SSL.DTLS_METHOD)
        context.set_verify(SSL.VERIFY_PEER, lambda *arguments: True)  # by the fingerprint
        context.use_certificate_file(str(_CERTIFICATE))
        context.use_privatekey_file(str(_CERTIFICATE))
        context.set_cipher_list(b"ECDHE-ECDSA-AES128-GCM-SHA256")  # the one that all have to have
        context.set_tlsext_use_srtp(_SUITE)
        self._connection = SSL.Connection(context)
        self._connection.set_ciphertext_mtu(1200)
        self._connection.set_connect_state()
        self.sender: tuple[str, int] | None = None
        self.rtp: Session | None = None

    def take(self, datagram: bytes = b"") -> bool:
        """Take a part of the handshake, or of the goodbye. Returns False after that."""
        if datagram:
            self._connection.bio_write(datagram)
        try:
            if self.rtp is None:
                self._connection.do_handshake()
                self._begin()
            else:
                self._connection.recv(_LONGEST)
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            return False
        self._send()
        return True

    def again(self) -> None:
        """Send again what got no answer in time."""
        self._connection.DTLSv1_handle_timeout()
        self._send()

    def _send(self) -> None:
        with suppress(SSL.WantReadError):  # there is nothing
            self._media.sendto(self._connection.bio_read(_LONGEST), self.sender)

    def _begin(self) -> None:
        certificate = self._connection.get_peer_certificate()
        assert certificate is not None
        assert certificate.digest("sha256").decode() == self._fingerprint
        material = self._connection.export_keying_material(b"EXTRACTOR-dtls_srtp", 2 * (_KEY + _SALT))
        key, salt = material[_KEY : 2 * _KEY], material[2 * _KEY + _SALT :]  # those of the server's side
        self.rtp = Session(Policy(key=key + salt, ssrc_type=Policy.SSRC_ANY_INBOUND))


def _pictures(media: socket.socket, dtls: _Dtls) -> Iterator[av.VideoFrame]:
    decoder, units, fragment = av.CodecContext.create("h264", "r"), b"", b""
    first: int | None = None
    for packet in _rtp(media, dtls):
        begin = 12 + 4 * (packet[0] & 15)
        if packet[0] & 16:
            begin += 4 + 4 * int.from_bytes(packet[begin + 2 : begin + 4], "big")
        payload, stamp = packet[begin:], int.from_bytes(packet[4:8], "big")
        match payload[0] & 31:
            case 24:  # several units
                rest = payload[1:]
                while rest:
                    length = int.from_bytes(rest[:2], "big")
                    units, rest = units + b"\0\0\0\1" + rest[2 : 2 + length], rest[2 + length :]
            case 28:  # a part of one
                head = bytes([payload[0] & 0xE0 | payload[1] & 31]) if payload[1] & 0x80 else b""
                fragment += head + payload[2:]
                if payload[1] & 0x40:
                    units, fragment = units + b"\0\0\0\1" + fragment, b""
            case _:
                units += b"\0\0\0\1" + payload
        if packet[1] & 0x80:  # the end of a picture
            first = stamp if first is None else first
            whole, units = av.Packet(units), b""
            whole.pts, whole.time_base = (stamp - first) & 0xFFFFFFFF, Fraction(1, _RTP_CLOCK)
            yield from decoder.decode(whole)
    yield from decoder.decode(None)


def _rtp(media: socket.socket, dtls: _Dtls) -> Iterator[bytes]:
    """Yield the packets of RTP, and answer all others."""
    while True:
        media.settimeout(_LONGEST_SECONDS if dtls.sender is None or dtls.rtp else _AGAIN_SECONDS)
        try:
            datagram, dtls.sender = media.recvfrom(_LONGEST)
        except TimeoutError:
            if dtls.sender is None or dtls.rtp:
                raise
            dtls.again()
            continue
        if datagram[0] < 4:  # STUN: the sender asks if it is heard
            media.sendto(b"\x01\x01\0\0" + datagram[4:20], dtls.sender)
            if dtls.rtp is None:
                dtls.take()
        elif datagram[0] < 64:
            if not dtls.take(datagram):
                return
        elif dtls.rtp and datagram[1] & 0x7F not in range(64, 96):  # those are of RTCP
            yield dtls.rtp.unprotect(datagram)

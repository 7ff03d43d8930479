"""How old is a picture when a live source gives it? `python -m benchmarks.delay --seconds 10`.

A second process on this machine draws its clock into the pixels of each picture and sends them, encoded without delay
(H.264 without B-frames, 320x180, 25 frames a second). A picture's age is the clock when it comes out of the source,
less the clock in its pixels: encoding, sending, receiving and decoding. What `livecam live` calls latency begins only
then.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import numpy as np

from benchmarks.timing import print_machine, print_table
from livecam.bench.timing import write_json
from livecam.ledger import percentiles
from livecam.sources import LiveOptions, Source, open_live
from livecam.sources.base import NotThereError

_SIZE = 320, 180
_FPS = 25
_BITS = 16
"""Of the clock in milliseconds, which starts again every 65 s."""
_OPTIONS = {
    "mpegts": {"flush_packets": "1"},
    "rtp": {},
    "hls": {"hls_time": "1", "hls_list_size": "5", "hls_flags": "delete_segments"},
}
_SDP = """v=0
o=- 0 0 IN IP4 127.0.0.1
s=clock
c=IN IP4 127.0.0.1
t=0 0
m=video {port} RTP/AVP 96
a=rtpmap:96 H264/90000
a=fmtp:96 packetization-mode=1
"""


def clock_picture(seconds: float) -> np.ndarray:
    """Return a grey (H, W, 3) uint8 picture with the time as black and white blocks, the lowest bit first."""
    bits = round(1000 * seconds) >> np.arange(_BITS) & 1
    row = np.repeat(255 * bits, _SIZE[0] // _BITS).astype(np.uint8)
    return np.broadcast_to(row[None, :, None], (_SIZE[1], _SIZE[0], 3)).copy()


def age_seconds(luma: np.ndarray, now_seconds: float) -> float:
    """Return how long ago the time in a picture's luma, (H, W), was."""
    centres = (2 * np.arange(_BITS) + 1) * luma.shape[1] // (2 * _BITS)
    drawn = int(np.sum((luma[luma.shape[0] // 2, centres] > 127) << np.arange(_BITS)))
    return ((round(1000 * now_seconds) - drawn) % (1 << _BITS)) / 1000


def send(to: str, container_format: str) -> None:
    """Send pictures of the clock until the receiver has gone."""
    with av.open(to, "w", format=container_format, options=_OPTIONS[container_format]) as container:
        video = container.add_stream("libx264", rate=_FPS)
        video.width, video.height = _SIZE
        video.pix_fmt = "yuv420p"
        video.codec_context.gop_size = _FPS
        video.codec_context.options = {"preset": "ultrafast", "tune": "zerolatency"}
        begin = time.monotonic()
        for number in itertools.count():
            time.sleep(max(begin + number / _FPS - time.monotonic(), 0))
            picture = av.VideoFrame.from_ndarray(clock_picture(time.monotonic()), format="rgb24")
            picture.pts = number
            container.mux(video.encode(picture))


@contextmanager
def sending(to: str, container_format: str) -> Iterator[None]:
    """Send from another process inside of the block."""
    command = [sys.executable, "-m", "benchmarks.delay", "--send", to, container_format]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    """Return a port that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def over_tcp() -> Iterator[str]:
    """MPEG-TS over TCP."""
    url = f"tcp://127.0.0.1:{free_port()}"
    with sending(f"{url}?listen=1", "mpegts"):
        yield url


@contextmanager
def over_udp() -> Iterator[str]:
    """MPEG-TS over UDP."""
    url = f"udp://127.0.0.1:{free_port()}"
    with sending(f"{url}?pkt_size=1316", "mpegts"):
        yield url


@contextmanager
def over_rtp() -> Iterator[str]:
    """RTP over UDP, as RTSP uses it."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, sending(f"rtp://127.0.0.1:{port}", "rtp"):
        file = Path(folder, "clock.sdp")
        file.write_text(_SDP.format(port=port))
        yield str(file)


@contextmanager
def over_hls() -> Iterator[str]:
    """HLS with segments of one second."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        handler = functools.partial(_Quiet, directory=folder)
        server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        stack.callback(server.shutdown)
        stack.enter_context(sending(str(Path(folder, "live.m3u8")), "hls"))
        while not Path(folder, "live4.ts").exists():
            time.sleep(0.1)
        yield f"http://127.0.0.1:{server.server_port}/live.m3u8"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


WAYS: dict[str, Callable[[], Any]] = {
    "MPEG-TS over TCP": over_tcp,
    "MPEG-TS over UDP": over_udp,
    "RTP": over_rtp,
    "HLS, segments of 1 s": over_hls,
}


def measure(way: Callable[[], Any], seconds: float) -> dict[str, Any]:
    """Return the percentiles of the age in milliseconds."""
    with way() as url:
        with _opened(url) as source:
            opened = time.monotonic()
            ages_ms: list[float] = []
            for frame in source.frames(lambda packet: None):
                now = time.monotonic()
                ages_ms.append(1000 * age_seconds(frame.picture.reformat(format="gray").to_ndarray(), now))
                if now - opened > seconds:
                    source.stop()
                    break
        return {"age_ms": percentiles(ages_ms), "frames": len(ages_ms)}


def _opened(url: str) -> Source:
    """Open a stream, which may not be sent yet."""
    while True:
        with suppress(NotThereError):
            return open_live(url, LiveOptions())
        time.sleep(0.1)


def main() -> None:
    """Print the table, and write JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--ways", default="", help="those whose names begin with one of these, by comma")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--send", nargs=2, metavar=("URL", "FORMAT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.send:
        send(*options.send)
        return
    chosen = {name: way for name, way in WAYS.items() if name.startswith(tuple(options.ways.split(",")))}
    measured = {name: measure(way, options.seconds) for name, way in chosen.items()}
    print_machine()
    print_table(
        ["", "age p50 ms", "p99 ms", "pictures"],
        [
            [
                name,
                *(f"{figures['age_ms'][each]:.0f}" for each in ("p50", "p99")),
                str(figures["frames"]),
            ]
            for name, figures in measured.items()
        ],
    )
    if options.json:
        write_json(options.json, measured)


if __name__ == "__main__":
    main()

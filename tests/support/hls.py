"""A live stream as HLS: a playlist that grows while its segments are made."""

from __future__ import annotations

import threading
import time
from fractions import Fraction
from pathlib import Path

import av

from tests.support.clips import numbered_picture

FPS = 25
SIZE = (160, 90)


class LivePlaylist:
    """Writes numbered pictures into `live.m3u8` of a folder as time passes, in segments of half a second.

    Three seconds are there at the beginning. `go_on` is cleared to make the encoder wait.
    """

    def __init__(self, folder: Path) -> None:
        self.go_on = threading.Event()
        self._file = folder / "live.m3u8"
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> LivePlaylist:
        self.go_on.set()
        self._thread.start()
        while not self._file.exists():
            time.sleep(0.01)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopping.set()
        self.go_on.set()
        self._thread.join()

    def _write(self) -> None:
        options = {"hls_time": "0.5", "hls_list_size": "6", "hls_flags": "omit_endlist+temp_file"}
        with av.open(str(self._file), "w", format="hls", options=options) as container:
            video = container.add_stream("libx264", rate=FPS)
            video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
            video.codec_context.gop_size = FPS // 2
            video.codec_context.options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "10"}
            begin, number = time.monotonic() - 3, 0
            while not self._stopping.is_set():
                self.go_on.wait()
                picture = av.VideoFrame.from_ndarray(numbered_picture(number % 256, *SIZE), format="rgb24")
                picture.pts, picture.time_base = number, Fraction(1, FPS)
                container.mux(video.encode(picture))
                number += 1
                self._stopping.wait(max(begin + number / FPS - time.monotonic(), 0))

"""A server without a model: `python -m tests.web.stand_in [browser:]` shows the demo, or the camera of the page.

It makes up classes, and answers the commands of pages.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from livecam.names import COLORMAPS, METHODS, VIEWS
from livecam.picture.frame import Frame
from livecam.sources import open_live
from livecam.sources.base import LiveOptions
from livecam.web.server import WebOptions, WebServer

LABELS = ["circle", "square", "triangle", "star", "cross", "ring"]
LAYERS = [{"name": "stages.3", "title": "stages.3, 12x20"}, {"name": "stages.2", "title": "stages.2, 23x40"}]
SETTINGS: dict[str, Any] = {
    "method": "gradcam",
    "layer": "stages.3",
    "target": None,
    "top": 1,
    "view": "overlay",
    "colormap": "jet",
    "opacity": 0.5,
    "threshold": 0.0,
    "steady": True,
    "mirror": False,
    "paused": False,
}
_STATE_SECONDS = 0.1


class StandIn:
    """Publishes the frames of a source with made-up facts until it is stopped."""

    def __init__(self, server: WebServer, *, has_camera: bool) -> None:
        self.server = server
        self.stopping = threading.Event()
        self._has_camera = has_camera
        self._settings = dict(SETTINGS)
        self._read = self._shown = 0
        self._begin = time.perf_counter()

    def run(self) -> None:
        source = self.server.camera if self._has_camera else open_live("demo:", LiveOptions())
        threading.Thread(target=self._watch, args=(source,), daemon=True).start()
        source = source.opened()
        for frame in self._frames(source):
            self._obey()
            self._read += 1
            if not self._settings["paused"]:
                self._shown += 1
                facts = self._facts(frame)
                self.server.publish(0, frame.picture.reformat(format="yuv420p"), facts)

    def _frames(self, source: Any) -> Iterator[Frame]:
        yield from source.frames(lambda packet: None)

    def _watch(self, source: Any) -> None:
        """Keep the state up to date, also while no frame comes, and stop the source in the end."""
        while not self.stopping.wait(_STATE_SECONDS):
            self.server.set_state(self._state(source))
        source.stop()

    def _obey(self) -> None:
        for command in self.server.commands():
            if command["type"] == "set":
                changes = {name: value for name, value in command.items() if name != "type"}
                self._settings |= changes
                self.server.answer(", ".join(f"{name} {value}" for name, value in changes.items()))
            else:
                self.server.answer(f"{command['command']} is done")

    def _facts(self, frame: Frame) -> dict[str, Any]:
        wave = 0.5 + 0.4 * math.sin(time.perf_counter())
        scores = [wave, *((1 - wave) / 2 ** (n + 1) for n in range(5))]
        best = [
            {"label": label, "score": score, "index": n}
            for n, (label, score) in enumerate(zip(LABELS, scores, strict=True))
        ]
        target = self._settings["target"]
        explained = [each for each in best if target in (None, each["label"])][: self._settings["top"]] or best[:1]
        origin = self.server.camera.origin(frame) if self._has_camera else {}
        latency_ms = 1e3 * (time.perf_counter() - frame.captured_seconds)
        return {"classes": explained, "best": best[:5], "latency_ms": latency_ms, **origin}

    def _state(self, source: Any) -> dict[str, Any]:
        seconds = max(time.perf_counter() - self._begin, 0.1)
        dropped = dict(self.server.camera.dropped)
        ledger = {
            "source": 0,
            "read": self._read + sum(dropped.values()),
            "shown": self._shown,
            "dropped": {**dropped, "pause": self._read - self._shown},
            "in_fps": round(self._read / seconds, 1),
            "out_fps": round(self._shown / seconds, 1),
            "latency_ms": {"p50": 4.0, "p99": 9.0},
        }
        size = {"width": source.media.width, "height": source.media.height}
        return {
            "model": "shapes",
            "sources": [{"name": source.name, **size}],
            "settings": dict(self._settings),
            "choices": {"methods": METHODS, "layers": LAYERS, "views": VIEWS, "colormaps": COLORMAPS},
            "labels": LABELS,
            "ledger": [ledger],
            "problem": source.signal.problem or None,
        }


def main() -> None:
    has_camera = "browser:" in sys.argv[1:]
    with WebServer(WebOptions(camera=has_camera)) as server:
        print(server.url, flush=True)
        stand_in = StandIn(server, has_camera=has_camera)
        try:
            stand_in.run()
        except KeyboardInterrupt:
            stand_in.stopping.set()
            server.close("livecam was interrupted")


if __name__ == "__main__":
    main()

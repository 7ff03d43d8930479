"""A display for pages in browsers: they get the picture of each source, and what there is to tell beside it."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from livecam.explanation import Explanation
from livecam.live.display import Click, Display, Request
from livecam.live.drawn import Drawn
from livecam.text import with_urls_redacted

if TYPE_CHECKING:
    from livecam.web.server import WebServer

log = logging.getLogger("livecam")

_STATE_SECONDS = 0.25
_LONGEST_ENCODING_SECONDS = 1.0
_MOST_BEST = 5
_KEYS = {"step": "."}
"""The keys of the commands that pages may send."""


class NotesOnPages(logging.Handler):
    """Tells pages the notes of the program inside of a block: they are all that some users see of it."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self._tell(with_urls_redacted(record.getMessage()))

    def __enter__(self) -> None:
        log.addHandler(self)

    def __exit__(self, *exc: object) -> None:
        log.removeHandler(self)


class Pages(Display):
    """Shows a run on the pages of a server.

    Args:
        server: Serves the pages.
        camera_source: The number of the source that is the camera of a page; None if there is none.
    """

    has_screen, is_closed = True, False

    def __init__(self, server: WebServer, camera_source: int | None = None) -> None:
        self._server = server
        self._camera_source = camera_source
        self._updated_seconds = -math.inf
        self._state: Callable[[], dict[str, Any]] = dict

    def fit(self, width: int, height: int) -> None:
        pass  # pages put the pictures together by themselves

    def take(self, source: int, drawn: Drawn) -> None:
        origin = self._server.camera.origin(drawn.frame) if source == self._camera_source else {}
        self._server.publish(source, drawn.picture, {**facts_of(drawn), **origin})

    def tell(self, line: str) -> None:
        self._server.answer(line)

    def update(self, state: Callable[[], dict[str, Any]]) -> None:
        self._state = state
        now = time.perf_counter()
        if now >= self._updated_seconds + _STATE_SECONDS:
            self._updated_seconds = now
            self._server.set_state(state())

    def keys(self) -> Sequence[Request | Click]:
        self._server.flush(_LONGEST_ENCODING_SECONDS)
        return [_request(command) for command in self._server.commands()]

    @property
    def is_hidden(self) -> bool:
        """True while no page is connected."""
        return not self._server.pages

    def close(self, reason: str) -> None:
        self._server.set_state(self._state())
        self._server.close(reason)


def facts_of(drawn: Drawn) -> dict[str, Any]:
    """Describe a picture for pages: its size, its latency so far, its map's age and cell, and what the model says."""
    explanation = drawn.explanation
    width, height = drawn.size
    return {
        "width": width,
        "height": height,
        "latency_ms": round(1e3 * (time.perf_counter() - drawn.frame.captured_seconds), 3),
        "age_frames": explanation.age_frames,
        "clip_frames": explanation.clip_frames,
        "cell_frames": explanation.cell_frames,
        "classes": [
            {
                **_class(explanation, one.index, one.label, one.score),
                "title": one.title,
                "peak": explanation.peak_of(one),
            }
            for one in explanation.classes
        ],
        "best": [
            _class(explanation, best.index, best.label, best.score) for best in explanation.predictions[:_MOST_BEST]
        ],
    }


def _class(explanation: Explanation, index: int | None, label: str, score: float) -> dict[str, Any]:
    """Describe a class; a score that JSON cannot have is None."""
    is_number = math.isfinite(score)
    return {
        "index": index,
        "label": label,
        "score": round(float(score), 6) if is_number else None,
        "text": explanation.described(score),
    }


def _request(command: Mapping[str, Any]) -> Request | Click:
    """Return what a command of a page asks for."""
    if command["type"] == "do" and command["command"] == "point":
        return Click(command["x"], command["y"], command["source"])
    if command["type"] == "do":
        return _KEYS[command["command"]]
    return {name: value for name, value in command.items() if name != "type"}

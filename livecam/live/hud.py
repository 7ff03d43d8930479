"""The text over the picture in the window: figures, bars of classes, notices, help. It is not recorded."""

from __future__ import annotations

import functools
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np

from livecam.explanation import Explanation
from livecam.ledger import Ledger
from livecam.render.canvas import BOX_KEEPS
from livecam.render.letters import SMALLEST_LETTERS, letter_size, render_line

_SMALLER = 0.6
"""The size of the letters relative to the caption's."""
_BAR_COLOR, _BAR_OTHER = (80, 200, 255), (150, 150, 150)
_SHOWN_CLASSES = 3
_RATE_SECONDS = 2.0
_RECENT_FRAMES = 300
"""The number of recent frames over which the latency is reported."""
_NOTICE_SECONDS = 5.0
_ANSWER_SECONDS = 2.0
_MOST_NOTICES = 3
_SLOW = 0.9
"""The share of a file's frame rate below which it is told that it is slower."""
_WIDEST = 0.5
"""Text in which a letter is at most this wide on average, relative to its size, is not measured before it is drawn."""

Bar = tuple[str, float, bool]
"""A class with its score, the length of its bar in 0..1, and True if it is explained."""


class Notices:
    """Lines for the user, each shown for some seconds: what keys answer, and what any thread tells.

    `on_line` is called with each line, by the thread that tells it. `progress` is shown as long as it is not empty.
    """

    def __init__(self, on_line: Callable[[str], None] = lambda line: None) -> None:
        self._on_line = on_line
        self._answer = "", -math.inf
        self._told: tuple[tuple[str, float], ...] = ()
        self.progress = ""

    def answer(self, line: str) -> None:
        """Show what the last key did, in place of what the one before did."""
        self._answer = line, time.monotonic() + _ANSWER_SECONDS
        self._on_line(line)

    def tell(self, line: str) -> None:
        """Show a line from now on."""
        others = [told for told in self._told if told[0] != line]
        self._told = (*others[1 - _MOST_NOTICES :], (line, time.monotonic() + _NOTICE_SECONDS))
        self._on_line(line)

    @property
    def lines(self) -> list[str]:
        """The lines whose time is not over, and the progress."""
        now = time.monotonic()
        timed = [line for line, until_seconds in (self._answer, *self._told) if now < until_seconds]
        return [*timed, *([self.progress] if self.progress else [])]


class Rate:
    """Measures frames per second from a running count, over about the last two seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._counts: deque[tuple[float, int]] = deque()

    def fps(self, count: int) -> float:
        """Return the recent growth of the count per second; call it with the current count."""
        now = self._clock()
        self._counts.append((now, count))
        while len(self._counts) > 2 and now - self._counts[1][0] >= _RATE_SECONDS:
            self._counts.popleft()
        begin, before = self._counts[0]
        return (count - before) / (now - begin) if now > begin else 0.0

    @property
    def is_settled(self) -> bool:
        """True once it was measured for so long."""
        return self._counts[-1][0] - self._counts[0][0] >= _RATE_SECONDS


class Figures:
    """Describes in a few lines how a source is explained, with frame rate and latency from its ledger."""

    def __init__(self, ledger: Ledger, clock: Callable[[], float] = time.perf_counter) -> None:
        self._ledger, self._clock = ledger, clock
        self._in, self._out, self._pace, self._clips = (Rate(clock) for _ in range(4))

    def slowness(self, file_fps: float | None) -> str:
        """Return a line that tells how much slower than a file its frames are shown; empty if they are not.

        `file_fps` is the frame rate of a file of which every frame is shown, None while there is none to keep up with.
        """
        if file_fps is None:
            self._pace = Rate(self._clock)
            return ""
        pace = self._pace.fps(self._ledger.delivered) / file_fps
        return f"slower than the file: {pace:.0%} of its speed" if self._pace.is_settled and pace < _SLOW else ""

    @property
    def fps(self) -> tuple[float, float]:
        """The recent frames a second that arrive, and that are shown."""
        return self._in.fps(self._ledger.read), self._out.fps(self._ledger.delivered)

    def _clips_pace(self) -> str:
        clips = self._ledger.clips
        return f", {self._clips.fps(clips):.1f} clips a second" if clips else ""

    @property
    def latency_ms(self) -> dict[str, float] | None:
        """The percentiles of the recent latency in milliseconds; None before the first frame."""
        return self._ledger.latency.recent_ms(_RECENT_FRAMES)

    def lines(self, explanation: Explanation, facts: dict[str, Any], slowness: str = "") -> list[str]:
        """Return the lines for a frame with this explanation; `facts` are as in `Explained`."""
        latency, (fps_in, fps_out) = self.latency_ms, self.fps
        return [
            "{method} at {layer_title}, {engine} {precision}".format(**facts),
            *([slowness] if slowness else []),
            f"in {fps_in:.1f} fps, out {fps_out:.1f}, dropped {self._ledger.dropped.total()}{self._clips_pace()}",
            f"latency p50 {latency['p50']:.0f} ms, p99 {latency['p99']:.0f} ms" if latency else "latency: not yet",
            f"map {_age(explanation)}",
        ]


def _age(explanation: Explanation) -> str:
    age, seconds = explanation.age_frames, explanation.age_seconds
    if not age:
        of = f"of {explanation.span or 'this frame'}"
        return of if explanation.classes[0].has_evidence else f"{of}: no evidence"
    return f"{age} frame{'s' if age > 1 else ''}" + (f", {1000 * seconds:.0f} ms old" if seconds else " old")


def bars_of(explanation: Explanation) -> list[Bar]:
    """Return a bar for each of the model's best classes: as long as it is probable, or all relative to the longest."""
    explained = {index for one in explanation.classes for index in one.members or (one.index,)}
    shown = explanation.predictions[:_SHOWN_CLASSES]
    longest = 1.0 if explanation.unit is None else max((abs(best.score) for best in shown), default=0.0) or 1.0
    return [
        (
            f"{best.label}  {explanation.described(best.score)}",
            min(abs(best.score) / longest, 1.0),
            best.index in explained,
        )
        for best in shown
    ]


def draw_lines(bgr: np.ndarray, lines: Sequence[str], bars: Sequence[Bar] = (), *, top: int = 0) -> None:
    """Draw lines of text, and below them bars, at the left border.

    Args:
        bgr: The picture, (H, W, 3) uint8 BGR, which is drawn into.
        lines: The text. Long lines are wrapped; if there is no room for all, the last ones are left out.
        bars: The bars.
        top: The row at which the first line begins.
    """
    height, width = bgr.shape[:2]
    size = _letter_size(width, height)
    lines = [part for line in lines for part in _wrapped(line, size, width)]
    texts = [*lines, *(text for text, _, _ in bars)]
    line_height = len(render_line("", size, width))
    letters = [render_line(text, size, width) for text in texts[: max((height - top) // line_height, 0)]]
    if not letters:
        return
    box = bgr[top : top + line_height * len(letters), : max(line.shape[1] for line in letters)]
    np.copyto(box, cv2.convertScaleAbs(box, alpha=BOX_KEEPS))
    for number, line in enumerate(letters):
        y = top + number * line_height
        if number >= len(lines):
            _draw_bar(bgr[y : y + line_height, : box.shape[1]], *bars[number - len(lines)][1:])
        _write(bgr, line, 0, y)


def _letter_size(width: int, height: int) -> int:
    return max(SMALLEST_LETTERS, round(letter_size(width, height) * _SMALLER))


@functools.lru_cache
def _wrapped(text: str, size: int, width: int) -> list[str]:
    """Return a text as lines that fit a width."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".lstrip()
        if lines[-1] and len(longer) * size * _WIDEST > width and len(render_line(longer, size, 9 * width)[0]) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def draw_help(bgr: np.ndarray, rows: Sequence[tuple[str, str]]) -> int:
    """Draw a table of keys and what they do over a picture, in as many columns as fit.

    Args:
        bgr: The picture, (H, W, 3) uint8 BGR, which is drawn into.
        rows: The keys and what they do.

    Returns:
        How many rows there was room for.
    """
    height, width = bgr.shape[:2]
    size = _letter_size(width, height)
    keys, texts = ([render_line(text, size, width) for text in column] for column in zip(*rows, strict=True))
    text_left = max(key.shape[1] for key in keys)
    column_width, line_height = min(text_left + max(text.shape[1] for text in texts), width), round(size * 1.6)
    lines = max(height // line_height - 1, 1)  # the last one is for what follows
    columns = min(max(width // column_width, 1), -(-len(rows) // lines))
    shown = min(lines * columns, len(rows))
    lines = -(-shown // columns)
    left, top = (width - columns * column_width) // 2, max((height - (lines + 1) * line_height) // 2, 0)
    np.copyto(bgr, bgr // 8)
    box = bgr[top : top + (lines + 1) * line_height, left : left + columns * column_width]
    for number in range(shown):
        column, line = divmod(number, lines)
        _write(box, keys[number], column * column_width, line * line_height)
        _write(box, texts[number], column * column_width + text_left, line * line_height)
    _write(box, render_line("h: more keys" if shown < len(rows) else "h: close", size, width), 0, lines * line_height)
    return shown


def _write(bgr: np.ndarray, letters: np.ndarray, x: int, y: int) -> None:
    """Draw letters, (h, w) uint8 coverage, with their top left corner at (x, y), clipped to the picture."""
    part = bgr[y : y + letters.shape[0], x : x + letters.shape[1]]
    np.maximum(part, letters[: part.shape[0], : part.shape[1], None], out=part)


def _draw_bar(line: np.ndarray, length: float, is_explained: bool) -> None:
    """Draw a bar along the foot of a line."""
    height, width = line.shape[:2]
    thickness = max(height // 8, 2)
    line[height - thickness :, : max(round(width * length), 1)] = _BAR_COLOR if is_explained else _BAR_OTHER

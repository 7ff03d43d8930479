"""One source's part of the window: its picture, drawn, and what is written over it."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import numpy as np

from livecam.explanation import Explanation
from livecam.live.controls import Controls
from livecam.live.feed import Feed, Shown
from livecam.live.follow import Follower
from livecam.live.hud import Bar, draw_lines
from livecam.live.recorder import Recording
from livecam.live.screen import ToScreen, upright_aspect, upright_picture
from livecam.picture.frame import Frame
from livecam.picture.media import Media, Orientation
from livecam.render import LARGEST_VIDEO_SIDE, Renderer
from livecam.render.caption import letter_size, render_line

_PIXEL_FORMAT = "yuv420p"
"""What is drawn in, whatever comes: every player can show it."""
_SHOWN_CLASSES = 3
_LOST_SECONDS = 1.0
"""Without a frame for so long is without a signal."""


class Pane:
    """Draws what one feed has to show. The picture that was drawn is recorded as it is; figures are for the screen."""

    def __init__(self, feed: Feed, controls: Controls, max_age_seconds: float) -> None:
        self.feed = feed
        self.recording: Recording | None = None
        self.frame: Frame | None = None
        self.explanation: Explanation | None = None
        self.facts: dict[str, Any] = {}
        """How it was explained."""
        self.picture: av.VideoFrame | None = None
        """Upright, with the heatmap."""
        self.aspect = Fraction(1)
        self._controls = controls
        self._follow = Follower(max_age_seconds, feed.finder)
        self._render: Renderer | None = None
        self._style = controls.style
        self._to_screen = ToScreen()
        self._bgr: np.ndarray | None = None

    def draw(self, shown: Shown) -> None:
        """Draw a frame with the map that there is."""
        if self._render is None or self._style is not self._controls.style:
            self._style = self._controls.style
            self._render = Renderer(_PIXEL_FORMAT, self._style, largest_side=LARGEST_VIDEO_SIDE)
        with self.feed.ledger.stages["draw"].measure():
            self.frame, self.explanation, self.facts = shown.frame, self._follow(shown), shown.facts
            there = shown.uploaded if shown.frame is shown.explained else None
            self.picture = upright_picture(self._render(self.frame, self.explanation, there), self.frame.orientation)
        self.aspect, self._bgr = upright_aspect(self.frame), None

    @property
    def is_out_of_style(self) -> bool:
        """Whether it would be drawn differently now."""
        return self._style is not self._controls.style

    def media(self) -> Media:
        """The facts of the picture, for a file that it is written to."""
        assert self.picture is not None
        assert self.picture.time_base is not None
        return Media(
            width=self.picture.width,
            height=self.picture.height,
            pixel_format=_PIXEL_FORMAT,
            time_base=self.picture.time_base,
            rate=self.feed.source.media.rate,
            sample_aspect_ratio=self.aspect,
            color_range=self.picture.color_range,
            color_space=self.picture.colorspace,
            color_primaries=self.picture.color_primaries,
            color_transfer=self.picture.color_trc,
        )

    def on_screen(self) -> np.ndarray:
        """(H, W, 3) uint8 BGR with all that is to be written on it; black before the first picture."""
        if self.picture is None:
            width, height = self._first_size()
            return np.zeros((height, width, 3), np.uint8)
        if self._bgr is None:
            self._bgr = self._to_screen(self.picture, self.aspect)
        bgr = self._bgr.copy()
        self._write_on(bgr)
        return bgr

    def _first_size(self) -> tuple[int, int]:
        """(width, height) on the screen of the picture that is to come."""
        media = self.feed.source.media
        orientation, aspect = Orientation.of(media.display_matrix), media.sample_aspect_ratio or Fraction(1)
        width, height = orientation.swap(media.width, media.height)
        return self._to_screen.size(width, height, 1 / aspect if orientation.transposed else aspect)

    def _write_on(self, bgr: np.ndarray) -> None:
        lost_seconds = self.feed.source.signal.lost_seconds() or 0.0
        if lost_seconds >= _LOST_SECONDS:
            np.copyto(bgr, bgr // 3)
            lost = f"no signal since {lost_seconds:.0f} s: {self.feed.source.signal.problem}"
            draw_lines(bgr, [lost, *self._notices()])
        elif self._controls.shows_facts:
            draw_lines(bgr, [*self._facts(), *self._notices()], self._bars(), top=self._caption_height(bgr))
        else:
            draw_lines(bgr, self._notices(), top=self._caption_height(bgr))

    def _caption_height(self, bgr: np.ndarray) -> int:
        """How far down the captions reach that are drawn into the picture itself, or a little more."""
        if not self._style.caption:
            return 0
        assert self.picture is not None
        assert self.explanation is not None
        lines = len(self.explanation.classes) if self._style.view == "tints" else 1
        line = render_line("", letter_size(self.picture.width, self.picture.height), self.picture.width)
        return round(lines * len(line) * bgr.shape[0] / self.picture.height)

    def _facts(self) -> list[str]:
        """The figures: who explains, how fast, how late."""
        ledger = self.feed.ledger
        latency = ledger.recent_latency.percentiles_ms()
        return [
            "{method} at {layer}, {engine} {precision}".format(**self.facts),
            f"in {ledger.rate_in.fps:.1f} fps, out {ledger.rate_out.fps:.1f}, dropped {ledger.dropped.total()}",
            f"latency p50 {latency['p50']:.0f} ms, p99 {latency['p99']:.0f} ms" if latency else "latency: not yet",
            f"map {self._age()}",
        ]

    def _age(self) -> str:
        assert self.explanation is not None
        age, seconds = self.explanation.age_frames, self.explanation.age_seconds
        if not age:
            return "of this frame" if self.explanation.classes[0].has_evidence else "of this frame: no evidence"
        return f"{age} frame{'s' if age > 1 else ''}" + (f", {1000 * seconds:.0f} ms old" if seconds else " old")

    def _notices(self) -> list[str]:
        """What the user has to know, also where the figures are hidden."""
        recording, controls = self.recording, self._controls
        return [
            *(["paused"] if controls.is_paused else []),
            *([f"recording {recording.path.name}"] if recording else []),
            *([controls.message] if controls.message else []),
        ]

    def _bars(self) -> list[Bar]:
        explanation = self.explanation
        assert explanation is not None
        explained = {one.index for one in explanation.classes}
        return [(best.label, best.score, best.index in explained) for best in explanation.predictions[:_SHOWN_CLASSES]]

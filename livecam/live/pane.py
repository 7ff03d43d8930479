"""The pane of one source: its picture with the heatmap, and the text over it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, VideoReformatter

from livecam.explain.motion import MotionFinder, aged, carried
from livecam.explain.point import Point
from livecam.explanation import Explanation
from livecam.live.drawn import Drawn, square_size
from livecam.live.feed import Feed, Shown
from livecam.live.hud import Figures, Notices, bars_of, draw_lines
from livecam.picture.color import Color
from livecam.picture.frame import Frame
from livecam.picture.media import Media, Orientation
from livecam.picture.upright import upright_picture
from livecam.render import LARGEST_VIDEO_SIDE, Renderer, Style
from livecam.render.letters import letter_size, render_line
from livecam.render.timeline import Past
from livecam.run.sidecars import described
from livecam.system import cores

_PIXEL_FORMAT = "yuv420p"
"""The pixel format of all drawings, which every player can show."""
_LOST_SECONDS = 1.0
"""The time without a frame after which the signal is shown as lost."""
_SHORTEST_SIDE = 480
"""The shortest side on the screen in pixels: smaller pictures are enlarged by an integer, so that text is legible."""


class Follower:
    """Moves the last explanation along with the picture to frames that the model has not seen.

    Maps older than `max_age_seconds` and maps from before a cut are hidden. For one source and one thread.
    """

    def __init__(self, max_age_seconds: float, finder: MotionFinder) -> None:
        self._max_age_seconds = max_age_seconds
        self._finder = finder

    def __call__(self, shown: Shown) -> Explanation:
        """Return the explanation for a frame: its own, or an earlier one moved along, with its age."""
        frame, since = shown.frame, shown.explained.frame
        if frame.index == since.index:
            return shown.explained.explanation
        motion = self._finder.motion(since, frame)
        if motion is None:
            return _dark(aged(shown.explained.explanation, since, frame))
        moved = carried(shown.explained.explanation, motion, frame)
        is_fresh = moved.age_seconds is None or moved.age_seconds <= self._max_age_seconds
        return moved if is_fresh else _dark(moved)


def _dark(explanation: Explanation) -> Explanation:
    """Return the explanation without any heat, outline or box."""
    classes = [
        dataclasses.replace(one, heatmap=np.zeros_like(one.heatmap), mask=None, boxes=()) for one in explanation.classes
    ]
    return dataclasses.replace(explanation, classes=tuple(classes), boxes=())


class Pane:
    """Draws the frames of one feed, for the screen and for recordings. Text is only on the screen."""

    def __init__(self, feed: Feed, max_age_seconds: float, model_name: str = "the model") -> None:
        self.feed = feed
        self._model_name = model_name
        self.drawn: Drawn | None = None
        self._follow = Follower(max_age_seconds, feed.finder)
        self.figures = Figures(feed.ledger)
        self._slowness = Notices()
        self._has_told_slowness = False
        self._to_screen = ToScreen()
        self._render: Renderer | None = None
        self._past = Past()
        self._bgr: np.ndarray | None = None  # the drawn picture as the screen shows it, without text
        self._bgr_size = 0, 0

    @property
    def name(self) -> str:
        """What the source is called on the screen: without the folder of a file."""
        name = self.feed.source.name
        return name if "://" in name else Path(name).name

    def draw(self, shown: Shown, style: Style) -> Drawn:
        """Draw a frame in a style, with the newest explanation."""
        if self._render is None or self.is_out_of_style(style):
            self._render = Renderer(_PIXEL_FORMAT, style, largest_side=LARGEST_VIDEO_SIDE, past=self._past)
        frame, explained = shown.frame, shown.explained
        with self.feed.ledger.stages["draw"].measure():
            explanation = self._follow(shown)
            there = explained.uploaded if frame is explained.frame else None
            picture = upright_picture(self._render(frame, explanation, there), frame.orientation)
        aspect = frame.orientation.upright_aspect(frame.sample_aspect_ratio)
        self._bgr = None
        self.drawn = Drawn(frame, explanation, explained.facts, style, picture, aspect)
        return self.drawn

    def is_out_of_style(self, style: Style) -> bool:
        """Return True if the drawn frame has another style than this."""
        return self.drawn is not None and self.drawn.style is not style

    def media(self) -> Media:
        """Return the facts of the drawn picture, to open a file for it."""
        assert self.drawn is not None
        picture = self.drawn.picture
        assert picture.time_base is not None
        return Media(
            width=picture.width,
            height=picture.height,
            pixel_format=_PIXEL_FORMAT,
            time_base=picture.time_base,
            rate=self.feed.source.media.rate,
            sample_aspect_ratio=self.drawn.aspect,
            color_range=picture.color_range,
            color_space=picture.colorspace,
            color_primaries=picture.color_primaries,
            color_transfer=picture.color_trc,
        )

    def snapshot(self) -> tuple[np.ndarray, dict[str, Any]]:
        """Return the drawn picture, (H, W, 3) uint8 BGR in its own size, and what the model said, as plain data."""
        assert self.drawn is not None
        drawn = self.drawn
        bgr = ToScreen()(drawn.picture, drawn.size)
        facts = {"source": self.feed.source.name, **drawn.facts}
        return bgr, {**facts, **described(drawn.frame, drawn.explanation)}

    @property
    def usual_size(self) -> tuple[int, int]:
        """The (width, height) in pixels to show the pane at: large enough for text, with the aspect of its picture."""
        width, height = self.picture_size
        scale = max(-(-_SHORTEST_SIDE // min(width, height)), 1)
        return width * scale, height * scale

    @property
    def picture_size(self) -> tuple[int, int]:
        """The (width, height) of the picture, upright and in square pixels."""
        if self.drawn is not None:
            return self.drawn.size
        media = self.feed.source.media
        orientation = Orientation.of(media.display_matrix)
        aspect = orientation.upright_aspect(media.sample_aspect_ratio or Fraction(1))
        return square_size(*orientation.swap(media.width, media.height), aspect)

    def on_screen(self, bgr: np.ndarray, notices: Sequence[str], *, shows_figures: bool) -> None:
        """Draw the pane with its text; before the first frame it says what is waited for.

        Args:
            bgr: Where to draw, (H, W, 3) uint8 BGR and black; the picture keeps its aspect.
            notices: Lines that are always shown.
            shows_figures: Show the figures and the bars of classes, too.
        """
        left, top, width, height = placed(self.usual_size, bgr)
        picture, text = bgr[top : top + height, left : left + width], bgr[top:, left:]
        if self.drawn is None:
            if self.feed.preview is not None:
                np.copyto(picture, self._preview(self.feed.preview, width, height))
            draw_lines(text, [*notices, self.waits_for])
            return
        if self._bgr is None or self._bgr_size != (width, height):
            self._bgr = self._to_screen(self.drawn.picture, (width, height))
            self._bgr_size = width, height
        if self.lost_seconds:
            np.copyto(picture, self._bgr // 3)
            problem = self.feed.source.signal.problem
            draw_lines(text, [*notices, f"no signal for {self.lost_seconds:.0f} s: {problem}"])
            return
        np.copyto(picture, self._bgr)
        lines = self._figure_lines(self.drawn, shows_figures=shows_figures)
        bars = bars_of(self.drawn.explanation) if shows_figures else []
        draw_lines(text, [*notices, *lines], bars, top=_caption_height(self.drawn, height))

    def point_at(self, x: float, y: float) -> str | None:
        """Return the point of the frame at a place of the drawn picture, as the setting `at`; None if none is there.

        The place is (x, y) in fractions of the picture.
        """
        if self.drawn is None or self._render is None:
            return None
        frame = self.drawn.frame
        point = self._render.layout(frame, self.drawn.explanation).in_frame(x, y, frame.orientation)
        return point and str(Point(100 * point[0], 100 * point[1], is_relative=True))

    @property
    def lost_seconds(self) -> float:
        """How long there has been no signal; 0 if there is one, or was a moment ago."""
        seconds = self.feed.source.signal.lost_seconds() or 0.0
        return seconds if seconds >= _LOST_SECONDS else 0.0

    def _figure_lines(self, drawn: Drawn, *, shows_figures: bool) -> list[str]:
        """Return the figures; if they are hidden, once for some seconds that a file is shown too slowly."""
        slowness = self.slowness
        if shows_figures:
            return self.figures.lines(drawn.explanation, drawn.facts, slowness)
        if slowness and not self._has_told_slowness:
            self._has_told_slowness = True
            self._slowness.tell(slowness)
        return self._slowness.lines

    @property
    def slowness(self) -> str:
        """A line that tells that a file of which every frame is shown is shown too slowly; empty if it is not."""
        return self.figures.slowness(self._file_fps)

    @property
    def _file_fps(self) -> float | None:
        """The frame rate of a file of which every frame is shown, unless it stands still."""
        source, stands_still = self.feed.source, self.feed.is_paused or self.feed.is_resting
        return None if source.is_live or stands_still or not source.media.rate else float(source.media.rate)

    @property
    def waits_for(self) -> str:
        """What the pane waits for before its first frame; empty from then on."""
        if self.drawn is not None:
            return ""
        if problem := self.feed.source.signal.problem:
            return problem
        if not self.feed.is_open:
            return "opening ..."
        return "waiting for the first picture" if self.feed.has_begun else f"loading {self._model_name} ..."

    def _preview(self, frame: Frame, width: int, height: int) -> np.ndarray:
        """Return what the source shows before the first frame, upright in this size."""
        return frame.orientation.upright(self._to_screen(frame.picture, frame.orientation.swap(width, height)))


def _caption_height(drawn: Drawn, height: int) -> int:
    """Return the height of the captions in the picture if it is shown at this height in pixels."""
    picture, lines = drawn.picture, drawn.style.caption_lines(len(drawn.explanation.classes))
    line = render_line("", letter_size(picture.width, picture.height), picture.width)
    return round(lines * len(line) * height / picture.height)


def placed(size: tuple[int, int], bgr: np.ndarray) -> tuple[int, int, int, int]:
    """Return left, top, width and height of a picture of this (width, height) in the middle of another, filling it."""
    height, width = bgr.shape[:2]
    scale = min(width / size[0], height / size[1])
    fitted = max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)
    return (width - fitted[0]) // 2, (height - fitted[1]) // 2, *fitted


class ToScreen:
    """Converts upright pictures to what a screen shows: (H, W, 3) uint8 BGR with square pixels."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def __call__(self, picture: av.VideoFrame, size: tuple[int, int]) -> np.ndarray:
        """Convert a picture to this (width, height)."""
        color = Color.of(picture)
        return self._reformatter.reformat(
            picture,
            *size,
            "bgr24",
            src_colorspace=color.swscale_space,
            src_color_range=color.swscale_range,
            dst_color_range=ColorRange.JPEG,
            threads=cores.SCALER,
        ).to_ndarray()

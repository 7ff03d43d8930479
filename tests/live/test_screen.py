"""What is on the screen: pictures in their shape, captions, figures, bars, notices, the panes of several sources."""

from __future__ import annotations

import dataclasses
import threading
import time
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from livecam.explain.motion import MotionFinder
from livecam.explanation import Box, Prediction
from livecam.ledger import LIVE, Ledger
from livecam.live.commands import KEYS
from livecam.live.feed import Feed, Shown
from livecam.live.hud import Figures, Notices, bars_of, draw_help, draw_lines
from livecam.live.pane import Follower, Pane
from livecam.live.screen import grid
from livecam.picture.media import Orientation
from livecam.render import Style
from tests.live.harness import FACTS, LiveRun, Parts, explained, on_screen
from tests.support.clips import numbered_picture
from tests.support.doubles import HEIGHT, QUARTER_TURN, WIDTH, NumberedSource
from tests.support.explanations import explanation_of

pytestmark = pytest.mark.usefixtures("quick_shapes")

CAM = np.ones((8, 8), np.float32)
PLAIN = Style(caption=False)
EXPLAINED_BAR = (80, 200, 255)
"""BGR, as the bars of classes that are explained are drawn."""


def pane_of(source: NumberedSource) -> Pane:
    return Pane(Feed(source, threading.Condition()), max_age_seconds=0.5)


def drawn(source: NumberedSource | None = None, style: Style = PLAIN, cams: int = 1) -> Pane:
    """A pane with the first frame of a source, by an explanation of so many classes."""
    source = source or NumberedSource(1)
    frame = next(source.frames(None))
    pane = pane_of(source)
    pane.draw(Shown(frame, explained(frame, explanation_of(*[CAM] * cams))), style)
    return pane


@pytest.mark.parametrize(
    ("facts", "ratio"),
    [
        ({}, WIDTH / HEIGHT),
        ({"aspect": Fraction(2)}, 2 * WIDTH / HEIGHT),
        ({"display_matrix": QUARTER_TURN}, HEIGHT / WIDTH),
        ({"display_matrix": QUARTER_TURN, "aspect": Fraction(2)}, HEIGHT / 2 / WIDTH),
    ],
)
def test_the_picture_is_shown_in_its_shape_before_and_after_the_first_frame(
    facts: dict[str, Any], ratio: float
) -> None:
    before = on_screen(pane_of(NumberedSource(1, **facts)), shows_figures=True)
    after = on_screen(drawn(NumberedSource(1, **facts)), shows_figures=True)
    assert before.shape == after.shape
    height, width = after.shape[:2]
    assert width / height == pytest.approx(ratio)
    assert min(width, height) >= 480  # text can be read


def test_a_mirrored_frame_is_drawn_mirrored_with_its_map() -> None:
    frame = dataclasses.replace(next(NumberedSource(1).frames(None)), orientation=Orientation(flipped_x=True))
    cam = np.zeros((1, 8), np.float32)
    cam[0, 0] = 1  # on the left of what is seen
    result = pane_of(NumberedSource(1)).draw(Shown(frame, explained(frame, explanation_of(cam))), PLAIN)
    plain = numbered_picture(0, WIDTH, HEIGHT)[:, ::-1].astype(int)
    change = result.picture.to_ndarray(format="rgb24") - plain
    hot = np.abs(change).sum(axis=2)
    assert int(np.argmax([part.mean() for part in np.array_split(hot, 8, axis=1)])) == 0


@pytest.mark.parametrize(("view", "classes"), [("overlay", 1), ("tints", 2)])
def test_the_figures_are_below_the_caption(view: str, classes: int) -> None:
    captioned = drawn(style=Style(view=view), cams=classes)
    caption = on_screen(captioned, shows_figures=False) != on_screen(
        drawn(style=Style(view=view, caption=False), cams=classes)
    )
    bottom = int(np.nonzero(caption.any(axis=(1, 2)))[0].max())
    changed = on_screen(captioned, shows_figures=True) != on_screen(captioned, shows_figures=False)
    rows = np.nonzero(changed.any(axis=(1, 2)))[0]
    assert bottom - 6 <= rows.min() < bottom + 60  # give or take a line of the picture, which is 6 on the screen


def test_without_a_caption_the_figures_begin_at_the_top() -> None:
    pane = drawn()
    changed = on_screen(pane, shows_figures=True) != on_screen(pane, shows_figures=False)
    assert changed[0].any()


def test_the_best_classes_have_bars_as_long_as_their_scores() -> None:
    pane = drawn()
    bars = (on_screen(pane, shows_figures=True) == EXPLAINED_BAR).all(axis=2)
    rows = np.nonzero(bars.any(axis=1))[0]
    box = (on_screen(pane, shows_figures=True) != on_screen(pane, shows_figures=False)).any(axis=(0, 2))
    assert len(rows) > 1
    assert bars[rows[0]].sum() == pytest.approx(0.87 * box.sum(), abs=2)  # the score of the explanation
    assert not (on_screen(pane, shows_figures=False) == EXPLAINED_BAR).all(axis=2).any()


def test_figures_tell_what_comes_in_and_what_goes_out() -> None:
    now = [100.0]
    ledger = Ledger(LIVE, "camera")
    figures = Figures(ledger, clock=lambda: now[0])
    said = explanation_of(CAM)
    for _ in range(200):
        now[0] += 0.02
        ledger.read += 2
        ledger.deliver(0.0, 0)
        ledger.dropped["explain"] += 1
        lines = figures.lines(said, FACTS)
    assert lines[0] == "gradcam at features, eager fp32"
    assert lines[1] == "in 100.0 fps, out 50.0, dropped 200"
    assert lines[2].startswith("latency p50 ")
    assert lines[3] == "map of this frame"
    now[0] += 10  # nothing has come for a while, and then one frame
    ledger.read += 1
    assert figures.lines(said, FACTS)[1].startswith("in 0.1 fps, out 0.0,")


def test_figures_tell_that_a_file_is_shown_more_slowly_than_it_is() -> None:
    now = [100.0]
    ledger = Ledger(LIVE, "file")
    figures = Figures(ledger, clock=lambda: now[0])
    for _ in range(200):
        now[0] += 0.1
        ledger.read += 1
        ledger.deliver(0.0, 0)
        slowness = figures.slowness(25)
    assert slowness == "slower than the file: 40% of its speed"
    assert figures.lines(explanation_of(CAM), FACTS, slowness)[1] == slowness
    assert figures.slowness(10) == ""
    assert figures.slowness(None) == ""  # it is paused for a while
    for now[0] in (200, 201):
        assert figures.slowness(25) == ""
    now[0] = 203
    assert figures.slowness(25) == "slower than the file: 0% of its speed"


def test_while_the_figures_are_hidden_it_is_told_once_that_a_file_is_shown_more_slowly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def changes(shows_figures: bool = False) -> bool:
        shown = on_screen(pane, shows_figures=shows_figures)
        return not np.array_equal(shown, plain)

    pane = drawn()
    pane.feed.source.media = dataclasses.replace(pane.feed.source.media, rate=Fraction(25))
    plain = on_screen(pane)
    now = time.monotonic()
    monkeypatch.setattr(pane.figures._pace, "_clock", lambda: now)
    monkeypatch.setattr("livecam.live.hud.time.monotonic", lambda: now)
    assert not changes()
    now += 2.5
    assert changes()
    now += 6
    assert not changes()


def test_figures_tell_how_old_a_map_is() -> None:
    figures = Figures(Ledger(LIVE, "camera"))
    old = dataclasses.replace(explanation_of(CAM), age_frames=3, age_seconds=0.12)
    assert figures.lines(old, FACTS)[3] == "map 3 frames, 120 ms old"
    assert figures.lines(explanation_of(-CAM), FACTS)[3] == "map of this frame: no evidence"
    assert figures.lines(old, FACTS)[2] == "latency: not yet"


def on_display(parts: Parts) -> np.ndarray:
    parts.screen.refresh()
    return parts.display.pictures[-1]


def shown_in_parts() -> Parts:
    """The parts of a session with a frame on the screen, and without figures."""
    parts = Parts(NumberedSource(9, is_live=True))
    frame = next(NumberedSource(1).frames(None))
    (feed,) = parts.feeds
    feed.put(frame)
    feed.put_explained(explained(feed.take_to_explain(), explanation_of(CAM)))
    parts.press("i")
    assert parts.screen.present() == []
    return parts


def test_what_the_user_has_to_know_is_shown_without_the_figures() -> None:
    parts = shown_in_parts()
    plain = on_display(parts)
    parts.press(" ")
    paused = on_display(parts)
    parts.press(" ")
    parts.notices.tell("kept livecam.png")
    told = on_display(parts)
    assert len({picture.tobytes() for picture in (plain, paused, told)}) == 3


def test_a_frame_on_the_screen_that_is_given_another_explanation_is_drawn_again() -> None:
    parts = shown_in_parts()
    (feed,) = parts.feeds
    before = on_display(parts)
    assert feed.on_screen is not None
    feed.revise(feed.on_screen, explained(feed.on_screen.frame, explanation_of(np.eye(8, dtype=np.float32))))
    parts.screen.present()
    assert not np.array_equal(on_display(parts), before)


def test_a_notice_lasts_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    notices = Notices()
    assert notices.lines == []
    for line in "abcbd":
        notices.tell(line)
    notices.answer("opacity 60%")
    notices.answer("opacity 70%")
    assert notices.lines == ["opacity 70%", "c", "b", "d"]
    begin = time.monotonic()
    for later, left in ((3, ["c", "b", "d"]), (9, [])):
        monkeypatch.setattr("livecam.live.hud.time", SimpleNamespace(monotonic=lambda late=begin + later: late))
        assert notices.lines == left


def test_a_lost_signal_is_told_over_a_darkened_picture() -> None:
    pane = drawn()
    bright = on_screen(pane, shows_figures=True).mean()
    lost = SimpleNamespace(lost_seconds=lambda: 3.0, problem="connection refused")
    pane.feed.source.signal = lost  # type: ignore[assignment]
    assert on_screen(pane, shows_figures=True).mean() < bright / 2
    lost.lost_seconds = lambda: 0.5  # a frame may be late
    assert on_screen(pane, shows_figures=True).mean() > bright / 2


def test_a_changed_style_is_seen_while_the_picture_stands_still() -> None:
    run = LiveRun(NumberedSource(10**9, is_live=True), style=PLAIN)
    seen: list[int] = []

    def press() -> str:
        if not seen and run.display.frames == 3:
            seen.append(len(run.display.pictures))
            return " i"
        if seen and len(run.display.pictures) == seen[0] + 3:
            return "v"
        return "q" if seen and len(run.display.pictures) > seen[0] + 6 else ""

    run.display.press = press
    run()
    still, restyled = run.display.pictures[seen[0] + 2], run.display.pictures[-1]
    assert still.shape == restyled.shape
    assert not np.array_equal(still, restyled)


def test_where_nobody_watches_nothing_is_shown() -> None:
    run = LiveRun(NumberedSource(10))
    run.display.has_screen = False
    run()
    assert run.display.pictures == []
    assert len(run.shown) == 10


@pytest.mark.parametrize(("later", "is_seen"), [(0, True), (5, True), (15, False)])
def test_a_map_is_hidden_when_it_is_too_old(later: int, is_seen: bool) -> None:
    first, second = (next(NumberedSource(1).frames(None)) for _ in range(2))
    still = dataclasses.replace(second, index=later)
    still.picture.pts = later
    box = Box(left=0.25, top=0.25, right=0.5, bottom=0.75, index=0, label="cat", score=0.8)
    said = explanation_of(CAM)
    one = dataclasses.replace(said.classes[0], mask=CAM > 0, boxes=(box,))
    said = dataclasses.replace(said, classes=(one,), boxes=(box,), detects=True)
    followed = Follower(0.1, MotionFinder())(Shown(still, explained(first, said)))
    assert followed.age_frames == later
    (shown,) = followed.classes
    assert shown.has_evidence == is_seen
    assert (shown.mask is not None) == is_seen
    assert bool(shown.boxes) == bool(followed.boxes) == is_seen


@pytest.mark.parametrize(
    ("unit", "scores", "texts", "lengths"),
    [
        (None, (0.8, 0.2), ("80%", "20%"), (0.8, 0.2)),
        ("kg", (58.2, -29.1), ("58.2 kg", "-29.1 kg"), (1, 0.5)),
        ("", (0, 0), ("0.00", "0.00"), (0, 0)),
    ],
)
def test_bars_are_as_long_as_a_class_is_probable_or_relative_to_the_longest(
    unit: str | None, scores: tuple[float, ...], texts: tuple[str, ...], lengths: tuple[float, ...]
) -> None:
    told = explanation_of(CAM)
    predictions = tuple(Prediction(index, "name", score) for index, score in enumerate(scores))
    bars = bars_of(dataclasses.replace(told, unit=unit, predictions=predictions))
    assert bars == [
        (f"name  {text}", length, index == 0) for index, (text, length) in enumerate(zip(texts, lengths, strict=True))
    ]


def test_bars_of_the_members_of_a_group_are_those_that_are_explained() -> None:
    told = explanation_of(CAM, CAM, CAM)
    group = dataclasses.replace(told.classes[0], index=3, members=(0, 2))
    assert [bar[2] for bar in bars_of(dataclasses.replace(told, classes=(group,)))] == [True, False, True]


def test_more_lines_than_fit_are_cut_off() -> None:
    small = np.zeros((60, 80, 3), np.uint8)
    draw_lines(small, ["a line"] * 40, [("cat", 0.5, True)] * 5, top=20)
    draw_lines(small, ["a line"], top=100)
    draw_help(np.zeros((50, 60, 3), np.uint8), [("q", "quit")] * 20)
    assert not small[:20].any()
    assert small[20:].any()


@pytest.mark.parametrize("size", [(1366, 700), (300, 200), (90, 400), (33, 17)])
def test_a_picture_keeps_its_aspect_in_a_window_of_any_shape(size: tuple[int, int]) -> None:
    shown = on_screen(drawn(style=Style(blend="uniform", caption=False)), size=size)
    rows, columns = (np.nonzero(shown.any(axis=axis).any(axis=-1))[0] for axis in (1, 0))
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert width == size[0] or height == size[1]
    assert width / height == pytest.approx(WIDTH / HEIGHT, rel=0.1)


def test_the_panes_of_several_sources_are_a_grid_in_reading_order() -> None:
    picture = np.zeros((90, 160, 3), np.uint8)
    for number, part in enumerate(grid(picture, 3), 1):
        part[:] = number
    assert [int(picture[y, x, 0]) for y in (20, 70) for x in (40, 120)] == [1, 2, 3, 4]


def test_all_keys_are_legible_in_a_small_window_page_by_page() -> None:
    parts = shown_in_parts()
    parts.display.size = 300, 200
    pages, shown = [], 0
    parts.press("h")
    while parts.screen.help:
        pages.append(on_display(parts))
        shown += parts.screen.help_shown
        parts.press("h")
    assert shown == len(KEYS)
    assert len(pages) == len({page.tobytes() for page in pages}) > 1
    parts.display.size = 1280, 720
    parts.press("h")
    on_display(parts)
    parts.press("h")
    assert not parts.screen.help


def test_a_long_line_is_wrapped() -> None:
    def rows(line: str) -> int:
        bgr = np.full((300, 300, 3), 255, np.uint8)
        draw_lines(bgr, [line])
        return int((bgr[:, 0, 0] < 200).sum())

    assert rows("cannot write livecam.mp4: the disk is full; free some space") >= 2 * rows("a line")


def test_a_run_rests_while_its_window_is_hidden() -> None:
    run = LiveRun(NumberedSource(10**9, is_live=True))
    at: dict[str, int] = {}

    def press() -> str:
        ledger = run.ledger
        if ledger.explained > 3 and not run.display.is_hidden:
            run.display.is_hidden = True
        if ledger.dropped["pause"] > 50 and "hidden" not in at:
            at["hidden"] = ledger.explained
        if ledger.dropped["pause"] > 1000:
            at["still hidden"] = ledger.explained
            return "q"
        return ""

    run.display.press = press
    run()
    assert at["still hidden"] <= at["hidden"] + 1


@pytest.mark.parametrize(
    ("works_hidden", "records", "rests"), [(False, False, True), (False, True, False), (True, False, False)]
)
def test_a_hidden_run_works_on_for_a_recording_and_for_predictions(
    works_hidden: bool, records: bool, rests: bool
) -> None:
    run = LiveRun(NumberedSource(1, is_live=True), works_hidden=works_hidden)
    run.display.is_hidden = True
    if records:
        run.session.recorder.start()
    run.session._rest_while_hidden()
    assert [feed.is_resting for feed in run._feeds] == [rests]

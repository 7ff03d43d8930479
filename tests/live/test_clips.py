"""Live runs of a model of clips: every frame that is shown has the map of a clip that contains it."""

from __future__ import annotations

import dataclasses
import re
import threading
import time
from typing import Any

import pytest

from livecam.live.feed import Explained, Feed
from livecam.picture.frame import Frame
from livecam.picture.media import Orientation
from livecam.run.clip_window import ClipWindow, of_frame
from tests.live.harness import FACTS, LiveRun, Parts, wait_until
from tests.support.doubles import ClipReader, NumberedSource, nothing

FRAMES = list(NumberedSource(60).frames(None))


def live_run(count: int, reader: ClipReader, *, is_live: bool = True, before: Any = None, **options: Any) -> LiveRun:
    source = NumberedSource(count, is_live=is_live, **({"before": before} if before else {}))
    return LiveRun(source, explainer=reader, **options)()


def check(run: LiveRun) -> None:
    for _, frame, one in run.shown:
        assert one.clip_frames is not None and one.cell_frames is not None
        assert one.clip_frames[0] <= one.cell_frames[0] <= frame.index <= one.cell_frames[1] <= one.clip_frames[1]
        assert str(frame.index) in one.label.split()
    assert run.indices == sorted(run.indices)
    assert run.ledger.is_balanced


@pytest.mark.parametrize("count", [8, 9, 30])
@pytest.mark.parametrize("stride", [None, 1, 3])
def test_every_frame_of_a_file_is_shown_with_the_cell_of_its_own_time(count: int, stride: int | None) -> None:
    reader = ClipReader()
    run = live_run(count, reader, is_live=False, stride=stride)
    check(run)
    assert run.indices == list(range(count))
    assert run.ledger.explained == run.ledger.delivered == count
    assert run.ledger.clips == len(reader.clips)


def test_a_live_source_keeps_all_its_frames_if_there_is_time() -> None:
    permits = threading.Semaphore(ClipReader.clip_frames)
    reader = ClipReader(before=lambda last: permits.release(4))
    run = live_run(40, reader, before=lambda number: permits.acquire(timeout=30), stride=4)
    check(run)
    assert run.indices == list(range(40))
    assert not run.ledger.dropped


def test_frames_of_a_live_source_that_come_too_fast_are_dropped_and_counted() -> None:
    is_far = threading.Event()  # the first clip takes until then
    run = live_run(
        60,
        ClipReader(before=lambda number: is_far.wait(5)),
        before=lambda number: is_far.set() if number == 50 else time.sleep(0.001),
    )
    check(run)
    assert run.ledger.read == 60
    assert set(run.ledger.dropped) == {"explain"}
    assert run.ledger.dropped["explain"] >= 50 - 2 * ClipReader.clip_frames
    assert run.ledger.clips_left_out == 0  # no stride was asked for


def test_a_stride_that_cannot_be_kept_is_told_and_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("livecam.live.explainer_thread._LOOK_SECONDS", 0.0)
    count, permits, reached = 90, threading.Semaphore(9), [0]

    def read(number: int) -> None:
        permits.acquire(timeout=5)
        reached[0] = number

    def explain_slowly(last: int) -> None:  # six frames come meanwhile
        permits.release(6)
        wait_until(lambda: reached[0] >= min(last + 6, count - 1))

    run = live_run(count, ClipReader(before=explain_slowly), before=read, stride=2)
    check(run)
    assert run.ledger.clips_left_out >= run.ledger.clips > 10
    (told,) = (line for line in caplog.messages if "stride" in line)
    assert re.fullmatch(r"a stride of 2 cannot be kept: a clip is explained each [4-8] frames", told)
    assert "left out)" in run.ledger.line()


def feed_of(*, is_live: bool = True, stride: int | None = 1) -> Feed:
    feed = Feed(NumberedSource(60, is_live=is_live), threading.Condition())
    feed.take_clips(ClipWindow(ClipReader().prepared, ClipReader.clip_frames, stride=stride))
    return feed


def explain(feed: Feed) -> list[int]:
    """Explain the clip that is due; return the indices of the frames that waited for it."""
    taken = feed.take_clip()
    assert taken is not None
    clip, frames = taken
    (cells,) = ClipReader().explain_clips([clip])
    feed.put_explained(*(Explained(frame, of_frame(cells, frame), FACTS, clip=clip) for frame in frames))
    return [frame.index for frame in frames]


def shown_of(feed: Feed) -> list[int]:
    indices = []
    while feed.waits_for_screen:
        shown = feed.take_to_show()
        assert shown is not None
        indices.append(shown.frame.index)
        feed.ledger.deliver(shown.frame.captured_seconds, 0)
    return indices


def put(feed: Feed, indices: range) -> None:
    for index in indices:
        feed.put(dataclasses.replace(FRAMES[index], captured_seconds=0.0))  # so none waits for its own pace


def test_a_clip_is_due_when_the_window_is_full_and_then_each_stride() -> None:
    feed = feed_of(stride=3)
    put(feed, range(7))
    assert not feed.waits_for_explainer
    put(feed, range(7, 8))
    assert explain(feed) == list(range(8))
    put(feed, range(8, 10))
    assert not feed.waits_for_explainer
    put(feed, range(10, 11))
    assert explain(feed) == [8, 9, 10]


def test_frames_that_no_clip_to_come_contains_do_not_wait() -> None:
    feed = feed_of()
    put(feed, range(40))
    assert explain(feed) == list(range(32, 40))
    assert feed.ledger.dropped == {"explain": 32}


def test_frames_that_wait_never_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livecam.live.feed._MOST_WAITING_BYTES", 3 * 160 * 90 * 2)
    feed = feed_of()
    put(feed, range(8))
    assert explain(feed) == [6, 7]
    assert feed.ledger.dropped == {"explain": 6}


def captured(index: int, ago_seconds: float) -> Frame:
    return dataclasses.replace(FRAMES[index], captured_seconds=time.perf_counter() - ago_seconds)


def test_frames_that_are_drawn_too_slowly_are_dropped() -> None:
    feed = feed_of(stride=4)
    for index in range(12):
        feed.put(captured(index, 0 if index > 7 else 2 - 0.1 * index))
        if index == 7:
            explain(feed)  # the first of them is to be shown 2 s after it was captured
    feed._delay_seconds = 0.0
    explain(feed)
    assert [frame.index for frame, _ in feed._to_show] == [8, 9, 10, 11]
    assert feed.ledger.dropped == {"show": 8}


def test_what_was_late_is_caught_up_smoothly() -> None:
    feed = feed_of(stride=4)
    put(feed, range(7))
    feed.put(captured(7, 1))
    explain(feed)
    for index in range(8, 12):
        feed.put(captured(index, 0))
    explain(feed)
    assert feed._delay_seconds > 0.8  # though these were explained at once


def test_a_paused_picture_is_explained_anew_by_its_own_clip() -> None:
    parts = Parts(NumberedSource(60, is_live=True), reader=ClipReader())
    (feed,) = parts.feeds
    feed.source.media = dataclasses.replace(feed.source.media)
    with parts.explaining_thread():
        wait_until(lambda: feed.has_begun)
        put(feed, range(12))
        wait_until(lambda: parts.screen.present() is not None and feed.on_screen and feed.on_screen.frame.index >= 7)
        parts.press(" ")
        shown = feed.on_screen
        assert shown is not None
        parts.press("m")
        wait_until(lambda: feed.is_revised)
    assert feed.on_screen is not None and feed.on_screen.frame is shown.frame
    anew = feed.on_screen.explained.explanation
    assert anew is not shown.explained.explanation
    assert str(shown.frame.index) in anew.label.split()


def test_a_reflected_picture_begins_a_new_clip() -> None:
    feed = feed_of()
    put(feed, range(8))
    explain(feed)
    for index in range(8, 18):
        feed.put(dataclasses.replace(FRAMES[index], orientation=Orientation(flipped_x=True)))
        assert feed.waits_for_explainer == (index >= 15)
    assert explain(feed) == list(range(10, 18))


def test_a_clip_that_was_given_up_is_not_explained() -> None:
    feed = feed_of()
    put(feed, range(8))
    assert feed.waits_for_explainer
    feed.put(dataclasses.replace(FRAMES[8], orientation=Orientation(flipped_x=True)))
    assert feed.take_clip() is None


def test_a_frame_without_a_map_of_its_own_is_shown_at_once() -> None:
    feed = feed_of()
    for index in range(8):
        feed.put(captured(index, 2))
    explain(feed)
    assert feed._delay_seconds > 1
    shown_of(feed)
    feed._to_show.clear()
    feed.shows_every = True
    feed.put(captured(8, 0))
    assert shown_of(feed) == [8]


@pytest.mark.parametrize("is_live", [False, True])
def test_frames_that_wait_for_a_clip_are_counted_if_every_frame_is_shown_from_then_on(is_live: bool) -> None:
    feed = feed_of(is_live=is_live, stride=4)
    put(feed, range(8))
    explain(feed)
    shown = shown_of(feed)
    put(feed, range(8, 11))  # they wait for the next clip
    feed.shows_every = True  # as while another method is chosen
    put(feed, range(11, 12))
    shown += shown_of(feed)
    feed.close()
    assert feed.ledger.is_balanced
    assert shown == [*range(8), *([11] if is_live else range(8, 12))]
    assert feed.ledger.dropped == ({"show": 3} if is_live else {})


def test_frames_that_waited_before_a_pause_are_not_explained_by_a_clip_without_them() -> None:
    feed = feed_of(stride=4)
    put(feed, range(8))
    explain(feed)
    shown_of(feed)
    put(feed, range(8, 11))
    feed.pause(True)
    put(feed, range(11, 24))
    feed.pause(False)
    assert not feed.waits_for_explainer
    feed.close()
    assert feed.ledger.dropped == {"explain": 3, "pause": 13} and feed.ledger.is_balanced


@pytest.mark.parametrize("is_live", [False, True])
def test_every_frame_is_shown_if_so_asked(is_live: bool) -> None:
    wait = (lambda number: time.sleep(0.01)) if is_live else nothing
    run = live_run(40, ClipReader(), is_live=is_live, before=wait, shows_every=True)
    assert len(run.indices) > 20
    for _, frame, one in run.shown:
        assert one.clip_frames is not None
        assert frame.index - one.age_frames == one.clip_frames[1] or not one.age_frames
    assert run.ledger.is_balanced


def test_the_frames_of_a_clip_keep_their_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = feed_of(stride=4)
    for index in range(8):
        captured_seconds = time.perf_counter() + 0.02 * (index - 7)
        feed.put(dataclasses.replace(FRAMES[index], captured_seconds=captured_seconds))
    explain(feed)
    begin = time.perf_counter()
    seen = []
    while len(seen) < 8:
        seen += [(index, time.perf_counter() - begin) for index in shown_of(feed)]
    assert [index for index, _ in seen] == list(range(8))
    assert all(seconds >= 0.02 * index - 0.001 for index, seconds in seen)

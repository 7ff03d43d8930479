"""The feed: frames stay in order, and none gets the explanation of another."""

from __future__ import annotations

import dataclasses
import threading
import time

import numpy as np

from livecam.live.feed import Feed
from tests.live.harness import explained
from tests.support.doubles import NumberedSource
from tests.support.explanations import explanation_of

FRAMES = list(NumberedSource(9).frames(None))
SAID = explanation_of(np.ones((8, 8), np.float32))


def feed_of(*, is_live: bool) -> Feed:
    return Feed(NumberedSource(9, is_live=is_live), threading.Condition())


def show(feed: Feed, index: int) -> None:
    """Take a frame all the way to the screen."""
    feed.put(FRAMES[index])
    feed.put_explained(explained(feed.take_to_explain(), SAID))
    shown = feed.take_to_show()
    assert shown is not None
    assert shown.frame is FRAMES[index]
    feed.ledger.deliver(shown.frame.captured_seconds, 0)


def test_the_picture_never_goes_back_in_time() -> None:
    feed = feed_of(is_live=True)
    show(feed, 0)
    feed.put(FRAMES[1])
    late = feed.take_to_explain()
    feed.shows_every = True  # a key was pressed meanwhile
    feed.put(FRAMES[2])
    shown = feed.take_to_show()
    feed.put_explained(explained(late, SAID))
    assert shown is not None
    assert shown.frame is FRAMES[2]
    assert feed.take_to_show() is None
    assert feed.ledger.dropped == {"explain": 1}


def test_another_explanation_is_given_to_the_frame_that_it_is_of() -> None:
    feed = feed_of(is_live=False)
    show(feed, 0)
    earlier = feed.on_screen
    show(feed, 1)
    other = explanation_of(np.eye(8, dtype=np.float32))
    assert earlier is not None and feed.on_screen is not None
    feed.revise(earlier, explained(FRAMES[0], other))
    assert feed.on_screen.explained.explanation is SAID
    assert not feed.take_revised()
    feed.revise(feed.on_screen, explained(FRAMES[1], other))
    assert feed.on_screen.explained.explanation is other
    assert feed.take_revised()
    assert not feed.take_revised()


def test_a_paused_camera_shows_nothing_but_the_frame_of_a_step() -> None:
    feed = feed_of(is_live=True)
    show(feed, 0)
    feed.pause(True)
    feed.put(FRAMES[1])
    assert not feed.waits_for_explainer
    feed.step()
    show(feed, 2)
    feed.put(FRAMES[3])
    assert not feed.waits_for_explainer
    feed.pause(False)
    show(feed, 4)
    assert feed.ledger.dropped == {"pause": 2}


def test_a_step_shows_a_frame_with_its_own_map_even_if_every_frame_is_shown() -> None:
    feed = feed_of(is_live=True)
    show(feed, 0)
    feed.shows_every = True
    feed.pause(True)
    feed.step()
    feed.put(FRAMES[1])
    assert not feed.waits_for_screen
    feed.put_explained(explained(feed.take_to_explain(), SAID))
    shown = feed.take_to_show()
    assert shown is not None
    assert shown.frame is shown.explained.frame is FRAMES[1]


def test_what_waits_when_a_camera_is_paused_is_dropped_and_of_a_file_kept() -> None:
    for is_live, dropped in ((True, {"pause": 1}), (False, {})):
        feed = feed_of(is_live=is_live)
        feed.put(FRAMES[0])
        feed.put_explained(explained(feed.take_to_explain(), SAID))
        feed.pause(True)
        assert feed.take_to_show() is None
        assert feed.ledger.dropped == dropped
        feed.pause(False)
        assert (feed.take_to_show() is None) == is_live


def test_the_latency_of_a_frame_counts_from_the_end_of_a_pause_that_it_waited_in() -> None:
    feed = feed_of(is_live=False)
    frame = dataclasses.replace(FRAMES[0], captured_seconds=-1000.0)
    feed.rest(False)  # which is not an end of a pause
    assert feed.since_seconds(frame) == -1000
    feed.pause(True)
    feed.pause(False)
    assert feed.since_seconds(frame) > 0
    feed.pause(True)
    paused_seconds = time.perf_counter()
    feed.step()
    assert feed.since_seconds(frame) >= paused_seconds
    later = dataclasses.replace(frame, captured_seconds=time.perf_counter())
    assert feed.since_seconds(later) == later.captured_seconds


def test_what_is_on_its_way_at_the_end_is_accounted_for() -> None:
    feed = feed_of(is_live=True)
    show(feed, 0)
    feed.put(FRAMES[1])
    feed.put_explained(explained(feed.take_to_explain(), SAID))  # waits for the screen
    feed.put(FRAMES[2])
    feed.take_to_explain()  # is being explained
    feed.put(FRAMES[3])  # waits for the explainer
    assert not feed.ledger.is_balanced
    feed.close()
    assert feed.ledger.dropped == {"end": 3}
    assert feed.ledger.is_balanced


def test_damaged_frames_are_left_out_and_counted_if_that_was_asked_for() -> None:
    for skips, dropped in ((False, {}), (True, {"damaged": 1})):
        feed = Feed(NumberedSource(9, is_live=True), threading.Condition(), skips_damaged=skips)
        feed.put(dataclasses.replace(FRAMES[0], is_damaged=True))
        assert feed.waits_for_explainer != skips
        assert feed.ledger.dropped == dropped
        assert feed.ledger.read == 1
    assert "1 dropped (1 damaged)" in feed.ledger.line()

"""The gaps of a signal that is lost, and what is told: the reasons, the end, and moments only once a minute."""

from __future__ import annotations

import pytest

from livecam.ledger import Gap
from livecam.sources.signal import LossNotes, Signal
from tests.support.reading import Clock


def test_the_signal_keeps_the_gaps() -> None:
    clock = Clock()
    signal = Signal(clock.tell)
    signal.lose("not yet")
    assert signal.lost_seconds() == 0
    signal.came(101.0)
    assert signal.lost_seconds() is None
    assert signal.gaps == []
    signal.came(102.0)
    clock.seconds = 105.0
    signal.lose("unplugged")
    assert (signal.lost_seconds(), signal.problem) == (3.0, "unplugged")
    signal.came(106.0)
    signal.lose("connection refused")
    clock.seconds = 108.0
    signal.stop()
    assert signal.gaps == [Gap(1.0, 5.0, "unplugged"), Gap(5.0, 7.0, "connection refused")]


def test_each_reason_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    notes = LossNotes("it")
    for problem in ("the stream has ended", "connection refused", "401", "connection refused", "401"):
        notes.lost(problem)
    notes.came(2.0)
    notes.came(None)
    assert caplog.messages == [
        "it is lost (the stream has ended); reconnecting until it is back",
        "it is still lost (connection refused)",
        "it is still lost (401)",
        "it is back after 2.0 s",
    ]


def test_moments_are_told_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    notes = LossNotes("it", clock.tell)
    for _ in range(20):
        notes.lost("the stream has ended")
        notes.came(0.25)
        clock.sleep(4)
    assert caplog.messages == [
        "it is lost (the stream has ended); reconnecting until it is back",
        "it is back after 0.2 s",
        "it was lost for a moment 14 more times",
    ]


def test_a_loss_that_lasts_is_told_also_within_the_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    notes = LossNotes("it", clock.tell)
    notes.lost("the stream has ended")
    notes.came(0.25)
    caplog.clear()
    for _ in range(4):
        notes.lost("connection refused")
        clock.sleep(2)
    assert caplog.messages == ["it is lost (connection refused); reconnecting until it is back"]

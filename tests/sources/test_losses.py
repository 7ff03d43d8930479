"""What is told about a signal that is lost: the reasons, the end, and moments only once a minute."""

from __future__ import annotations

import pytest

from livecam.sources.losses import Losses
from tests.support.reading import Clock


def test_each_reason_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    losses = Losses("it")
    for problem in ("the stream has ended", "connection refused", "401", "connection refused", "401"):
        losses.lost(problem)
    losses.came(2.0)
    losses.came(None)
    assert caplog.messages == [
        "it is lost (the stream has ended); reconnecting until it is back",
        "it is still lost (connection refused)",
        "it is still lost (401)",
        "it is back after 2.0 s",
    ]


def test_moments_are_told_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    losses = Losses("it", clock.tell)
    for _ in range(20):
        losses.lost("the stream has ended")
        losses.came(0.25)
        clock.sleep(4)
    assert caplog.messages == [
        "it is lost (the stream has ended); reconnecting until it is back",
        "it is back after 0.2 s",
        "it was lost for a moment 14 more times",
    ]


def test_a_loss_that_lasts_is_told_also_within_the_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    losses = Losses("it", clock.tell)
    losses.lost("the stream has ended")
    losses.came(0.25)
    caplog.clear()
    for _ in range(4):
        losses.lost("connection refused")
        clock.sleep(2)
    assert caplog.messages == ["it is lost (connection refused); reconnecting until it is back"]

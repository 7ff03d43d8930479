"""Pages as a display: what they get of each picture, what they are told beside it, and what they may ask for."""

from __future__ import annotations

import dataclasses
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from types import SimpleNamespace
from typing import Any, NoReturn

import av
import numpy as np
import pytest

from livecam.errors import InputError, ModelError
from livecam.live.feed import Feed
from livecam.live.feeds import Feeds
from livecam.live.pages import _KEYS, NotesOnPages, Pages, facts_of
from livecam.live.session import Session, SessionOptions
from livecam.live.state import state_of
from livecam.picture.frame import Frame
from livecam.sources import Source
from tests.live.harness import Parts, explained
from tests.support.clips import number_in
from tests.support.doubles import HEIGHT, WIDTH, NumberedSource, NumberReader
from tests.support.explanations import explanation_of


class FakeServer:
    """In place of a server: keeps what pages would get. `on_picture` is called with the facts of each picture."""

    def __init__(self, on_picture: Callable[[dict[str, Any]], object] = lambda facts: None) -> None:
        self.pages = 1
        self.pictures: list[tuple[int, int, dict[str, Any]]] = []
        self.states: list[dict[str, Any]] = []
        self.answers: list[str] = []
        self.asked: list[dict[str, Any]] = []
        self.flushed = 0
        self.closed = ""
        self.flushed = 0
        self.camera = SimpleNamespace(origin=lambda frame: {"camera_sequence": 100 + frame.index})
        self._on_picture = on_picture

    def publish(self, source: int, picture: av.VideoFrame, facts: dict[str, Any]) -> None:
        json.dumps(facts, allow_nan=False)
        self.pictures.append((source, number_in(picture.to_ndarray(format="rgb24")), facts))
        self._on_picture(facts)

    def flush(self, timeout_seconds: float) -> None:
        self.flushed = len(self.pictures)

    def set_state(self, state: dict[str, Any]) -> None:
        if not self.closed:
            self.states.append(json.loads(json.dumps(state, allow_nan=False)))

    def answer(self, line: str) -> None:
        self.answers.append(line)

    def commands(self) -> list[dict[str, Any]]:
        asked, self.asked = self.asked, []
        return asked

    def close(self, reason: str) -> None:
        self.closed = self.closed or reason


def run_on(
    server: FakeServer, *sources: Source, camera_source: int | None = None, load: Any = NumberReader, **options: Any
) -> Session:
    """Run a session that is shown on the pages of a server."""
    settings = SessionOptions(**{"is_steady": False, "duration_seconds": 20.0} | options)
    feeds = Feeds(sources)
    pages = Pages(server, camera_source)  # type: ignore[arg-type]
    session = Session(feeds, load, pages, settings, model_name="reader")
    with feeds:
        session.run()
    return session


@pytest.fixture
def states_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livecam.live.pages._STATE_SECONDS", 0.0)


def test_each_picture_comes_with_what_is_said_of_this_very_frame() -> None:
    server = FakeServer()
    session = run_on(server, NumberedSource(12))
    (ledger,) = session.ledgers
    assert [number for _, number, _ in server.pictures] == list(range(12))
    assert server.flushed == 12  # so what counts as shown was sent
    for _, number, facts in server.pictures:
        assert [one["label"] for one in facts["classes"]] == [str(number)] == [one["label"] for one in facts["best"]]
        x, y = facts["classes"][0]["peak"]
        assert (x, y) == (0.5, (number % 8 + 0.5) / 8)
        assert facts["age_frames"] == 0
        assert facts["latency_ms"] > 0
        assert (facts["width"], facts["height"]) == (WIDTH, HEIGHT)
        assert "camera_sequence" not in facts
    assert ledger.delivered == 12 == server.flushed
    assert server.closed == "its sources have ended"


def test_only_frames_of_a_pages_camera_tell_their_number_there() -> None:
    server = FakeServer()
    run_on(server, NumberedSource(3), NumberedSource(3), camera_source=1)
    for source, number, facts in server.pictures:
        assert facts.get("camera_sequence") == (100 + number if source else None)


def test_the_size_is_that_in_square_pixels() -> None:
    server = FakeServer()
    run_on(server, NumberedSource(1, aspect=Fraction(2)))
    assert (server.pictures[0][2]["width"], server.pictures[0][2]["height"]) == (2 * WIDTH, HEIGHT)


def test_a_score_that_is_no_number_is_sent_as_none() -> None:
    parts = Parts(NumberedSource(1))
    frame = next(NumberedSource(1).frames(None))
    feed = parts.feeds[0]
    feed.put(frame)
    said = explanation_of(np.zeros((2, 2), np.float32))
    nan = dataclasses.replace(said, classes=(dataclasses.replace(said.classes[0], score=float("nan")),), unit="years")
    feed.put_explained(explained(feed.take_to_explain(), nan))
    parts.screen.present()
    ((_, drawn),) = parts.display.taken
    (one,) = facts_of(drawn)["classes"]
    assert (one["score"], one["text"], one["peak"]) == (None, "nan years", None)


def test_settings_and_commands_of_pages_are_carried_out(states_at_once: None) -> None:
    def ask(facts: dict[str, Any]) -> None:
        asked = {
            3: {"type": "set", "view": "panels", "colormap": "hot"},
            5: {"type": "set", "opacity": 7},
            7: {"type": "do", "command": "step"},
            8: {"type": "set", "paused": False},
        }
        if (number := int(facts["best"][0]["label"])) in asked:
            server.asked.append(asked.pop(number))

    server = FakeServer(ask)
    run_on(server, NumberedSource(12))
    assert "opacity is from 0 to 1, not 7" in server.answers
    assert "one more frame" in server.answers
    sizes = [facts["width"] for _, number, facts in server.pictures if number != 3]
    assert sizes[:3] == [WIDTH] * 3
    assert set(sizes[3:]) == {2 * WIDTH}
    assert any(state["settings"]["paused"] for state in server.states if state["settings"])
    assert server.states[-1]["settings"]["view"] == "panels"


def test_a_picture_in_another_style_or_with_another_explanation_is_sent_again_while_paused() -> None:
    asked: list[dict[str, Any]] = [
        {"type": "set", "paused": True, "view": "side-by-side"},
        {"type": "set", "top": 2},
        {"type": "set", "paused": False},
    ]

    def ask(facts: dict[str, Any]) -> None:
        server.asked += asked[:1]
        del asked[:1]

    server = FakeServer(ask)
    run_on(server, NumberedSource(3))
    numbers = [int(facts["best"][0]["label"]) + facts["age_frames"] for _, _, facts in server.pictures]
    assert numbers == [0, 0, 0, 1, 2]
    assert [facts["width"] for _, _, facts in server.pictures][:3] == [WIDTH, 2 * WIDTH, 2 * WIDTH]


def test_the_state_tells_what_is_waited_for_then_settings_and_choices(states_at_once: None) -> None:
    server = FakeServer()
    source = NumberedSource(5)
    source.opened = lambda: time.sleep(0.3) or source  # type: ignore[assignment, func-returns-value]
    run_on(server, source)
    first, last = server.states[0], server.states[-1]
    assert (first["model"], first["waits_for"], first["settings"], first["labels"]) == (
        "reader",
        "opening ...",
        None,
        None,
    )
    assert last["waits_for"] is last["problem"] is None
    assert last["settings"]["method"] == "gradcam"
    assert last["choices"]["layers"] == [{"name": None, "title": "evidence"}, {"name": "features", "title": "features"}]
    assert last["labels"] == ["zero", "one"]
    assert last["engine"] == "eager fp32"
    assert last["sources"] == [{"name": "numbers", "width": WIDTH, "height": HEIGHT}]
    (account,) = last["ledger"]
    assert account["read"] == account["shown"] + sum(account["dropped"].values())
    assert account["latency_ms"]["p50"] > 0


def test_the_last_state_accounts_for_every_frame() -> None:
    server = FakeServer()
    source = NumberedSource(1000, is_live=True, before=lambda number: time.sleep(0.001))
    reader = partial(NumberReader, lambda number: time.sleep(0.05))  # so that a frame is on its way at the end
    (ledger,) = run_on(server, source, load=reader, duration_seconds=0.2).ledgers
    (account,) = server.states[-1]["ledger"]
    assert account["read"] == account["shown"] + sum(account["dropped"].values())
    assert account["shown"] == ledger.delivered > 0


def test_the_state_tells_that_a_signal_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = Parts(NumberedSource(1, is_live=True))
    source = parts.feeds[0].source
    monkeypatch.setattr(source, "signal", SimpleNamespace(problem="unplugged", lost_seconds=lambda: 4.0))
    source.name = "folder/numbers"  # pages are not told where a file is
    state = state_of(parts.screen.panes, "reader", None, None)
    assert state["problem"] == "no signal from numbers: unplugged"
    assert state["waits_for"] == "unplugged"


def test_a_run_rests_while_no_page_is_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livecam.live.session._LOOK_SECONDS", 0.05)

    def close(facts: dict[str, Any]) -> None:
        server.pages = 0

    def come_back() -> None:
        server.pages = 1

    server = FakeServer(close)
    resting = threading.Timer(0.5, come_back)
    resting.start()
    session = run_on(server, NumberedSource(60, is_live=True, before=lambda number: time.sleep(0.02)))
    resting.join()
    (ledger,) = session.ledgers
    assert ledger.dropped["pause"] > 5
    assert ledger.is_balanced


def test_the_state_counts_what_a_page_dropped_since_and_what_is_on_its_way_at_the_end() -> None:
    source = DroppingCamera(9, is_live=True)
    parts = Parts(source)
    (feed,) = parts.feeds
    feed.begin()
    feed.put(next(NumberedSource(1).frames(None)))
    source.count = 3
    (account,) = state_of(parts.screen.panes, "reader", None, None)["ledger"]
    assert (account["read"], account["dropped"]) == (4, {"browser": 3})
    feed.stop()
    source.count = 5
    (account,) = state_of(parts.screen.panes, "reader", None, None)["ledger"]
    assert (account["read"], account["dropped"]) == (6, {"browser": 5, "end": 1})
    source.count = 6
    feed.close()
    assert (feed.ledger.read, feed.ledger.dropped) == (7, {"browser": 6, "end": 1})


class DroppingCamera(NumberedSource):
    """A camera that drops two frames before each that it yields, and one after the last."""

    count = 0

    @property
    def dropped(self) -> dict[str, int]:
        return {"browser": self.count}

    def frames(self, on_packet: object) -> Iterator[Frame]:
        for frame in super().frames(on_packet):
            self.count += 2
            yield frame
        self.count += 1


def test_what_a_page_dropped_is_in_the_ledger() -> None:
    server = FakeServer()
    (ledger,) = run_on(server, DroppingCamera(10)).ledgers
    assert (ledger.read, ledger.delivered, ledger.dropped) == (31, 10, {"browser": 21})
    assert ledger.is_balanced


def test_what_a_page_dropped_counts_once_frames_count() -> None:
    source = DroppingCamera(1)
    feed = Feed(source, threading.Condition())
    source.count = 5
    feed.count_dropped()
    assert feed.ledger.read == 0
    feed.begin()
    feed.count_dropped()
    feed.count_dropped()
    assert (feed.ledger.read, feed.ledger.dropped) == (5, {"browser": 5})


def test_lines_and_notes_of_a_run_are_told_to_the_pages() -> None:
    server = FakeServer()
    pages = Pages(server)  # type: ignore[arg-type]
    pages.tell("saved")
    log = logging.getLogger("livecam")
    with NotesOnPages(server.answer):
        log.warning("%s is lost", "rtsp://user:secret@camera.local/stream")
        log.info("no note")
    log.warning("later")
    assert server.answers == ["saved", "rtsp://camera.local/stream is lost"]


def test_pages_are_told_why_a_run_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> NoReturn:
        raise ModelError("there is no such model")

    def fail_otherwise() -> NoReturn:
        raise RuntimeError

    def break_down(number: int) -> None:
        raise InputError("the camera is unplugged")

    server = FakeServer()
    run_on(server, NumberedSource(1000, is_live=True), duration_seconds=0.05)
    assert server.closed == "its time is over"
    server = FakeServer(lambda facts: server.asked.append({"type": "do", "command": "quit"}))
    monkeypatch.setitem(_KEYS, "quit", "q")
    run_on(server, NumberedSource(1000, is_live=True))
    assert server.closed == "it was stopped"
    server = FakeServer()
    with pytest.raises(InputError):
        run_on(server, NumberedSource(3, before=break_down))
    assert server.closed == "the camera is unplugged"
    server = FakeServer()
    with pytest.raises(ModelError):
        run_on(server, NumberedSource(3), load=fail)
    assert server.closed == "there is no such model"
    server = FakeServer()
    with pytest.raises(RuntimeError):
        run_on(server, NumberedSource(3), load=fail_otherwise)
    assert server.closed == "an unexpected RuntimeError"

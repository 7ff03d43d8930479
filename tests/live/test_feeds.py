"""Opening and reading sources: each lives by itself, and none can hold up the end of a run."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from livecam.errors import InputError
from livecam.live.awaited import AwaitedSource
from livecam.live.feeds import Feeds
from livecam.live.pane import Pane
from livecam.picture.frame import Frame
from livecam.sources import LiveOptions, Signal, Source
from tests.live.harness import LiveRun, on_screen, wait_until
from tests.support.doubles import NumberedSource
from tests.support.reading import number_of
from tests.support.streams import StreamServer, free_port, watched

pytestmark = pytest.mark.usefixtures("quick_shapes")

Livecam = Callable[..., Result]
DEMO = "demo:?size=64x48&fps=50"


@pytest.fixture
def server() -> Iterator[StreamServer]:
    one = StreamServer()
    yield one
    one.kill()


def awaited(uri: str) -> AwaitedSource:
    return AwaitedSource(uri, LiveOptions(), tries_again=True)


class HangingSource(NumberedSource):
    """A server that hangs after so many frames, which no `stop` ends."""

    def __init__(self, count: int = 0) -> None:
        super().__init__(count, is_live=True)
        self.is_over = threading.Event()
        self.is_hanging = threading.Event()
        self.is_closed = False

    def frames(self, on_packet: object) -> Iterator[Frame]:
        yield from super().frames(on_packet)
        self.is_hanging.set()
        self.is_over.wait()

    def close(self) -> None:
        self.is_closed = True


def test_one_that_is_missing_at_the_start_is_told_and_joins_later(
    server: StreamServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("livecam.live.awaited._RETRY_SECONDS", 0.05)
    with Feeds([awaited(DEMO), awaited(server.url)]) as feeds:
        feeds.wait_until_open()
        for feed in feeds:
            feed.begin()
        there, missing = feeds
        assert (there.is_open, missing.is_open) == (True, False)
        assert "connection refused" in missing.source.signal.problem
        assert sum(f"{server.url}: connection refused" in line for line in caplog.messages) == 1
        server.start()
        wait_until(lambda: missing.is_open and missing.ledger.read)
        assert missing.source.media.width == 160
        feeds.end()
    assert missing.ledger.source == server.url


def test_only_if_none_can_be_opened_there_is_no_run(livecam: Livecam, tmp_path: Path) -> None:
    urls = [f"tcp://127.0.0.1:{free_port()}" for _ in range(2)]
    result = livecam("live", *urls, "--no-window", "--report", tmp_path / "run.json")
    assert result.exit_code == 1
    first, second, last = sorted(result.output.strip().splitlines(), reverse=True)
    assert {url for url in urls for line in (first, second) if url in line} == set(urls)
    assert last == "livecam: none of the 2 sources can be opened"


def test_what_can_never_be_opened_ends_the_run_although_another_is_there(livecam: Livecam, tmp_path: Path) -> None:
    result = livecam("live", "nowhere.mp4", DEMO, "--no-window", "--report", tmp_path / "run.json")
    assert result.exit_code == 1
    assert "nowhere.mp4 does not exist" in result.output.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_a_slow_one_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livecam.live.feeds._PATIENCE_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        slow = awaited(f"tcp://127.0.0.1:{silent.getsockname()[1]}")
        with Feeds([slow, awaited(DEMO)]) as feeds:
            begin = time.monotonic()
            feeds.wait_until_open()
            assert feeds[1].is_open
            assert time.monotonic() - begin < 2
            assert feeds[0].source is slow
        assert time.monotonic() - begin < 3  # its thread is left behind


def test_what_arrives_before_the_run_is_read_and_thrown_away(server: StreamServer) -> None:
    server.start()
    with watched(server.url) as source:
        begun, seen = threading.Event(), []
        reading = threading.Thread(target=source.idle, args=(begun, seen.append))
        reading.start()
        time.sleep(0.6)
        begun.set()
        reading.join()
        assert number_of(next(iter(source.frames(lambda packet: None)))) >= 25


def test_a_recording_waits_for_the_run() -> None:
    begun = threading.Event()
    source: Source = NumberedSource(3)
    threading.Timer(0.1, begun.set).start()
    source.idle(begun, lambda frame: None)
    assert begun.is_set()
    assert [frame.index for frame in source.frames(lambda packet: None)] == [0, 1, 2]


def test_a_run_does_not_wait_for_a_source_that_hangs() -> None:
    source = HangingSource(5)
    run = LiveRun(source)
    run.display.press = lambda: "q" if source.is_hanging.is_set() else ""
    begin = time.monotonic()
    run()
    assert time.monotonic() - begin < 3
    assert run.ledger.is_balanced
    assert not source.is_closed
    source.is_over.set()
    wait_until(lambda: source.is_closed)


def test_a_source_without_a_signal_delays_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livecam.live.explainer_thread._GATHER_SECONDS", 30.0)
    lost = HangingSource()
    lost.signal = Signal()
    lost.signal.lose("unplugged")
    run = LiveRun(NumberedSource(10), lost)
    run.display.press = lambda: "q" if run.display.frames >= 10 else ""
    run()
    lost.is_over.set()
    assert len(run.shown) == 10
    assert run.ledger.seconds < 10


def test_a_source_is_closed_after_its_last_frame() -> None:
    source = HangingSource(3)
    source.is_over.set()
    with Feeds([source]) as feeds:
        for feed in feeds:
            feed.begin()
        wait_until(lambda: source.is_closed)
        wait_until(lambda: feeds[0].is_silent)
        assert feeds[0].ledger.read == 3


def test_a_single_source_that_cannot_be_opened_is_the_error() -> None:
    with (
        Feeds([AwaitedSource(f"tcp://127.0.0.1:{free_port()}", LiveOptions(), tries_again=False)]) as feeds,
        pytest.raises(InputError, match="connection refused"),
    ):
        feeds.wait_until_open()


def test_a_pane_says_what_is_waited_for() -> None:
    (feed,) = Feeds([awaited(DEMO)])
    waiting = on_screen(Pane(feed, 0.5))
    feed.source.signal.lose("connection refused")
    refused = on_screen(Pane(feed, 0.5))
    assert waiting.any()
    assert not np.array_equal(waiting, refused)

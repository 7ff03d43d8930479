"""The three threads: errors travel, every frame is accounted for, and a heatmap stays with its own frame."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

import av
import numpy as np
import pytest

from livecam import Explanation
from livecam.explain.motion import Carrier
from livecam.picture.frame import Frame
from livecam.render import Renderer, Style
from livecam.run.pipeline import Pipeline
from livecam.run.workers import Channel, GivenUp, Workers
from livecam.sinks import Sink
from livecam.sources import Source
from tests.support.clips import number_in
from tests.support.doubles import NumberedSource, NumberReader, hot_row, livecam_threads


class Collector(Sink):
    """Keeps what it is given."""

    def __init__(self, at: Callable[[int], None] = lambda index: None) -> None:
        self.pixel_format = "yuv420p"
        self.pictures: list[np.ndarray] = []
        self.ended: list[str] = []
        self._at = at

    def write(self, picture: av.VideoFrame, frame: Frame) -> None:
        self._at(len(self.pictures))
        self.pictures.append(picture.to_ndarray(format="rgb24"))

    def copy(self, packet: av.Packet) -> None:
        raise AssertionError("there is nothing to copy")

    def finish(self) -> bool | None:
        self.ended.append("finished")
        return True

    def abort(self) -> None:
        self.ended.append("aborted")


class Segments(Collector):
    """Sends pictures by fours, and loses those of the third segment when it has three of them."""

    def __init__(self) -> None:
        super().__init__()
        self.dropped, self.arrived, self._in_doubt = Counter(), 0, 0

    def write(self, picture: av.VideoFrame, frame: Frame) -> None:
        super().write(picture, frame)
        if len(self.pictures) % 4 == 1:
            self._settle()
        self._in_doubt += 1
        if len(self.pictures) == 11:
            self.dropped["send"], self._in_doubt = self._in_doubt, 0

    def finish(self) -> bool | None:
        self._settle()
        return super().finish()

    def _settle(self) -> None:
        self.arrived += self._in_doubt
        self._in_doubt = 0


def run(source: Source, explainer: NumberReader, sink: Sink, **options: object) -> Pipeline:
    renderer = Renderer("yuv420p", Style(caption=False))
    pipeline = Pipeline(source, explainer, renderer, sink, **options)  # type: ignore[arg-type]
    pipeline.run()
    return pipeline


def test_each_frame_has_its_own_heatmap() -> None:
    seen: list[tuple[int, int]] = []
    sink = Collector()
    pipeline = run(
        NumberedSource(40),
        NumberReader(),
        sink,
        entry=lambda frame, e: partial(seen.append, (frame.index, int(e.label))),
    )
    assert seen == [(index, index) for index in range(40)]
    assert [number_in(picture) for picture in sink.pictures] == list(range(40))
    assert [hot_row(picture, number) for number, picture in enumerate(sink.pictures)] == [n % 8 for n in range(40)]
    frames = pipeline.ledger.report()["frames"]
    assert frames == {
        "read": 40,
        "explained": 40,
        "carried": 0,
        "dropped": 0,
        "written": 40,
        "unreadable": 0,
        "damaged": 0,
    }
    assert pipeline.ledger.verified is True
    assert pipeline.ledger.is_balanced
    assert sink.ended == ["finished"]
    assert livecam_threads() == []


class PlantedError(Exception):
    pass


def fail_at(moment: int) -> Callable[[int], None]:
    def fail(index: int) -> None:
        if index == moment:
            raise PlantedError(f"at {moment}")

    return fail


def test_pictures_that_are_lost_with_their_segment_count_nowhere_as_written() -> None:
    ages: dict[int, int] = {}
    pipeline = run(
        NumberedSource(40),
        NumberReader(),
        Segments(),
        carrier=Carrier(3),
        entry=lambda frame, e: partial(ages.__setitem__, frame.index, e.age_frames),
    )
    ledger = pipeline.ledger
    assert list(ages) == [index for index in range(40) if index not in (8, 9, 10)]
    assert (ledger.delivered, ledger.dropped, ledger.latency.count) == (37, {"send": 3}, 37)
    assert 0 < sum(age > 0 for age in ages.values()) == ledger.carried < ledger.delivered
    assert ledger.is_balanced


@pytest.mark.parametrize("moment", [0, 5])
@pytest.mark.parametrize("stage", ["capture", "explain", "write"])
def test_an_error_in_a_stage_ends_the_run_with_that_error(stage: str, moment: int) -> None:
    never = lambda index: None  # noqa: E731
    at = {name: fail_at(moment) if name == stage else never for name in ("capture", "explain", "write")}
    explainer, sink = NumberReader(before=at["explain"]), Collector(at["write"])
    begin = time.monotonic()
    with pytest.raises(PlantedError, match=f"at {moment}"):
        run(NumberedSource(10_000, before=at["capture"]), explainer, sink)
    assert time.monotonic() - begin < 2
    assert livecam_threads() == []
    assert explainer.entered == 0
    assert sink.ended == ["aborted"]


def test_what_a_failed_run_had_read_is_accounted_for() -> None:
    pipeline = Pipeline(
        NumberedSource(100),
        NumberReader(),  # type: ignore[arg-type]
        Renderer("yuv420p", Style()),
        Collector(at=fail_at(5)),
    )
    with pytest.raises(PlantedError):
        pipeline.run()
    assert pipeline.ledger.delivered == 5 < pipeline.ledger.read
    assert pipeline.ledger.is_balanced


def test_an_error_in_drawing_ends_the_run_with_that_error() -> None:
    class BrokenRenderer(Renderer):
        def __call__(self, frame: Frame, explanation: Explanation, uploaded: None) -> av.VideoFrame:
            raise PlantedError("drawing")

    with pytest.raises(PlantedError, match="drawing"):
        Pipeline(NumberedSource(100), NumberReader(), BrokenRenderer("yuv420p", Style()), Collector()).run()  # type: ignore[arg-type]
    assert livecam_threads() == []


def interrupt_at(moment: int) -> Callable[..., None]:
    """Raises KeyboardInterrupt where Ctrl-C would: in the thread that runs."""
    raised = []

    def on_progress(ledger: object) -> None:
        if not raised and ledger.delivered >= moment:  # type: ignore[attr-defined]
            raised.append(True)
            raise KeyboardInterrupt

    return on_progress


def test_an_interrupt_finishes_what_was_read() -> None:
    sink = Collector()
    source = NumberedSource(100_000, before=lambda index: time.sleep(0.001))
    pipeline = Pipeline(
        source,
        NumberReader(),
        Renderer("yuv420p", Style()),
        sink,
        on_progress=interrupt_at(5),  # type: ignore[arg-type]
    )
    with pytest.raises(KeyboardInterrupt):
        pipeline.run()
    assert sink.ended == ["finished"]
    assert 5 <= len(sink.pictures) == pipeline.ledger.read < 100_000
    assert livecam_threads() == []


def test_an_interrupt_before_the_first_frame_leaves_nothing() -> None:
    sink = Collector()
    source = NumberedSource(0)
    source.frames = lambda on_packet: iter(time.sleep(0.5) or ())  # type: ignore[func-returns-value,method-assign]
    pipeline = Pipeline(source, NumberReader(), Renderer("yuv420p", Style()), sink, on_progress=interrupt_at(0))  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        pipeline.run()
    assert sink.ended == ["aborted"]
    assert not pipeline.finished


def test_a_second_interrupt_gives_the_run_up() -> None:
    raised = []

    def twice(ledger: object) -> None:
        if len(raised) < 2 and ledger.delivered >= 1:  # type: ignore[attr-defined]
            raised.append(True)
            raise KeyboardInterrupt

    sink = Collector()
    pipeline = Pipeline(
        NumberedSource(100_000),
        NumberReader(before=lambda index: time.sleep(0.2)),  # type: ignore[arg-type]
        Renderer("yuv420p", Style()),
        sink,
        on_progress=twice,
    )
    with pytest.raises(KeyboardInterrupt):
        pipeline.run()
    assert len(raised) == 2
    assert sink.ended == ["aborted"]
    assert not pipeline.finished
    assert livecam_threads() == []


def test_an_interrupt_after_the_output_is_complete_changes_nothing() -> None:
    class Finishing(Collector):
        def finish(self) -> bool | None:
            time.sleep(0.5)
            return super().finish()

    raised = []

    def while_finishing(ledger: object) -> None:
        if len(raised) < 2 and ledger.delivered == 5:  # type: ignore[attr-defined]
            raised.append(True)
            raise KeyboardInterrupt

    sink = Finishing()
    pipeline = Pipeline(
        NumberedSource(5),
        NumberReader(),
        Renderer("yuv420p", Style()),
        sink,
        on_progress=while_finishing,  # type: ignore[arg-type]
    )
    with pytest.raises(KeyboardInterrupt):
        pipeline.run()
    assert len(raised) == 2
    assert sink.ended == ["finished"]
    assert pipeline.finished


def test_a_blocking_channel_waits_and_keeps_the_order() -> None:
    channel: Channel[int] = Channel(2)
    received: list[int] = []
    consumer = threading.Thread(target=lambda: received.extend(channel))
    consumer.start()
    for number in range(100):
        channel.put(number)
    channel.close()
    consumer.join(5)
    assert received == list(range(100))


def test_an_aborted_channel_wakes_up_both_sides() -> None:
    full: Channel[int] = Channel(1)
    full.put(0)
    empty: Channel[int] = Channel(1)
    woken: list[str] = []

    def blocked(side: str, action: Callable[[], object]) -> None:
        with pytest.raises(GivenUp):
            action()
        woken.append(side)

    threads = [
        threading.Thread(target=blocked, args=("producer", lambda: full.put(1))),
        threading.Thread(target=blocked, args=("consumer", lambda: next(iter(empty)))),
    ]
    for thread in threads:
        thread.start()
    full.abort()
    empty.abort()
    for thread in threads:
        thread.join(5)
    assert sorted(woken) == ["consumer", "producer"]


def test_batches_are_as_large_as_was_asked_but_for_the_last() -> None:
    channel: Channel[int] = Channel(4)
    producer = threading.Thread(target=lambda: [*map(channel.put, range(10)), channel.close()])
    producer.start()
    assert list(channel.batches(4)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    producer.join(5)
    with pytest.raises(ValueError, match="never holds 5"):
        next(channel.batches(5))


def test_what_the_main_thread_fails_with_ends_the_workers() -> None:
    stopped = threading.Event()
    workers = Workers({"one": stopped.wait, "two": stopped.wait}, on_failure=stopped.set)

    def tick() -> None:
        raise PlantedError("in the main thread")

    with pytest.raises(PlantedError, match="in the main thread"):
        workers.run(tick, stop=stopped.set, give_up=stopped.set)
    assert livecam_threads() == []


def test_the_first_interrupt_stops_and_the_next_ones_give_up() -> None:
    told: list[str] = []
    over = threading.Event()

    def give_up() -> None:
        told.append("give up")
        over.set()

    def interrupt() -> None:
        raise KeyboardInterrupt

    workers = Workers({"one": over.wait}, on_failure=over.set)
    with pytest.raises(KeyboardInterrupt):
        workers.run(interrupt, stop=lambda: told.append("stop"), give_up=give_up)
    assert told[:2] == ["stop", "give up"]


class Swallowing:
    """Ctrl-C is pressed at the end of its life, where Python swallows every exception."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_comes_where_exceptions_are_swallowed_counts() -> None:
    over = threading.Event()
    workers = Workers({"one": lambda: over.wait(10)}, on_failure=over.set)
    with pytest.raises(KeyboardInterrupt):
        workers.run(lambda: Swallowing() and None, stop=over.set, give_up=over.set)  # type: ignore[func-returns-value]
    assert over.is_set()


def test_an_interrupt_that_comes_last_is_raised_in_the_end() -> None:
    over = threading.Event()

    def tick() -> None:
        over.set()
        workers.wait(10)
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    workers = Workers({"one": over.wait}, on_failure=over.set)
    with pytest.raises(KeyboardInterrupt):
        workers.run(tick, stop=over.set, give_up=over.set)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_run_ends_where_the_system_has_no_room_for_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    start, tried = threading.Thread.start, []

    def start_first(thread: threading.Thread) -> None:
        tried.append(thread.name)
        if 1 < len(tried) < 100:  # from then on there is room, so that this test ends
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_first)
    over = threading.Event()
    workers = Workers({"one": over.wait, "two": over.wait, "three": over.wait}, on_failure=over.set)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        workers.run(lambda: None, stop=over.set, give_up=over.set)
    assert tried == ["livecam-one", "livecam-two"]

"""The three threads: errors travel, every frame is accounted for, and a heatmap stays with its own frame."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction

import av
import numpy as np
import pytest
import torch

from livecam import Explanation
from livecam.picture.frame import Frame
from livecam.picture.media import Media
from livecam.render import Renderer, Style
from livecam.run.pipeline import Pipeline
from livecam.run.workers import Channel, GivenUp, Policy
from livecam.sinks import Sink
from livecam.sources import Source
from tests.support.clips import number_in, numbered_picture
from tests.support.explanations import explanation_of

WIDTH, HEIGHT = 160, 90


class NumberedSource(Source):
    """Frames that carry their number, as fast as they are taken."""

    def __init__(self, count: int, at: Callable[[int], None] = lambda index: None) -> None:
        self.media = Media(width=WIDTH, height=HEIGHT, pixel_format="yuv420p", time_base=Fraction(1, 25))
        self._count, self._at = count, at
        self.closed = False

    def frames(self, on_packet: object) -> Iterator[Frame]:
        for index in range(self._count):
            self._at(index)
            image = av.VideoFrame.from_ndarray(numbered_picture(index, WIDTH, HEIGHT), format="rgb24")
            picture = image.reformat(format="yuv420p")
            picture.pts, picture.time_base = index, self.media.time_base
            yield Frame(picture=picture, index=index)

    def close(self) -> None:
        self.closed = True


class NumberReader:
    """In place of an explainer: reads the number in the picture and puts it into the map."""

    usual_batch = 4
    device = torch.device("cpu")

    def __init__(self, at: Callable[[int], None] = lambda index: None) -> None:
        self._at = at
        self.entered = 0

    def __enter__(self) -> NumberReader:
        self.entered += 1
        return self

    def __exit__(self, *exc: object) -> None:
        self.entered -= 1

    def expect(self, pictures: float | None, *, batch: int) -> None:
        self.expected = pictures, batch

    def explain(self, frames: list[Frame], *, uploaded: None, heat: bool) -> list[Explanation]:
        return [self._explanation(frame) for frame in frames]

    def _explanation(self, frame: Frame) -> Explanation:
        self._at(frame.index)
        number = number_in(frame.picture.to_ndarray(format="rgb24"))
        cam = np.zeros((8, 1), np.float32)
        cam[number % 8] = 1
        return dataclasses.replace(explanation_of(cam, labels=[str(number)]), frame_index=frame.index)


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


def run(source: Source, explainer: NumberReader, sink: Sink, **options: object) -> Pipeline:
    renderer = Renderer("yuv420p", Style(caption=False))
    pipeline = Pipeline(source, explainer, renderer, sink, **options)  # type: ignore[arg-type]
    pipeline.run()
    return pipeline


def livecam_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("livecam")]


def test_each_frame_has_its_own_heatmap() -> None:
    seen: list[tuple[int, int]] = []
    sink = Collector()
    pipeline = run(
        NumberedSource(40), NumberReader(), sink, on_written=lambda frame, e: seen.append((frame.index, int(e.label)))
    )
    assert seen == [(index, index) for index in range(40)]
    plain = [numbered_picture(index, WIDTH, HEIGHT).astype(int) for index in range(40)]
    for index, picture in enumerate(sink.pictures):
        assert number_in(picture) == index
        # Jet makes the hottest row red and the others blue: find the row in the picture itself.
        redness = (picture.astype(int) - plain[index])[:, :, 0] - (picture.astype(int) - plain[index])[:, :, 2]
        rows = redness.reshape(8, -1) if HEIGHT % 8 == 0 else np.array_split(redness, 8)
        assert int(np.argmax([row.mean() for row in rows])) == index % 8
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
    assert sink.ended == ["finished"]
    assert livecam_threads() == []


class PlantedError(Exception):
    pass


def fail_at(moment: int) -> Callable[[int], None]:
    def fail(index: int) -> None:
        if index == moment:
            raise PlantedError(f"at {moment}")

    return fail


@pytest.mark.parametrize("moment", [0, 5])
@pytest.mark.parametrize("stage", ["capture", "explain", "write"])
def test_an_error_in_a_stage_ends_the_run_with_that_error(stage: str, moment: int) -> None:
    never = lambda index: None  # noqa: E731
    at = {name: fail_at(moment) if name == stage else never for name in ("capture", "explain", "write")}
    explainer, sink = NumberReader(at["explain"]), Collector(at["write"])
    begin = time.monotonic()
    with pytest.raises(PlantedError, match=f"at {moment}"):
        run(NumberedSource(10_000, at["capture"]), explainer, sink)
    assert time.monotonic() - begin < 2
    assert livecam_threads() == []
    assert explainer.entered == 0
    assert sink.ended == ["aborted"]


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
        if not raised and ledger.written >= moment:  # type: ignore[attr-defined]
            raised.append(True)
            raise KeyboardInterrupt

    return on_progress


def test_an_interrupt_finishes_what_was_read() -> None:
    sink = Collector()
    source = NumberedSource(100_000, at=lambda index: time.sleep(0.001))
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
        if len(raised) < 2 and ledger.written >= 1:  # type: ignore[attr-defined]
            raised.append(True)
            raise KeyboardInterrupt

    sink = Collector()
    pipeline = Pipeline(
        NumberedSource(100_000),
        NumberReader(at=lambda index: time.sleep(0.2)),  # type: ignore[arg-type]
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
        if len(raised) < 2 and ledger.written == 5:  # type: ignore[attr-defined]
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


def test_latest_wins_and_counts_what_it_overwrites() -> None:
    sink = Collector()
    source = NumberedSource(50, at=lambda index: time.sleep(0.002))
    explainer = NumberReader(at=lambda index: time.sleep(0.02))
    pipeline = run(source, explainer, sink, policy=Policy.LATEST)
    ledger = pipeline.ledger
    assert ledger.dropped > 0
    assert ledger.read == 50 == ledger.dropped + ledger.written
    assert number_in(sink.pictures[-1]) == 49


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
    assert channel.dropped == 0


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

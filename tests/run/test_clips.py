"""Runs of models of clips over files: each frame has the time cell of its own time, from a clip that contains it."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import pytest

from livecam import Explanation
from livecam.errors import LivecamError
from livecam.explain.heat import Steadiness
from livecam.picture.frame import Frame
from livecam.render import Renderer, Style
from livecam.run.clip_window import Ticks
from livecam.run.clips import window_for
from livecam.run.pipeline import Pipeline
from tests.run.test_pipeline import Collector
from tests.support.clips import number_in
from tests.support.doubles import RATE, ClipReader, NumberedSource, NumberReader, hot_row, livecam_threads
from tests.support.explanations import explanation_of

Shown = list[tuple[Frame, Explanation]]


def run(count: int, reader: ClipReader, sink: Collector | None = None, **options: Any) -> tuple[Pipeline, Shown]:
    source, shown = NumberedSource(count), []
    stride = options.pop("stride", None)
    window = window_for(reader, source.media, source.name, stride)  # type: ignore[arg-type]
    pipeline = Pipeline(
        source,
        reader,  # type: ignore[arg-type]
        Renderer("yuv420p", Style(caption=False)),
        sink or Collector(),
        window=window,
        entry=lambda frame, explanation: partial(shown.append, (frame, explanation)),
        **options,
    )
    pipeline.run()
    return pipeline, shown


def spans(shown: Shown) -> list[tuple[int, tuple[int, int], tuple[int, int]]]:
    return [(frame.index, one.clip_frames, one.cell_frames) for frame, one in shown]  # type: ignore[misc]


@pytest.mark.parametrize("count", [8, 9, 31])
@pytest.mark.parametrize("stride", [None, 1, 3, 8])
@pytest.mark.parametrize("batch", [1, 3])
def test_each_frame_has_the_cell_of_its_own_time(count: int, stride: int | None, batch: int) -> None:
    sink, reader = Collector(), ClipReader()
    pipeline, shown = run(count, reader, sink, stride=stride, batch=batch)
    assert [frame.index for frame, _ in shown] == [one.frame_index for _, one in shown] == list(range(count))
    assert [number_in(picture) for picture in sink.pictures] == list(range(count))
    for (index, clip, cell), (_, one) in zip(spans(shown), shown, strict=True):
        assert clip[0] <= cell[0] <= index <= cell[1] <= clip[1]
        assert str(index) in one.label.split()  # the model saw this very frame
        assert hot_row(sink.pictures[index], index) == cell[0] % 8
    assert pipeline.ledger.explained == pipeline.ledger.delivered == count
    assert pipeline.ledger.clips == len(reader.clips) and pipeline.ledger.is_balanced
    assert livecam_threads() == []


def test_a_frame_has_the_clip_whose_middle_is_nearest() -> None:
    _, shown = run(20, ClipReader(), stride=2)
    middles = {(clip[0] + clip[1]) / 2 for _, clip, _ in spans(shown)}
    assert middles == {3.5, 5.5, 7.5, 9.5, 11.5, 13.5, 15.5}
    for index, clip, _ in spans(shown):
        assert abs(index - (clip[0] + clip[1]) / 2) == min(abs(index - middle) for middle in middles)


def test_the_last_clip_ends_at_the_last_frame() -> None:
    reader = ClipReader()
    run(21, reader, stride=8)
    assert reader.clips == [list(range(8)), list(range(8, 16)), list(range(13, 21))]


def test_by_default_a_clip_is_explained_for_each_time_cell() -> None:
    for batch in (1, 3):
        reader = ClipReader()
        run(14, reader, batch=batch)
        assert [clip[0] for clip in reader.clips] == [0, 2, 4, 6]


def test_each_frame_is_prepared_once() -> None:
    reader = ClipReader()
    run(30, reader, stride=1)
    assert reader.prepared_numbers == list(range(30))


def test_a_model_sees_frames_at_its_own_rate() -> None:
    reader = ClipReader(frames_per_second=RATE / 2)
    _, shown = run(30, reader, stride=4)
    assert reader.clips[:2] == [list(range(0, 16, 2)), list(range(4, 20, 2))]
    assert reader.clips[-1][-1] == 29
    assert reader.prepared_numbers == [*range(0, 30, 2), 29]
    assert all(clip[0] <= index <= clip[1] and cell[0] <= index <= cell[1] + 1 for index, clip, cell in spans(shown))


@pytest.mark.parametrize(
    ("source_fps", "model_fps", "chosen"),
    [
        (30, None, list(range(12))),
        (30, 30, list(range(12))),
        (10, 15, list(range(12))),
        (30, 15, [0, 2, 4, 6, 8, 10]),
        (25, 12.5, [0, 2, 4, 6, 8, 10]),
        (60, 15, [0, 3, 7, 11]),
        (25, 15, [0, 1, 3, 5, 6, 8, 10, 11]),
    ],
)
def test_frames_are_chosen_by_their_times(source_fps: int, model_fps: float | None, chosen: list[int]) -> None:
    ticks = Ticks(model_fps)
    frames = list(NumberedSource(12).frames(None))
    for frame in frames:
        frame.picture.time_base = Fraction(1, source_fps)
    assert [frame.index for frame in frames if ticks.chooses(frame)] == chosen


def test_jitter_skips_no_frame_of_a_source_with_the_rate_of_the_model() -> None:
    ticks = Ticks(10)
    frames = list(NumberedSource(8).frames(None))
    for frame, milliseconds in zip(frames, [0, 70, 230, 270, 420, 470, 630, 670], strict=True):
        frame.picture.pts, frame.picture.time_base = milliseconds, Fraction(1, 1000)
    assert all(ticks.chooses(frame) for frame in frames)


def test_a_source_that_is_slower_than_the_model_is_told(caplog: pytest.LogCaptureFixture) -> None:
    source = NumberedSource(8)
    media = dataclasses.replace(source.media, rate=Fraction(10))
    assert window_for(ClipReader(frames_per_second=15), media, "a.mp4") is not None  # type: ignore[arg-type]
    assert caplog.messages == [
        "a.mp4 has 10 frames a second, and the model was trained at 15: motion looks faster to it"
    ]


def test_a_source_that_is_slower_for_a_while_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    source = NumberedSource(40)
    window = window_for(ClipReader(frames_per_second=RATE), source.media, "a.mkv", 1)  # type: ignore[arg-type]
    assert window is not None
    for frame in source.frames(None):
        frame.picture.pts += 2 * max(frame.index - 20, 0)  # a third of the rate from there on
        window.add(frame)
        if window.is_due:
            window.take()
        assert bool(caplog.messages) == (frame.index > 20)
    assert caplog.messages == [
        f"a.mkv has at times fewer frames a second than the {RATE:g} that the model was trained at: "
        "motion looks faster to it there"
    ]


def test_a_source_shorter_than_a_clip_is_refused() -> None:
    sink = Collector()
    with pytest.raises(LivecamError, match="is too short with 7 frames: the model sees 8; take a longer video$"):
        run(7, ClipReader(), sink)
    assert sink.pictures == [] and sink.ended == ["aborted"]


@pytest.mark.parametrize(
    ("reader", "stride", "problem"),
    [
        (NumberReader(), 2, "stride is for models of clips, and this one sees single frames; leave it out"),
        (ClipReader(), 9, "a clip is 8 frames long, so stride is a number from 1 to that, not 9"),
        (ClipReader(), 0, "a clip is 8 frames long, so stride is a number from 1 to that, not 0"),
    ],
)
def test_a_stride_that_does_not_fit_is_refused(reader: NumberReader, stride: int, problem: str) -> None:
    with pytest.raises(LivecamError, match=f"^{problem}$"):
        window_for(reader, NumberedSource(1).media, "a.mp4", stride)  # type: ignore[arg-type]


def test_the_cells_of_a_clip_share_the_scale_of_heat() -> None:
    (frame,) = NumberedSource(1).frames(None)
    cell = dataclasses.replace(explanation_of(np.array([[1.0]], np.float32)), clip_frames=(0, 7))
    weak = dataclasses.replace(cell, classes=(dataclasses.replace(cell.classes[0], full=4.0),))
    steady = Steadiness()(frame, weak)
    assert steady.classes[0].full == 4
    assert steady.heatmap.max() == 0.25

"""Recordings and snapshots: they contain what was shown, with its times."""

from __future__ import annotations

import json
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from livecam.errors import OutputError
from livecam.live import recorder as recorder_module
from livecam.live.recorder import Recorder
from livecam.picture.media import Media
from livecam.render import Style
from livecam.sinks import NullSink
from tests.live.harness import LiveRun
from tests.support.clips import facts_of, number_in, playable
from tests.support.disks import largest_file
from tests.support.doubles import HEIGHT, QUARTER_TURN, RATE, WIDTH, NumberedSource, hot_row

PLAIN = Style(caption=False)
MEDIA = Media(width=WIDTH, height=HEIGHT, pixel_format="yuv420p", time_base=Fraction(1, RATE))


class SlowSink(NullSink):
    """Does not take its first picture before it is let go, or its patience has ended."""

    def __init__(self) -> None:
        self.patience_seconds = 0.5
        self.written: list[int] = []
        self.is_let_go = threading.Event()
        self.is_aborted = self.was_let_go = False

    def write(self, picture: av.VideoFrame, frame: Any) -> None:
        self.was_let_go = self.is_let_go.wait(self.patience_seconds)
        self.is_let_go.set()
        self.written.append(frame.index)

    def abort(self) -> None:
        self.is_aborted = True


@pytest.fixture
def slow_sink(monkeypatch: pytest.MonkeyPatch) -> SlowSink:
    sink = SlowSink()
    monkeypatch.setattr(recorder_module, "open_live_sink", lambda *arguments, **options: sink)
    return sink


def test_a_recording_holds_what_was_shown_at_the_times_of_the_frames(tmp_path: Path) -> None:
    path = tmp_path / "out.mkv"
    run = LiveRun(NumberedSource(30), recordings=[path], style=PLAIN)()
    facts = facts_of(path)
    recording = run.session.recorder.recordings[0]
    assert (recording.written, recording.left_out) == (30, 0)
    numbers = [number_in(picture) for picture in facts.pictures]
    assert numbers == list(range(30))
    assert [round(float(time) * RATE) for time in facts.times] == numbers
    assert [hot_row(picture, number) for number, picture in enumerate(facts.pictures)] == [n % 8 for n in range(30)]


def test_no_frame_of_a_file_is_left_out_of_its_recording(slow_sink: SlowSink, tmp_path: Path) -> None:
    run = LiveRun(NumberedSource(40), recordings=[tmp_path / "out.mp4"])()
    assert slow_sink.written == list(range(40))
    assert run.session.recorder.recordings[0].left_out == 0


def test_keys_are_heard_while_a_file_waits_for_its_recording(slow_sink: SlowSink, tmp_path: Path) -> None:
    slow_sink.patience_seconds = 60

    def press() -> str:
        if run.session.recorder.is_full:
            slow_sink.is_let_go.set()
        return ""

    run = LiveRun(NumberedSource(40), recordings=[tmp_path / "out.mp4"], duration_seconds=120.0)
    run.display.press = press
    run()
    assert slow_sink.was_let_go
    assert slow_sink.written == list(range(40))


def test_what_a_camera_gives_too_fast_for_the_encoder_is_left_out_and_counted(
    slow_sink: SlowSink, tmp_path: Path
) -> None:
    recorder = Recorder([tmp_path / "out.mp4"], overwrite=False, goes_on=False, tell=lambda line: None)
    frames = list(NumberedSource(40).frames(None))
    thread = threading.Thread(target=recorder.run)
    for frame in frames:
        recorder.add(0, frame.picture, frame, MEDIA, can_wait=False)
    slow_sink.is_let_go.set()
    thread.start()
    recorder.close()
    thread.join()
    (recording,) = recorder.recordings
    assert recording.written == len(slow_sink.written) == 8  # as many as may wait
    assert recording.left_out == 32
    assert recorder.report() == [
        {"path": str(tmp_path / "out.mp4"), "written": 8, "left_out": 32, "lost": 0, "problem": None}
    ]


def test_a_second_interrupt_does_not_wait_for_the_recording(slow_sink: SlowSink, tmp_path: Path) -> None:
    run = LiveRun(NumberedSource(1000, is_live=True), recordings=[tmp_path / "out.mp4"])
    slow_sink.patience_seconds = 20
    interrupts: list[str] = []

    def interrupt(where: str) -> str:
        if where not in interrupts:
            interrupts.append(where)
            raise KeyboardInterrupt
        return ""

    def close(reason: str) -> None:
        interrupt("while it ends")
        slow_sink.is_let_go.set()  # called again, after the interrupt

    run.display.press = lambda: interrupt("while it runs") if run.display.frames >= 3 else ""
    run.display.close = close  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        run()
    assert interrupts == ["while it runs", "while it ends"]
    assert len(slow_sink.written) == 1  # which was being encoded
    assert slow_sink.is_aborted


def test_recording_begins_and_stops_by_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = LiveRun(NumberedSource(30), keys={3: "r", 10: "r", 15: "r"}, style=PLAIN)()
    first, second = run.session.recorder.recordings
    assert [number_in(picture) for picture in facts_of(first.path).pictures] == list(range(4, 11))
    assert facts_of(first.path).times[0] == 0
    assert number_in(facts_of(second.path).pictures[0]) == 16
    assert not list(tmp_path.glob("*.part"))


def test_the_key_also_ends_a_recording_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    run = LiveRun(NumberedSource(20), keys={9: "r"}, recordings=[path])()
    assert [each.path for each in run.session.recorder.recordings] == [path]
    assert len(facts_of(path).times) == 10


def test_a_recording_whose_picture_changes_its_size_goes_on_in_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = LiveRun(NumberedSource(30), keys={10: "vvv"}, style=PLAIN, recordings=[Path("out.mp4")])()
    first, second = run.session.recorder.recordings
    assert (first.written, second.written) == (11, 19)
    assert facts_of(second.path).size == (2 * WIDTH, HEIGHT)


def test_a_recording_is_of_the_upright_picture_with_the_shape_of_its_pixels(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    LiveRun(NumberedSource(3, aspect=Fraction(2), display_matrix=QUARTER_TURN), recordings=[path])()
    facts = facts_of(path)
    assert (facts.size, facts.aspect) == ((HEIGHT, WIDTH), Fraction(1, 2))


class FullDisk(NullSink):
    """Fails at one of its steps."""

    def __init__(self, fails_at: str) -> None:
        self._fails_at = fails_at
        self._written = 0
        self.aborts = 0

    def write(self, picture: av.VideoFrame, frame: Any) -> None:
        self._written += 1
        self._fail_if(self._fails_at == "write" and self._written > 3)

    def finish(self) -> None:
        self._fail_if(self._fails_at == "finish")

    def abort(self) -> None:
        self.aborts += 1

    def _fail_if(self, it_is_so: bool) -> None:
        if it_is_so:
            raise OutputError("cannot write out.mp4: the disk is full")


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_of_a_recording_that_fills_the_disk_only_what_is_left_of_it_counts_as_written(
    tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"out.{ending}"
    run = LiveRun(NumberedSource(200), recordings=[path], style=PLAIN)
    with largest_file(30_000), pytest.raises(OutputError, match="File too large"):
        run()
    (recording,) = run.session.report()["recordings"]
    left = playable(path.with_name(f"{path.name}.part"))
    assert 0 < left == recording["written"]
    assert recording["lost"] == run.ledger.delivered - left > 1


@pytest.fixture(params=["open", "write", "finish"])
def full_disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FullDisk:
    sink = FullDisk(request.param)

    def open_or_refuse(*arguments: object, **options: object) -> FullDisk:
        sink._fail_if(request.param == "open")
        return sink

    monkeypatch.setattr(recorder_module, "open_live_sink", open_or_refuse)
    return sink


LOST = {"open": 15, "write": 12, "finish": 0}


def test_a_recording_that_fails_is_told_and_the_run_goes_on(full_disk: FullDisk) -> None:
    run = LiveRun(NumberedSource(20), keys={4: "r"})
    with pytest.raises(OutputError, match="not recorded: cannot write out.mp4: the disk is full"):
        run()
    assert len(run.shown) == 20
    assert run.session.notices.lines[-1] == "cannot write out.mp4: the disk is full"
    (recording,) = run.session.recorder.report()
    step = full_disk._fails_at
    assert recording["problem"] == "cannot write out.mp4: the disk is full"
    assert (recording["written"], recording["lost"]) == (15 - LOST[step], LOST[step])
    assert full_disk.aborts == (step != "open")


def test_the_loss_stays_on_the_screen_until_recording_is_stopped(full_disk: FullDisk) -> None:
    if full_disk._fails_at == "finish":
        pytest.skip("it is found only at the end")
    statuses: list[str | None] = []
    run = LiveRun(NumberedSource(30), keys={2: "r", 20: "r"})
    run.display.show = lambda bgr, title: statuses.append(run.session.recorder.status(0))  # type: ignore[method-assign]
    with pytest.raises(OutputError):
        run()
    assert any(status and status.endswith(" frames lost") for status in statuses)
    assert statuses[-1] is None


def test_without_a_screen_a_recording_that_fails_ends_the_run(full_disk: FullDisk) -> None:
    run = LiveRun(NumberedSource(20), keys={4: "r"})
    run.display.has_screen = False
    run.session.recorder._goes_on = False
    with pytest.raises(OutputError, match="the disk is full"):
        run()


def test_the_recorder_ends_when_it_is_given_up() -> None:
    recorder = Recorder([], overwrite=False, goes_on=False, tell=lambda line: None)
    thread = threading.Thread(target=recorder.run)
    thread.start()
    recorder.give_up()
    recorder.close()
    thread.join(5)
    assert not thread.is_alive()


def test_a_snapshot_is_the_picture_and_what_the_model_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = LiveRun(NumberedSource(10), keys={4: "s"}, style=PLAIN)()
    (png,), (facts,) = sorted(tmp_path.glob("*.png")), sorted(tmp_path.glob("*.json"))
    said = json.loads(facts.read_text())
    assert png.stem == facts.stem
    assert (said["source"], said["method"], said["index"]) == ("numbers", "gradcam", 4)
    picture = picture_in(png)
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert number_in(picture) == 4
    assert run.session.notices.lines == [f"saved {png.name} in {tmp_path}"]


def test_a_snapshot_has_square_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    LiveRun(NumberedSource(10, aspect=Fraction(2)), keys={4: "s"})()
    (png,) = tmp_path.glob("*.png")
    assert picture_in(png).shape == (HEIGHT, 2 * WIDTH, 3)


def picture_in(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")

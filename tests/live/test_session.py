"""The live run: the newest frame is shown with its own map, and every other frame is accounted for."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from livecam import LivecamError
from livecam.live.feed import Shown
from livecam.live.pane import Pane
from livecam.live.question import Question
from livecam.names import METHODS
from livecam.picture.planes import planes
from livecam.picture.transfer import Transfer
from livecam.render import Renderer, Style
from tests.live.harness import LiveRun, Parts, wait_until
from tests.support.clips import facts_of
from tests.support.cuda_stand_in import CudaStandIn
from tests.support.doubles import HEIGHT, RATE, WIDTH, NumberedSource, NumberReader, livecam_threads

pytestmark = pytest.mark.usefixtures("quick_shapes")


def camera(count: int = 10**9, **options: object) -> NumberedSource:
    return NumberedSource(count, is_live=True, **options)  # type: ignore[arg-type]


def test_each_frame_of_a_file_is_shown_with_its_own_map() -> None:
    run = LiveRun(NumberedSource(40))()
    assert [(frame.index, int(explanation.label)) for _, frame, explanation in run.shown] == [(n, n) for n in range(40)]
    assert (run.ledger.read, run.ledger.delivered, run.ledger.dropped, run.ledger.carried) == (40, 40, {}, 0)
    assert run.ledger.gaps == []


def test_the_duration_counts_from_the_first_frame() -> None:
    source = camera(before=lambda index: threading.Event().wait(0.01 if index else 0.4))
    assert LiveRun(source, duration_seconds=0.3)().ledger.delivered > 1


def test_of_a_camera_the_newest_frame_is_shown_and_every_other_one_is_accounted_for() -> None:
    captured = threading.Event()
    source = camera(60, before=lambda index: index == 50 and captured.set())
    run = LiveRun(source, explainer=NumberReader(before=lambda number: captured.wait()))()
    assert [int(explanation.label) for _, _, explanation in run.shown] == run.indices
    assert run.indices == sorted(set(run.indices))
    assert run.indices[1] >= 49  # while the first was explained 50 came, of which the newest is next
    assert run.ledger.read == 60
    assert run.ledger.is_balanced
    assert run.ledger.dropped["explain"] >= 48


def test_with_every_frame_shown_a_map_tells_its_true_age() -> None:
    never = threading.Event()
    run = LiveRun(
        camera(60, before=lambda index: index < 5 or never.wait(0.01)),
        explainer=NumberReader(before=lambda number: never.wait(0.03)),
        shows_every=True,
        max_age_seconds=0.1,
    )()
    assert len(run.shown) > run.ledger.explained / 2
    for _, frame, explanation in run.shown:
        age = frame.index - int(explanation.label)
        assert explanation.age_frames == age
        assert explanation.age_seconds == pytest.approx(age / RATE)
        assert age / RATE <= 0.1 or not explanation.classes[0].has_evidence
    assert run.ledger.carried == sum(explanation.age_frames > 0 for _, _, explanation in run.shown) > 0
    assert run.ledger.read == 60
    assert run.ledger.is_balanced


def test_every_frame_of_a_file_is_shown_with_a_map_no_newer_than_itself() -> None:
    run = LiveRun(NumberedSource(60), shows_every=True)()
    assert run.indices == list(range(60))
    assert all(0 <= explanation.age_frames <= frame.index for _, frame, explanation in run.shown)


def test_several_sources_are_shown_each_by_itself() -> None:
    run = LiveRun(NumberedSource(20), NumberedSource(10))()
    for source, count in ((0, 20), (1, 10)):
        numbers = [(frame.index, int(said.label)) for number, frame, said in run.shown if number == source]
        assert numbers == [(n, n) for n in range(count)]
        assert run.session.ledgers[source].delivered == count
    height, width = run.display.pictures[-1].shape[:2]
    assert width > height * WIDTH / HEIGHT  # two panes side by side


def test_several_sources_are_explained_together() -> None:
    reader = NumberReader()
    LiveRun(NumberedSource(20), NumberedSource(20), explainer=reader)()
    assert reader.expected == [(float("inf"), 2)]
    assert reader.batches[0] == 2  # to warm up
    assert 2 in reader.batches[1:]


def test_the_latency_ends_when_the_display_has_drawn() -> None:
    run = LiveRun(NumberedSource(3))
    run.display.press = lambda: time.sleep(0.05) or ""  # type: ignore[func-returns-value]
    run()
    latency_ms = run.ledger.latency.percentiles_ms()
    assert latency_ms is not None
    assert latency_ms["p50"] >= 50
    shown_ms = run.ledger.stages["show"].percentiles_ms()
    assert shown_ms is not None
    assert shown_ms["p50"] >= 50


@pytest.mark.parametrize("step", ["read", "explain", "show"])
def test_what_fails_ends_the_run_with_its_own_exception(step: str) -> None:
    def fail(number: int) -> None:
        if number == 3:
            raise RuntimeError(step)

    source = NumberedSource(100, before=fail) if step == "read" else NumberedSource(100)
    run = LiveRun(source, explainer=NumberReader(before=fail) if step == "explain" else None)
    if step == "show":
        run.display.press = lambda: fail(min(run.display.frames, 3)) or ""  # type: ignore[func-returns-value]
    with pytest.raises(RuntimeError, match=step):
        run()
    assert run.display.is_closed
    assert livecam_threads() == []


def test_when_the_explainer_fails_the_recording_is_completed(tmp_path: Path) -> None:
    def fail(number: int) -> None:
        if number == 5:
            raise LivecamError("out of memory")

    path = tmp_path / "out.mp4"
    run = LiveRun(NumberedSource(100), explainer=NumberReader(before=fail), recordings=[path])
    with pytest.raises(LivecamError, match="out of memory"):
        run()
    assert len(facts_of(path).times) == len(run.shown) > 0
    assert [each.name for each in tmp_path.iterdir()] == ["out.mp4"]


def test_an_interrupt_completes_the_recording_and_is_raised_again(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    run = LiveRun(NumberedSource(1000), recordings=[path])
    raised: list[bool] = []

    def interrupt() -> str:
        if run.display.frames == 5 and not raised:
            raised.append(True)
            raise KeyboardInterrupt
        return ""

    run.display.press = interrupt
    with pytest.raises(KeyboardInterrupt):
        run()
    assert len(facts_of(path).times) == run.session.recorder.recordings[0].written > 0
    assert livecam_threads() == []


def test_quitting_ends_an_endless_source() -> None:
    run = LiveRun(camera(), keys={5: "q"})()
    assert run.ledger.seconds < 20
    assert run.ledger.is_balanced
    assert run.display.is_closed
    assert livecam_threads() == []


def test_quitting_ends_a_slow_method_in_the_middle_of_a_picture() -> None:
    is_slow = threading.Event()

    def many_forwards(number: int) -> None:
        is_slow.set()
        while True:
            reader.on_forwards(1, 2)
            time.sleep(0.001)

    reader = NumberReader(before=many_forwards)
    run = LiveRun(camera(), explainer=reader)
    run.display.press = lambda: "q" * is_slow.is_set()
    run()
    assert run.ledger.explained == 0
    assert run.ledger.is_balanced
    assert livecam_threads() == []


def test_a_slow_method_tells_how_far_it_is_on_a_paused_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livecam.live.explainer_thread._SLOW_SECONDS", -1)
    keys, seen = iter([" m"]), set[str]()
    told = "gradcam++: 75% done"

    def many_forwards(number: int) -> None:
        if reader.method == "gradcam++":
            reader.on_forwards(3, 4)
            wait_until(lambda: told in seen)

    def press() -> str:
        seen.update(run.session.notices.lines)
        if told in seen and not run.session.notices.progress:
            return "q"
        return next(keys, "") if run.shown else ""

    reader = NumberReader(before=many_forwards)
    run = LiveRun(camera(), explainer=reader)
    run.display.press = press
    run()
    assert reader.asked[-1][0] == "gradcam++"


def test_what_the_end_waits_for_is_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("livecam.live.session._ENDING_SECONDS", 0.05)
    has_begun = threading.Event()

    def slow_pass(number: int) -> None:
        has_begun.set()
        wait_until(lambda: caplog.records)

    run = LiveRun(camera(), explainer=NumberReader(before=slow_pass))
    run.display.press = lambda: "q" * has_begun.is_set()
    run()
    assert [each.getMessage() for each in caplog.records] == ["livecam ends once the model has finished its pass"]


def test_closing_the_display_ends_the_run() -> None:
    run = LiveRun(camera())
    run.display.press = lambda: setattr(run.display, "is_closed", len(run.shown) >= 5) or ""  # type: ignore[func-returns-value]
    run()
    assert run.ledger.seconds < 20


def test_a_paused_camera_drops_what_comes_and_steps_frame_by_frame() -> None:
    run = LiveRun(camera())
    stood: list[int] = []
    dropped = [0]

    def press() -> str:
        if run.display.frames < 3:
            return ""
        if not stood:
            stood.append(-1)
            return " "
        waited = run.ledger.dropped["pause"] - dropped[-1]
        is_stepping = len(stood) > 1 and run.display.frames == stood[-1]
        if waited < (100_000 if is_stepping else 50):
            return ""
        dropped.append(run.ledger.dropped["pause"])
        stood.append(run.display.frames)
        return "." if len(stood) < 4 else "q"

    run.display.press = press
    run()
    _, first, second, third = stood
    assert (second - first, third - second) == (1, 1)
    assert run.ledger.is_balanced


def test_while_paused_another_method_explains_the_frame_on_the_screen() -> None:
    reader = NumberReader()
    run = LiveRun(camera(), explainer=reader)
    pressed: list[str] = []

    def press() -> str:
        if run.display.frames == 3 and not pressed:
            pressed.append(" m")
            return " m"
        return "q" if run.shown and ("gradcam++", None, run.indices[-1]) in reader.asked else ""

    run.display.press = press
    run()
    assert reader.method == "gradcam++"
    assert run.ledger.seconds < 20


def test_a_paused_file_answers_another_question_and_goes_on_to_its_end() -> None:
    reader = NumberReader()
    run = LiveRun(NumberedSource(20), explainer=reader)
    pressed: list[str] = []

    def press() -> str:
        is_answered = run.shown and ("gradcam", 0, run.indices[-1]) in reader.asked
        if run.display.frames == 5 and not pressed:
            pressed.append(" k")
            return pressed[-1]
        if is_answered and len(pressed) == 1:
            pressed.append(" ")
            return pressed[-1]
        return ""

    run.display.press = press
    run()
    assert reader.target == 0
    assert run.indices == sorted(set(run.indices))
    assert run.ledger.read == 20
    assert run.ledger.is_balanced


def test_a_method_that_does_not_fit_is_told_and_the_one_before_goes_on() -> None:
    reader = NumberReader()
    run = LiveRun(camera(), explainer=reader)
    pressed: list[int] = []
    frames_since: list[int] = []

    def press() -> str:
        if "eigencam does not explain a class" in run.session.notices.lines:
            frames_since.append(run.display.frames)
            return "q" if frames_since[-1] > frames_since[0] + 5 else ""
        if run.shown and reader.method == METHODS[len(pressed)]:
            pressed.append(run.display.frames)
            return "m"
        return ""

    run.display.press = press
    run()
    assert "eigencam does not explain a class" in run.session.notices.lines
    assert reader.asked[-1][0] == "finercam"


def test_a_method_behind_one_that_does_not_fit_can_be_reached() -> None:
    reader = NumberReader()
    run = LiveRun(camera(), explainer=reader)

    def press() -> str:
        if reader.method == "fem":
            return "q"
        is_refused = "eigencam does not explain a class" in run.session.notices.lines
        asked = {method for method, _, _ in reader.asked}
        return "m" if reader.method in asked or is_refused else ""

    run.display.press = press
    run()
    assert reader.method == "fem"


def test_after_a_refused_question_the_one_before_is_answered_and_nothing_else_changes() -> None:
    parts = Parts(camera())
    (feed,) = parts.feeds
    before = parts.explaining.question
    parts.explaining.ask(Question("eigencam"))
    assert feed.shows_every  # while the explainer turns to it, the picture goes on
    with parts.explaining_thread():
        wait_until(lambda: not feed.shows_every)
    assert parts.explaining.question == before
    assert parts.notices.lines == ["eigencam does not explain a class"]


def test_a_class_is_kept_to_until_it_is_let_go() -> None:
    reader = NumberReader()
    LiveRun(camera(), explainer=reader, keys={3: "k", 10: "k", 20: "cc", 30: "q"})()
    targets = [target for _, target, _ in reader.asked]
    assert targets[0] is None
    assert 0 in targets  # the number of the class that was shown
    assert targets[-1] == "top3"


def test_a_mirrored_source_is_mirrored_for_the_model_as_well() -> None:
    run = LiveRun(camera(), keys={3: "x", 10: "q"})()
    turned = [frame.orientation.flipped_x for _, frame, _ in run.shown]
    assert not turned[0]
    assert turned[-1]
    # The reader is given the picture as it is seen: a mirrored number reads as its bits reversed.
    assert int(run.shown[-1][2].label) == int(f"{run.indices[-1] % 256:08b}"[::-1], 2)


def test_another_question_has_a_scale_of_its_own() -> None:
    reader = NumberReader(before=lambda number: weaken())

    def weaken() -> None:
        reader.strength = 100.0 if reader.method == "gradcam" else 1.0

    run = LiveRun(camera(), explainer=reader, keys={10: "m", 40: "q"}, is_steady=True)()
    last = run.shown[-1][2]
    assert last.cam.max() == 1
    assert last.heatmap.max() > 0.5  # by the scale of before it would be 0.01


def test_a_method_that_stays_is_compiled_for_all_sources() -> None:
    parts = Parts(camera(), camera(), settling_seconds=0.0)
    frames = iter(camera().frames(None))
    with parts.explaining_thread():
        parts.press("m")

        def is_compiled() -> bool:
            parts.feeds[0].put(next(frames))
            return bool(parts.reader.expected)

        wait_until(is_compiled)
    assert parts.reader.method == "gradcam++"
    assert parts.reader.expected == [(float("inf"), 2)]


def test_a_method_that_has_just_come_is_not_compiled() -> None:
    parts = Parts(camera(), settling_seconds=float("inf"))
    frames = iter(camera().frames(None))
    with parts.explaining_thread():
        parts.press("m")
        for number in range(5):
            parts.feeds[0].put(next(frames))
            wait_until(lambda number=number: parts.feeds[0].ledger.explained > number)
    assert parts.reader.method == "gradcam++"
    assert parts.reader.expected == []


def drawn_in_device_memory(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The luma of every picture that is brought down from a device, from here on."""
    drawn: list[np.ndarray] = []
    download = Transfer.download

    def keep(transfer: Transfer, memory: torch.Tensor, into: list[np.ndarray]) -> None:
        download(transfer, memory, into)
        drawn.append(into[0].copy())

    monkeypatch.setattr(Transfer, "download", keep)
    return drawn


def test_on_a_gpu_each_frame_goes_up_once_to_be_explained_and_drawn_on(
    cuda: CudaStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = drawn_in_device_memory(monkeypatch)
    reader = NumberReader(device="cuda:1")
    run = LiveRun(NumberedSource(12), explainer=reader, style=Style(caption=False))()
    assert [int(explanation.label) for _, _, explanation in run.shown] == list(range(12))
    originals = [planes(frame.picture) for _, frame, _ in run.shown]
    for sent, original in zip(reader.uploaded, originals, strict=True):
        assert sent is not None
        assert np.array_equal(sent.here().numpy(), np.concatenate([plane.ravel() for plane in original]))
    assert cuda.uploads.count(True) == len(cuda.uploads) == 2 * 12  # and the map of each
    assert {device for _, device in cuda.launches} == {1}
    on_host = Renderer("yuv420p", Style(caption=False))
    for luma, (_, frame, explanation) in zip(drawn, run.shown, strict=True):
        assert np.abs(luma.astype(int) - planes(on_host(frame, explanation))[0]).mean() < 1


def test_a_frame_that_shows_the_map_of_another_is_drawn_on_the_host(
    cuda: CudaStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = drawn_in_device_memory(monkeypatch)
    parts = Parts(camera(), reader=NumberReader(device="cuda"))
    (feed,) = parts.feeds
    first, second = NumberedSource(2).frames(None)
    with parts.explaining_thread():
        feed.put(first)
        wait_until(lambda: feed.waits_for_screen)
    own = feed.take_to_show()
    assert own is not None
    pane = Pane(feed, max_age_seconds=0.5)
    pane.draw(own, Style())
    assert len(drawn) == 1
    pane.draw(Shown(second, own.explained), Style())
    assert len(drawn) == 1

"""The live run: the newest frame is shown with its own map, and what became of every other one is known."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
import torch
from click.testing import Result

from livecam import Explainer, Explanation, LivecamError, watch
from livecam.errors import ModelError
from livecam.explain.heat import HeatOptions
from livecam.explain.motion import MotionFinder
from livecam.live.controls import KEYS
from livecam.live.feed import Shown
from livecam.live.follow import Follower
from livecam.live.hud import draw_help, draw_lines
from livecam.live.recorder import Recorder
from livecam.live.screen import arranged
from livecam.live.session import Session
from livecam.picture.frame import Frame
from livecam.picture.media import Media, Orientation
from livecam.picture.planes import planes
from livecam.picture.transfer import DevicePlanes, Transfer
from livecam.render import Renderer, Style
from livecam.sources import Source
from tests.support.clips import facts_of, number_in, numbered_picture
from tests.support.cuda_stand_in import CudaStandIn
from tests.support.explanations import explanation_of

Livecam = Callable[..., Result]
WIDTH, HEIGHT = 160, 90
RATE = 100


class Camera(Source):
    """Numbered frames, each at a time of its own; `before` is called with the number of each."""

    def __init__(
        self, count: int, *, is_live: bool = True, before: Callable[[int], object] = lambda index: None
    ) -> None:
        self.media = Media(width=WIDTH, height=HEIGHT, pixel_format="yuv420p", time_base=Fraction(1, RATE))
        self.name = "camera"
        self.is_live = is_live
        self._count, self._before = count, before

    def frames(self, on_packet: object) -> Iterator[Frame]:
        for index in range(self._count):
            self._before(index)
            image = av.VideoFrame.from_ndarray(numbered_picture(index, WIDTH, HEIGHT), format="rgb24")
            picture = image.reformat(format="yuv420p")
            picture.pts, picture.time_base = index, self.media.time_base
            yield Frame(picture=picture, index=index)

    def close(self) -> None:
        pass


class NumberReader:
    """In place of an explainer: reads the number in the picture, which is then the class and the hot cell's row."""

    method, layer, wanted_layer, engine, precision = "gradcam", "features", None, "eager", "fp32"
    survey = SimpleNamespace(usable=[SimpleNamespace(name="features"), SimpleNamespace(name="evidence")])
    heat_options = HeatOptions()

    def __init__(self, before: Callable[[int], object] = lambda number: None, device: str = "cpu") -> None:
        self.device = torch.device(device)
        self.uploaded: list[DevicePlanes | None] = []
        self._before = before
        self.target: object = None
        self.asked: list[tuple[str, Any, Any]] = []

    def __enter__(self) -> NumberReader:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def expect(self, pictures: float | None, *, batch: int) -> None:
        assert pictures == float("inf")

    def change(self, method: str, layer: str | None, target: object) -> None:
        if method == "eigencam":
            raise ModelError("eigencam shows what is active, of no class")
        self.method, self.target = method, target

    def report(self) -> dict[str, Any]:
        return {"method": self.method, "layer": self.layer, "engine": self.engine, "precision": self.precision}

    def explain(
        self, frames: list[Any], *, uploaded: Sequence[DevicePlanes | None] | None = None, heat: bool = True
    ) -> list[Explanation]:
        if isinstance(frames[0], np.ndarray):
            return []  # to warm up
        assert uploaded is not None
        self.uploaded += uploaded
        return [self._explanation(frame) for frame in frames]

    def _explanation(self, frame: Frame) -> Explanation:
        number = number_in(frame.orientation.upright(frame.picture.to_ndarray(format="rgb24")))
        self._before(number)
        self.asked.append((self.method, self.target, number))
        cam = np.zeros((8, 1), np.float32)
        cam[number % 8] = 1
        return dataclasses.replace(explanation_of(cam, labels=[str(number)]), frame_index=frame.index)


class Screen:
    """In place of a window: keeps what is shown, and presses keys at the frames of these numbers, or the next."""

    def __init__(self, keys: dict[int, str] | None = None) -> None:
        self.is_there = True
        self.keys_at = keys or {}
        self.pictures: list[np.ndarray] = []
        self.frames = 0
        self.is_closed = False
        self.is_full_screen = False

    def show(self, bgr: np.ndarray) -> None:
        self.pictures.append(bgr)

    def keys(self) -> list[str]:
        due = [count for count in self.keys_at if count <= self.frames]
        return [key for count in sorted(due) for key in self.keys_at.pop(count)]

    def set_full_screen(self, full: bool) -> None:
        self.is_full_screen = full

    def close(self) -> None:
        self.is_closed = True


class Run:
    """A session over numbered cameras, and what came of it."""

    def __init__(
        self,
        *sources: Source,
        explainer: Any = None,
        keys: dict[int, str] | None = None,
        record: Path | None = None,
        style: Style | None = None,
        **options: Any,
    ) -> None:
        self.screen = Screen(keys)
        self.shown: list[tuple[int, Frame, Explanation]] = []
        self.recorder = Recorder(overwrite=False)
        settings: dict[str, Any] = {"is_steady": False, "shows_every": False, "max_age_seconds": 0.5}
        self.session = Session(
            sources,
            explainer or NumberReader(),
            self.screen,  # type: ignore[arg-type]
            self.recorder,
            style=style or Style(),
            recording_path=lambda number: record or Path(f"recorded-{len(self.recorder.recordings)}.mp4"),
            is_recording=record is not None,
            duration_seconds=None,
            on_shown=self._add,
            **settings | options,
        )

    def _add(self, source: int, frame: Frame, explanation: Explanation) -> None:
        self.shown.append((source, frame, explanation))
        self.screen.frames += 1

    @property
    def ledger(self) -> Any:
        return self.session.feeds[0].ledger

    def __call__(self) -> Run:
        self.session.run()
        return self


def livecam_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("livecam")]


def test_each_frame_of_a_file_is_shown_with_its_own_map() -> None:
    run = Run(Camera(40, is_live=False))()
    assert [(frame.index, int(explanation.label)) for _, frame, explanation in run.shown] == [(n, n) for n in range(40)]
    assert (run.ledger.captured, run.ledger.shown, run.ledger.dropped) == (40, 40, {})
    assert run.ledger.gaps == []


def test_of_a_camera_the_newest_frame_is_shown_and_every_other_one_is_accounted_for() -> None:
    captured = threading.Event()
    camera = Camera(60, before=lambda index: index == 50 and captured.set())
    run = Run(camera, explainer=NumberReader(before=lambda number: captured.wait()))()
    numbers = [frame.index for _, frame, _ in run.shown]
    assert [int(explanation.label) for _, _, explanation in run.shown] == numbers
    assert numbers == sorted(set(numbers))
    assert numbers[1] >= 49  # while the first was explained 50 came, of which the newest is next
    assert run.ledger.captured == 60 == run.ledger.shown + run.ledger.dropped.total()
    assert run.ledger.dropped["explain"] >= 48


def test_a_recording_holds_what_was_shown_at_the_times_of_the_frames(tmp_path: Path) -> None:
    path = tmp_path / "out.mkv"
    run = Run(Camera(30, is_live=False), record=path, style=Style(caption=False))()
    facts = facts_of(path)
    recording = run.recorder.recordings[0]
    assert (recording.written, recording.left_out) == (30, 0)
    numbers = [number_in(picture) for picture in facts.pictures]
    assert numbers == list(range(30))
    assert [round(float(time) * RATE) for time in facts.times] == numbers
    plain = [numbered_picture(number, WIDTH, HEIGHT).astype(int) for number in numbers]
    for number, picture, before in zip(numbers, facts.pictures, plain, strict=True):
        # Jet makes the hottest row red and the others blue: find the row in the picture itself.
        change = picture.astype(int) - before
        rows = np.array_split(change[:, :, 0] - change[:, :, 2], 8)
        assert int(np.argmax([row.mean() for row in rows])) == number % 8


def test_with_every_frame_shown_a_map_tells_its_true_age() -> None:
    shown = threading.Event()
    run = Run(
        Camera(60, before=lambda index: index < 5 or shown.wait(0.01)),
        explainer=NumberReader(before=lambda number: shown.wait(0.03)),
        shows_every=True,
        max_age_seconds=0.1,
    )()
    assert len(run.shown) > run.ledger.explained / 2
    for _, frame, explanation in run.shown:
        age = frame.index - int(explanation.label)
        assert explanation.age_frames == age
        assert explanation.age_seconds == pytest.approx(age / RATE)
        assert age / RATE <= 0.1 or not explanation.classes[0].has_evidence
    assert any(explanation.age_frames for _, _, explanation in run.shown)
    assert run.ledger.captured == 60 == run.ledger.shown + run.ledger.dropped.total()


@pytest.mark.parametrize(("later", "is_seen"), [(0, True), (5, True), (15, False)])
def test_a_map_is_hidden_when_it_is_too_old(later: int, is_seen: bool) -> None:
    first, second = (next(Camera(1).frames(None)) for _ in range(2))
    still = dataclasses.replace(second, index=later)
    still.picture.pts = later
    said = explanation_of(np.ones((8, 8), np.float32))
    followed = Follower(0.1, MotionFinder())(Shown(still, first, said, {}))
    assert followed.age_frames == later
    assert followed.classes[0].has_evidence == is_seen


def test_every_frame_of_a_file_is_shown_with_a_map_no_newer_than_itself() -> None:
    run = Run(Camera(60, is_live=False), shows_every=True)()
    assert [frame.index for _, frame, _ in run.shown] == list(range(60))
    assert all(0 <= explanation.age_frames <= frame.index for _, frame, explanation in run.shown)


def test_several_sources_are_explained_and_shown_each_by_itself() -> None:
    run = Run(Camera(20, is_live=False), Camera(10, is_live=False))()
    for source, count in ((0, 20), (1, 10)):
        numbers = [(frame.index, int(said.label)) for number, frame, said in run.shown if number == source]
        assert numbers == [(n, n) for n in range(count)]
        assert run.session.feeds[source].ledger.shown == count
    height, width = run.screen.pictures[-1].shape[:2]
    assert width > height * WIDTH / HEIGHT  # two panes side by side


@pytest.mark.parametrize("step", ["read", "explain", "show"])
def test_what_fails_ends_the_run_with_its_own_exception(step: str) -> None:
    def fail(number: int) -> None:
        if number == 3:
            raise RuntimeError(step)

    camera = Camera(100, is_live=False, before=fail if step == "read" else lambda index: None)
    run = Run(camera, explainer=NumberReader(before=fail if step == "explain" else lambda index: None))
    if step == "show":
        run.screen.show = lambda bgr: fail(3)  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match=step):
        run()
    assert not run.session.is_complete
    assert livecam_threads() == []


def test_an_interrupt_completes_the_recording_and_is_raised_again(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    run = Run(Camera(1000, is_live=False), record=path)
    run.screen.set_full_screen = lambda full: _interrupt(run)  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        run()
    assert run.session.is_complete
    assert len(facts_of(path).times) == run.recorder.recordings[0].written > 0
    assert livecam_threads() == []


def _interrupt(run: Run) -> None:
    if run.screen.frames == 5:
        run.screen.frames += 1
        raise KeyboardInterrupt


def test_quitting_ends_an_endless_source() -> None:
    run = Run(Camera(10**9, before=lambda index: None), keys={5: "q"})()
    assert run.session.is_complete
    assert run.ledger.captured == run.ledger.shown + run.ledger.dropped.total()
    assert run.screen.is_closed
    assert livecam_threads() == []


def test_a_paused_camera_drops_what_comes_and_steps_frame_by_frame() -> None:
    run = Run(Camera(10**9), keys={3: " ", 4: "."})
    paused: list[int] = []

    def keys() -> list[str]:
        controls = run.session.controls
        if controls.is_paused and not controls.steps:
            paused.append(run.screen.frames)
            if run.ledger.dropped["pause"] > 50 * len(set(paused)):
                return ["."] if len(set(paused)) < 3 else ["q"]
        return [" "] if run.screen.frames == 3 and not paused else []

    run.screen.keys = keys  # type: ignore[method-assign]
    run()
    assert sorted(set(paused)) == [4, 5, 6]
    assert run.ledger.captured == run.ledger.shown + run.ledger.dropped.total()


def test_while_paused_another_method_explains_the_frame_on_the_screen() -> None:
    reader = NumberReader()
    run = Run(Camera(10**9), explainer=reader)

    def keys() -> list[str]:
        controls, feed = run.session.controls, run.session.feeds[0]
        if run.screen.frames == 3 and not controls.is_paused:
            return [" ", "m"]
        held = feed.on_screen
        asked_again = held is not None and ("gradcam++", None, held.frame.index) in reader.asked
        return ["q"] if asked_again else []

    run.screen.keys = keys  # type: ignore[method-assign]
    run()
    assert reader.method == "gradcam++"


def test_a_method_that_does_not_fit_is_told_and_the_one_before_goes_on() -> None:
    run = Run(Camera(10**9))
    told: list[str] = []

    def keys() -> list[str]:
        controls = run.session.controls
        told.append(controls.message)
        if run.screen.frames >= 3 and not any(told):
            return ["m"] if not controls.is_changing else []
        return ["q"] if any(told) and run.screen.frames > 20 else []

    run.screen.keys = keys  # type: ignore[method-assign]
    run()
    assert told[-1] == "eigencam shows what is active, of no class"
    assert run.session.controls.question.method == "finercam"


def test_a_snapshot_is_the_picture_and_what_the_model_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = Run(Camera(10, is_live=False), keys={4: "s"}, style=Style(caption=False))()
    (png,), (facts,) = sorted(tmp_path.glob("*.png")), sorted(tmp_path.glob("*.json"))
    said = json.loads(facts.read_text())
    assert png.stem == facts.stem
    assert (said["source"], said["method"], said["index"]) == ("camera", "gradcam", 4)
    with av.open(str(png)) as picture:
        assert number_in(next(picture.decode(video=0)).to_ndarray(format="rgb24")) == 4
    assert png.name in run.session.controls.message


def test_recording_begins_and_stops_by_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = Run(Camera(30, is_live=False), keys={3: "r", 10: "r", 15: "r"}, style=Style(caption=False))()
    first, second = run.recorder.recordings
    assert [number_in(picture) for picture in facts_of(first.path).pictures] == list(range(4, 11))
    assert facts_of(first.path).times[0] == 0
    assert number_in(facts_of(second.path).pictures[0]) == 16
    assert not list(tmp_path.glob("*.part"))


def test_keys_change_the_picture_at_once() -> None:
    run = Run(Camera(10**9), keys={2: "]]p", 3: "x", 4: "f", 5: "v"})
    run.screen.keys_at[20] = "q"
    run.session.run()
    style = run.session.controls.style
    assert (style.opacity, style.colormap, style.view) == (0.7, "turbo", "heatmap")
    assert run.screen.is_full_screen
    turned = [frame.orientation.flipped_x for _, frame, _ in run.shown]
    assert not turned[0]
    assert turned[-1]


def test_a_class_is_kept_to_until_it_is_let_go() -> None:
    reader = NumberReader()
    run = Run(Camera(10**9), explainer=reader, keys={3: "k", 10: "k", 20: "cc", 30: "q"})()
    targets = [target for _, target, _ in reader.asked]
    assert targets[0] is None
    assert 0 in targets  # the number of the class that was shown
    assert targets[-1] == "top3"
    assert run.session.is_complete


def test_the_help_names_every_key_once() -> None:
    keys = [key for entry in KEYS for key in entry.keys]
    assert len(keys) == len(set(keys))
    assert all(entry.help for entry in KEYS)


def test_a_lost_signal_is_told_over_a_darkened_picture() -> None:
    camera = Camera(3, is_live=False)
    run = Run(camera)
    lost = SimpleNamespace(lost_seconds=lambda: 3.0, problem="connection refused", gaps=[])
    run()
    bright = run.screen.pictures[-1].mean()
    camera.signal = lost  # type: ignore[assignment]
    again = Run(camera)
    again()
    assert again.screen.pictures[-1].mean() < bright / 2


def test_a_paused_file_answers_another_question_and_goes_on_to_its_end() -> None:
    reader = NumberReader()
    run = Run(Camera(20, is_live=False), explainer=reader)

    def keys() -> list[str]:
        held = run.session.feeds[0].on_screen
        if run.screen.frames == 5 and not run.session.controls.is_paused and not reader.target:
            return [" ", "k"]
        is_answered = held is not None and held.facts["method"] == "gradcam" and reader.target == 0
        return [" "] if is_answered and run.session.controls.is_paused else []

    run.screen.keys = keys  # type: ignore[method-assign]
    run()
    assert reader.target == 0
    shown = [frame.index for _, frame, _ in run.shown]
    assert shown == sorted(set(shown))
    assert len(shown) + run.ledger.dropped.total() == 20


def test_another_explanation_is_not_given_to_a_frame_that_it_is_not_of() -> None:
    feed = Run(Camera(2, is_live=False)).session.feeds[0]
    first, second = Camera(2).frames(None)
    said = explanation_of(np.ones((8, 8), np.float32))
    feed.on_screen = Shown(second, second, said, {})
    feed.explained_again(first, explanation_of(np.eye(8, dtype=np.float32)), {})
    assert feed.on_screen.explanation is said
    assert not feed.is_revised


def test_the_picture_never_goes_back_in_time() -> None:
    feed = Run(Camera(9)).session.feeds[0]
    frames = list(Camera(9).frames(None))
    said = explanation_of(np.ones((8, 8), np.float32))
    feed._capture(frames[0])
    feed.explained(feed.take(), said, {})
    feed.take_shown()
    feed._capture(frames[1])
    late = feed.take()
    feed.shows_every = True  # a key was pressed meanwhile
    feed._capture(frames[2])
    shown = feed.take_shown()
    feed.explained(late, said, {})
    assert shown is not None
    assert shown.frame is frames[2]
    assert feed.take_shown() is None
    assert feed.ledger.dropped == {"explain": 1}


def test_a_recording_whose_picture_changes_its_size_goes_on_in_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "out.mp4"
    run = Run(Camera(30, is_live=False), keys={10: "vvv"}, style=Style(caption=False), record=None)
    names = iter((path, tmp_path / "second.mp4"))
    run.session._presenter._recording_path = lambda number: next(names)
    run.session.controls.is_recording = True
    run()
    assert [each.written for each in run.recorder.recordings] == [11, 19]
    assert facts_of(tmp_path / "second.mp4").size == (2 * WIDTH, HEIGHT)


def test_two_interrupts_end_the_recorder_as_well() -> None:
    recorder = Recorder(overwrite=False)
    thread = threading.Thread(target=recorder.run, name="livecam-test")
    thread.start()
    recorder.give_up()
    recorder.close()
    thread.join(5)
    assert not thread.is_alive()


def test_more_lines_than_fit_are_cut_off() -> None:
    small = np.zeros((60, 80, 3), np.uint8)
    draw_lines(small, ["a line"] * 40, [("cat", 0.5, True)] * 5, top=20)
    draw_lines(small, ["a line"], top=100)
    draw_help(np.zeros((50, 60, 3), np.uint8))
    assert not small[:20].any()
    assert small[20:].any()


def test_a_method_behind_one_that_does_not_fit_can_be_reached() -> None:
    controls = Run(Camera(1)).session.controls
    asked = []
    for _ in range(10):
        controls.press("m")
        asked.append(controls.question.method)
        if controls.question.method == "eigencam":
            controls.refuse(controls.question, "no")
        else:
            controls.answered = controls.question
    assert {"eigencam", "eigengradcam", "fem"} <= set(asked)


def test_a_mirrored_frame_is_drawn_mirrored_with_its_map() -> None:
    frame = dataclasses.replace(next(Camera(1).frames(None)), orientation=Orientation(flipped_x=True))
    cam = np.zeros((1, 8), np.float32)
    cam[0, 0] = 1  # on the left of what is seen
    run = Run(Camera(1), style=Style(caption=False))
    pane = run.session._presenter._panes[0]
    pane.draw(Shown(frame, frame, explanation_of(cam), {}))
    assert pane.picture is not None
    drawn = pane.picture.to_ndarray(format="rgb24").astype(int)
    plain = numbered_picture(0, WIDTH, HEIGHT)[:, ::-1].astype(int)
    change = (drawn - plain)[:, :, 0] - (drawn - plain)[:, :, 2]
    assert int(np.argmax([part.mean() for part in np.array_split(change, 8, axis=1)])) == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sources": []}, "no source is named"),
        ({"display": "evry"}, "display is one of explained, every"),
        ({"record": "same.mp4", "report": "same.mp4"}, "would be an output as well"),
    ],
)
def test_the_library_refuses_what_cannot_be(
    options: dict[str, Any], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LivecamError, match=words):
        watch(**{"sources": "demo:", "explainer": Explainer, "window": False, "report": "r.json"} | options)


def test_tiles_keep_the_aspect_and_the_order() -> None:
    pictures = [np.full((90, 160, 3), 50 * (number + 1), np.uint8) for number in range(3)]
    grid = arranged(pictures)
    height, width = grid.shape[:2]
    assert grid[height // 4, width // 4, 0] == 50
    assert grid[height // 4, 3 * width // 4, 0] == 100
    assert grid[3 * height // 4, width // 4, 0] == 150
    assert grid[3 * height // 4, 3 * width // 4, 0] == 0
    tall = arranged([pictures[0], np.full((160, 90, 3), 200, np.uint8)])
    assert 0 in tall[:, tall.shape[1] // 2 :, 0]  # beside a tall picture its pane is black


DEMO = "demo:?size=64x48&fps=50"


def test_live_without_a_window_writes_what_it_showed(livecam: Livecam, tmp_path: Path) -> None:
    video, said, report = tmp_path / "out.mp4", tmp_path / "said.jsonl", tmp_path / "run.json"
    outputs = ("--record", video, "--predictions", said, "--report", report)
    result = livecam("live", f"{DEMO}&seconds=1", "--no-window", "--engine", "eager", *outputs)
    assert result.exit_code == 0, result.output
    account = json.loads(report.read_text())
    (source,) = account["sources"]
    frames = source["frames"]
    assert frames["captured"] == 50 == frames["shown"] + sum(frames["dropped"].values())
    lines = [json.loads(line) for line in said.read_text().splitlines()]
    assert len(lines) == frames["shown"]
    assert all(line["latency_seconds"] > 0 and line["source"] == 0 for line in lines)
    (recording,) = account["recordings"]
    assert recording["written"] + recording["left_out"] == frames["shown"]
    assert len(facts_of(video).times) == recording["written"]
    assert "50 captured" in result.output


def test_several_sources_are_recorded_to_a_file_each(livecam: Livecam, tmp_path: Path) -> None:
    sources = (f"{DEMO}&seconds=0.5", f"{DEMO}&seconds=0.5&seed=2")
    result = livecam("live", *sources, "--no-window", "--engine", "eager", "--record", tmp_path / "out.mp4")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out-1.mp4", "out-2.mp4"]
    assert result.output.count("25 captured") == 2


def test_an_endless_source_ends_after_the_duration(livecam: Livecam, tmp_path: Path) -> None:
    options = ("--no-window", "--engine", "eager", "--duration", 0.5, "--predictions", tmp_path / "said.jsonl")
    assert livecam("live", DEMO, *options).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("demo:", "--no-window"), "add --record, --predictions or --report"),
        (("nowhere.mp4", "--no-window", "--report", "r.json"), "nowhere.mp4 does not exist"),
        (("/dev/video99", "--no-window", "--report", "r.json"), "there is no such camera"),
        (("demo:?fps=0", "--no-window", "--report", "r.json"), "fps=0 is not a rate"),
        (("demo:", "--no-window", "--record", "out.gif"), "the ending of a video has to be one of"),
        (("demo:", "--no-window", "--report", "no/folder.json"), "does not exist; make it first"),
        (("demo:", "--no-window", "--report", "r.json", "--model", "nope"), "nope"),
        (("photo.jpg", "--no-window", "--report", "r.json"), "still picture"),
        (("tcp://127.0.0.1:9", "--no-window", "--report", "r.json"), "refused"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    livecam: Livecam, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = livecam("live", *arguments)
    assert result.exit_code == 1
    last = result.output.strip().splitlines()[-1]
    assert words in last
    assert last.startswith("livecam: ")
    assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []


def test_without_a_display_it_says_so_before_a_model_is_loaded(
    livecam: Livecam, no_screen: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("livecam.explain.explainer.Explainer.__init__", _must_not_be_called)
    result = livecam("live", "demo:")
    assert result.exit_code == 1
    assert "--no-window" in result.output.splitlines()[-1]


def _must_not_be_called(self: Explainer, *arguments: object, **options: object) -> None:
    raise AssertionError("the model was loaded")


def test_the_same_by_the_library(tmp_path: Path) -> None:
    with pytest.raises(LivecamError, match="without a window"):
        watch(["demo:"], Explainer(engine="eager"), window=False)
    (ledger,) = watch(
        [f"{DEMO}&seconds=0.3"], Explainer(engine="eager"), window=False, report=tmp_path / "run.json", steady=False
    )
    assert ledger.captured == 15 == ledger.shown + ledger.dropped.total()


def drawn_in_device_memory(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The luma of every picture that is brought down from a device, from here on."""
    drawn: list[np.ndarray] = []
    download = Transfer.download

    def keep(transfer: Transfer, memory: torch.Tensor, into: Sequence[np.ndarray]) -> None:
        download(transfer, memory, into)
        drawn.append(into[0].copy())

    monkeypatch.setattr(Transfer, "download", keep)
    return drawn


def test_on_a_gpu_each_frame_goes_up_once_to_be_explained_and_drawn_on(
    cuda: CudaStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = drawn_in_device_memory(monkeypatch)
    reader = NumberReader(device="cuda:1")
    run = Run(Camera(12, is_live=False), explainer=reader, style=Style(caption=False))()
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
    run = Run(Camera(2, is_live=False), explainer=NumberReader(device="cuda"))
    feed, pane = run.session.feeds[0], run.session._presenter._panes[0]
    first, second = Camera(2).frames(None)
    feed._capture(first)
    run.session._explaining._explain([feed])
    own = feed.take_shown()
    assert own is not None
    pane.draw(own)
    assert len(drawn) == 1
    pane.draw(dataclasses.replace(own, frame=second))
    assert len(drawn) == 1

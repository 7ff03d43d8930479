"""A loop over any source gets each frame with its own explanation, and knows which frames it missed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from livecam import Explainer, LivecamError
from livecam.errors import InputError
from livecam.python import streaming
from livecam.sources import LiveOptions
from tests.support.doubles import NumberedSource, livecam_threads
from tests.support.reading import number_of
from tests.support.stills import scene
from tests.support.tiny import tiny, tiny_clips

Clip = Callable[..., Path]


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    return tiny(engine="eager")


class Camera(NumberedSource):
    """Gives frame 0, and the others once `goes_on` is set; then it fails if there is a `problem`."""

    def __init__(self, count: int, problem: str = "") -> None:
        super().__init__(count, is_live=True, before=lambda number: number and self.goes_on.wait())
        self.goes_on, self._problem = threading.Event(), problem
        self.is_stopped = self.is_closed = False

    def frames(self, on_packet: object) -> Any:
        yield from takewhile(lambda frame: not self.is_stopped, super().frames(on_packet))
        if self._problem:
            raise InputError(self._problem)

    def stop(self) -> None:
        self.is_stopped = True
        self.goes_on.set()

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Camera]:
    def opened(*arguments: Any) -> Camera:
        made = Camera(*arguments)
        monkeypatch.setattr(streaming, "open_live", lambda name, options: made)
        return made

    return opened


def read_to_the_end(camera: Camera) -> None:
    camera.goes_on.set()
    while livecam_threads():
        pass


def test_every_frame_of_a_file_comes_with_its_own_explanation(explainer: Explainer, clip: Clip) -> None:
    pairs = list(explainer.stream(clip(frames=7)))
    assert [number_of(frame) for frame, _ in pairs] == list(range(7))
    for frame, explanation in pairs:
        assert explanation.frame is frame
        assert np.array_equal(explanation.cam, explainer(frame).cam)
    assert livecam_threads() == []


def test_a_part_of_a_file(explainer: Explainer, clip: Clip) -> None:
    path = clip(frames=20)
    part = list(explainer.stream(path, start_seconds=0.2, duration_seconds=0.2))
    everything = list(explainer.stream(str(path)))
    numbers = [number_of(frame) for frame, _ in part]
    assert numbers == [number_of(frame) for frame, _ in everything if 0.2 <= (frame.pts_seconds or 0) < 0.4]


def test_pictures(explainer: Explainer, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(2)]
    for path in paths:
        scene().save(path)
    for source in (tmp_path, paths, str(tmp_path / "*.png")):
        assert [frame.path for frame, _ in explainer.stream(source)] == paths


def test_of_a_camera_the_newest_frame_comes_and_says_how_many_were_dropped(
    explainer: Explainer, camera: Callable[..., Camera]
) -> None:
    source = camera(20)
    pairs = explainer.stream(0)
    frame, _ = next(pairs)
    assert (number_of(frame), frame.dropped) == (0, 0)
    read_to_the_end(source)
    frame, explanation = next(pairs)
    assert (number_of(frame), frame.dropped) == (19, 18)
    assert np.array_equal(explanation.cam, explainer(frame).cam)
    assert next(pairs, None) is None
    assert source.is_closed


def test_a_loop_that_ends_early_frees_everything(explainer: Explainer, camera: Callable[..., Camera]) -> None:
    source = camera(20)
    explainer.classifier.module.train()
    pairs = explainer.stream(0)
    next(pairs)
    assert not explainer.classifier.module.training
    pairs.close()
    assert source.is_closed
    assert livecam_threads() == []
    assert explainer.classifier.module.training


def test_the_duration_of_a_camera(explainer: Explainer, camera: Callable[..., Camera]) -> None:
    source = camera(10_000)
    source.goes_on.set()
    times_seconds = [frame.pts_seconds or 0 for frame, _ in explainer.stream("0", duration_seconds=0.1)]
    assert times_seconds
    assert times_seconds[-1] - times_seconds[0] < 0.1
    assert source.is_closed


def test_the_error_of_a_source_is_raised_after_its_last_frame(
    explainer: Explainer, camera: Callable[..., Camera]
) -> None:
    source = camera(3, "the camera is gone")
    pairs = explainer.stream(0)
    next(pairs)
    read_to_the_end(source)
    assert next(pairs)[0].index == 2
    with pytest.raises(InputError, match="the camera is gone"):
        next(pairs)


def test_what_is_missing_in_a_file_is_told(
    explainer: Explainer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source = NumberedSource(2)
    source.unreadable, source.damaged = 3, 2
    monkeypatch.setattr(streaming, "open_source", lambda name, **options: source)
    assert len(list(explainer.stream("clip.mp4"))) == 2
    assert caplog.messages == [
        "numbers: 3 frames could not be read and are missing",
        "numbers: 2 frames could be read only in part",
    ]


@pytest.mark.parametrize(
    ("source", "options", "told"),
    [
        ("nope.mp4", {}, "nope.mp4 does not exist"),
        (987, {}, "cannot open camera 987: there is no such camera"),
        ("987", {"start_seconds": 1}, "987 is read live: give it no start"),
        ("987", {"duration_seconds": 0}, "a duration above 0 s"),
        ("rtsp://me:secret@127.0.0.1/", {"start_seconds": 1}, "^rtsp://127.0.0.1/ is read live"),
        ("photo.jpg", {"options": LiveOptions(stream=1)}, "stream is for video files"),
        (None, {}, "not NoneType"),
        (np.zeros((4, 4, 3), np.uint8), {}, "not ndarray"),
    ],
)
def test_what_cannot_be_streamed_is_told(explainer: Explainer, source: Any, options: Any, told: str) -> None:
    with pytest.raises(LivecamError, match=told):
        next(explainer.stream(source, **options))
    assert livecam_threads() == []


def test_the_engine_is_told_how_many_frames_are_to_come_and_if_they_belong_together(tmp_path: Path) -> None:
    told: list[tuple[float | None, bool]] = []

    def expect(frames: float | None, *, separate: bool = False) -> None:
        told.append((frames, separate))

    scene().save(tmp_path / "1.png")
    for source in ("demo:?size=64x48&seconds=0.1", tmp_path):
        frames = list(streaming.streamed(source, 0.0, None, LiveOptions(), expect))
        assert told.pop() == (len(frames), source == tmp_path)


def test_a_model_of_clips_gives_each_frame_the_map_of_its_own_time(clip: Clip) -> None:
    classifier = tiny_clips()
    explainer = Explainer(classifier.module, preprocessing=classifier.preprocessing, engine="eager")
    pairs = list(explainer.stream(clip(frames=15)))
    assert [frame.index for frame, _ in pairs] == list(range(15))
    for frame, explanation in pairs:
        assert explanation.cell_frames is not None
        assert explanation.cell_frames[0] <= frame.index <= explanation.cell_frames[1]
        assert explanation.draw().shape == (90, 160, 3)

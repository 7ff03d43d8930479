"""The first seconds of a live run: what the window shows while sources are opened and the model is loaded."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

from livecam.errors import ModelError, OutputError
from livecam.sources import LiveOptions, PacedSource, open_live
from livecam.system.window_check import begin_window_check, check_window
from tests.live.harness import LiveRun
from tests.support.clips import number_in
from tests.support.doubles import HEIGHT, WIDTH, NumberedSource, NumberReader, livecam_threads

BEFORE_THE_MODEL = """
import sys
import livecam.cli.live
assert not {"cv2", "av", "numpy"} & set(sys.modules)
import livecam.live.watch, livecam.live.session, livecam.live.commands
imported = list(sys.modules)
assert "torch" not in imported
assert imported.index("cv2") < imported.index("av")
"""


@contextmanager
def loading(run: LiveRun) -> Iterator[threading.Event]:
    """Let the model of a run be loaded once the event is set."""
    loaded = threading.Event()
    reader = run.session._load()

    def load() -> NumberReader:
        loaded.wait()
        return reader  # type: ignore[return-value]

    run.session._load = load  # type: ignore[assignment]
    yield loaded
    loaded.set()


def test_the_window_needs_no_torch_and_loads_the_libraries_of_opencv_first() -> None:
    subprocess.run([sys.executable, "-c", BEFORE_THE_MODEL], check=True)


def test_no_window_is_opened_with_libraries_in_the_wrong_order(
    virtual_screen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = SimpleNamespace(platform=sys.platform, executable=sys.executable, modules=["av", "cv2"])
    monkeypatch.setattr("livecam.system.window_check.sys", process)
    with pytest.raises(OutputError, match="did not answer .*; or import cv2 before av"):
        check_window(timeout_seconds=0.1)


def test_a_check_that_has_begun_early_is_not_made_again(virtual_screen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    begin_window_check()
    monkeypatch.setattr("livecam.system.window_check.subprocess.Popen", None)
    begin_window_check()
    check_window()


@pytest.mark.parametrize("is_paced", [False, True])
def test_a_file_shows_its_first_frame_while_the_model_is_loaded_and_all_frames_later(is_paced: bool) -> None:
    source = NumberedSource(12)
    run = LiveRun(PacedSource(source) if is_paced else source)
    with loading(run) as loaded:
        seen: list[np.ndarray] = []

        def press() -> str:
            if not loaded.is_set() and len(run.display.pictures) > 2:
                seen.append(run.display.pictures[-1])
                loaded.set()
            return ""

        run.display.press = press
        run()
    scale = seen[0].shape[0] // HEIGHT
    assert number_in(seen[0][::scale, ::scale, ::-1][:HEIGHT, :WIDTH]) == 0
    assert run.ledger.read == 12
    assert run.indices[0] == 0
    assert run.ledger.latency.percentiles_ms()["p99"] < 1000


def test_the_camera_is_seen_while_the_model_is_loaded() -> None:
    run = LiveRun(open_live("demo:?size=64x64", LiveOptions()))
    with loading(run):
        run.display.press = lambda: "q" if len(run.display.pictures) > 2 else ""
        run()
    assert run.display.pictures[-1].std() > 20
    assert run.display.title == "demo:?size=64x64 - the model - livecam"
    assert run.display.is_closed
    assert run.ledger.read == 0
    assert not [name for name in livecam_threads() if "reader" in name]


def test_the_first_picture_is_shown_before_the_model_begins_to_be_loaded() -> None:
    run = LiveRun(NumberedSource(3))
    shown: list[int] = []

    def load() -> NumberReader:
        shown.append(len(run.display.pictures))
        return NumberReader()

    run.session._load = load  # type: ignore[assignment]
    run()
    assert shown[0] > 0


def test_a_key_before_the_model_is_loaded_is_answered() -> None:
    run = LiveRun(NumberedSource(3))
    answers: list[str] = []
    run.session._screen.answer = answers.append  # type: ignore[method-assign]
    with loading(run):
        run.display.press = lambda: "q" if answers else "m"
        run()
    assert answers == ["not yet: loading the model ..."]


def test_what_cannot_be_loaded_closes_the_window_and_is_raised() -> None:
    run = LiveRun(NumberedSource(3))

    def load() -> NumberReader:
        raise ModelError("there is no such model")

    run.session._load = load  # type: ignore[assignment]
    with pytest.raises(ModelError, match="there is no such model"):
        run()
    assert run.display.is_closed

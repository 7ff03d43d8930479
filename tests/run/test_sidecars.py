"""Predictions and maps appear whole; what a failed run had explained is left for the user, and told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from livecam import Explainer, annotate
from livecam.errors import OutputError
from livecam.sinks.video import VideoSink

pytestmark = pytest.mark.usefixtures("quick_shapes")

Clip = Callable[..., Path]


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    return Explainer(engine="eager")


def annotate_with_sidecars(source: Path, explainer: Explainer) -> None:
    folder = source.parent
    annotate(
        source,
        folder / "out.mkv",
        explainer,
        predictions=folder / "said.jsonl",
        save_map=folder / "maps.npy",
        report=folder / "run.json",
        batch=1,
    )


def fail_at(step: str, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a step of the video sink fail when it is done for this time."""
    original, calls = getattr(VideoSink, step), []

    def failing(sink: VideoSink, *arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == number:
            raise OutputError("the disk is full")
        return original(sink, *arguments)

    monkeypatch.setattr(VideoSink, step, failing)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"clip.mp4"}


@pytest.mark.parametrize(("step", "number", "explained"), [("write", 4, 3), ("finish", 1, 6)])
def test_what_was_explained_before_a_failure_is_left_and_told(
    clip: Clip,
    explainer: Explainer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    step: str,
    number: int,
    explained: int,
) -> None:
    fail_at(step, number, monkeypatch)
    source = clip(frames=6)
    with pytest.raises(OutputError, match="the disk is full"):
        annotate_with_sidecars(source, explainer)
    said, maps = source.with_name("said.jsonl.part"), source.with_name("maps.npy.part")
    assert names(source.parent) - {"out.mkv.part"} == {said.name, maps.name}
    assert [json.loads(line)["index"] for line in said.read_text().splitlines()] == list(range(explained))
    assert len(np.load(maps)) == explained
    assert f"{said} holds the predictions up to there" in caplog.messages
    assert f"{maps} holds the maps up to there" in caplog.messages


def test_before_the_first_frame_there_is_nothing_to_leave(
    clip: Clip, explainer: Explainer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fail_at("write", 1, monkeypatch)
    source = clip(frames=6)
    with pytest.raises(OutputError, match="the disk is full"):
        annotate_with_sidecars(source, explainer)
    assert names(source.parent) == set()
    assert not [message for message in caplog.messages if "up to there" in message]


def test_what_an_earlier_run_explained_is_kept(clip: Clip, explainer: Explainer) -> None:
    source = clip(frames=2)
    for name in ("said.jsonl.part", "maps.npy.part", "run.json.part"):
        source.with_name(name).write_bytes(b"all that is left")
    annotate_with_sidecars(source, explainer)
    for name in ("said.jsonl.part", "maps.npy.part", "run.json.part"):
        assert source.with_name(name).read_bytes() == b"all that is left"
    assert {"said.jsonl", "maps.npy", "run.json", "out.mkv"} < names(source.parent)

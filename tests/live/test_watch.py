"""`livecam live` and `watch`: the files they write, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from livecam import Explainer, LivecamError, watch
from livecam.errors import OutputError
from livecam.run.sidecars import Predictions
from tests.support.clips import facts_of
from tests.support.doubles import FakeDisplay

pytestmark = pytest.mark.usefixtures("quick_shapes")

Livecam = Callable[..., Result]
DEMO = "demo:?size=64x48&fps=50"


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
        (("file:photo.jpg", "--no-window", "--report", "r.json"), "still picture"),
        (("tcp://127.0.0.1:9", "--no-window", "--report", "r.json"), "refused"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    livecam: Livecam, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = livecam("live", *arguments)
    assert result.exit_code == (2 if "nope" in arguments else 1)  # a model that does not exist is wrong usage
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
    assert ledger.read == 15
    assert ledger.is_balanced


def test_another_display_takes_the_place_of_the_window(no_screen: None) -> None:
    display = FakeDisplay()
    watch(f"{DEMO}&seconds=0.3", Explainer(engine="eager"), window=display)
    assert display.pictures
    assert display.is_closed


@pytest.mark.parametrize("has_screen", [True, False])
def test_predictions_that_cannot_be_written_do_not_end_the_window(tmp_path: Path, has_screen: bool) -> None:
    said, report = tmp_path / "said.jsonl", tmp_path / "run.json"
    display = FakeDisplay()
    display.has_screen = has_screen
    explainer = Explainer(engine="eager")
    original, lines = Predictions.entry, []

    def full_after_three(*arguments: Any, **more: Any) -> Callable[[], None]:
        lines.append(arguments)
        if len(lines) > 3:
            raise OutputError("cannot write said.jsonl: the disk is full")
        return original(*arguments, **more)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(OutputError, match="the disk is full"):
        patch.setattr(Predictions, "entry", full_after_three)
        watch("demo:?seconds=0.4&size=64x64", explainer, window=display, predictions=said, report=report)
    frames = json.loads(report.read_text())["sources"][0]["frames"]
    assert frames["shown"] > 4 if has_screen else frames["shown"] == 4
    assert len(lines) == 4
    assert not said.exists()
    assert len(said.with_name("said.jsonl.part").read_text().splitlines()) == 3

"""A command for several inputs does all that can be done, and tells what was not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from livecam.cli.terminal import Progress
from livecam.explain.explainer import Explainer
from livecam.ledger import Ledger
from livecam.sinks.video import VideoSink
from tests.support.folders import shown_in

pytestmark = pytest.mark.usefixtures("quick_shapes")

Clip = Callable[..., Path]
Livecam = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three videos and three pictures."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for name in ("a", "b", "c"):
        clip(f"in/{name}.mp4", frames=5)
        Image.fromarray(np.full((40, 60, 3), ord(name), np.uint8)).save(tmp_path / "in" / f"{name}.png")
    return tmp_path


def summary(result: Result) -> str:
    return result.stderr.splitlines()[-1]


def made() -> set[str]:
    return set(shown_in(Path("out")))


def spoil(name: str, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make one video fail."""
    if how == "damaged":
        Path("in", name).write_bytes(b"no video" * 100)
    elif how == "output is a folder":
        Path("out", name).mkdir(parents=True)
    elif how == "output exists":
        Path("out").mkdir()
        Path("out", name).write_bytes(b"precious")
    elif how == "another run writes it":
        Path("out").mkdir()
        monkeypatch.setattr("livecam.system.files._is_locked", lambda path: path.name == f"{name}.part")
        Path("out", f"{name}.part").touch()
    else:
        fails(how, name, monkeypatch)


def fails(step: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a step of the video sink raise for one output, like a full disk."""
    original = getattr(VideoSink, step)

    def raising(sink: VideoSink, *arguments: Any) -> Any:
        if sink._path.name == name:
            raise OSError(28, "No space left on device")
        return original(sink, *arguments)

    monkeypatch.setattr(VideoSink, step, raising)


FAILURES = {
    "damaged": "b.mp4 is not a video that can be read",
    "output is a folder": "out/b.mp4 is a folder; name a file",
    "output exists": "out/b.mp4 exists",
    "another run writes it": "another run is writing out/b.mp4.part",
    "write": "No space left on device",
    "finish": "No space left on device",
}


@pytest.mark.parametrize("how", FAILURES)
def test_the_others_are_done_if_one_video_fails(
    livecam: Livecam, folder: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    spoil("b.mp4", how, monkeypatch)
    result = livecam("annotate", "in/a.mp4", "in/b.mp4", "in/c.mp4", "-o", "out")
    assert result.exit_code == 1
    assert summary(result) == "livecam: 2 of 3 inputs done, 1 failed"
    (line,) = (line for line in result.stderr.splitlines() if line.startswith("  failed"))
    assert line.split()[1] == "in/b.mp4"
    assert FAILURES[how] in line
    assert {"a.mp4", "c.mp4"} <= made()
    assert "Traceback" not in result.output


def test_one_report_counts_for_several_inputs(livecam: Livecam, folder: Path) -> None:
    Path("in/b.mp4").write_bytes(b"no video")
    result = livecam("annotate", "in", "-o", "out", "--report", "run.json")
    assert result.exit_code == 1
    report = json.loads(Path("run.json").read_text())
    assert report["inputs"] == {"done": 5, "failed": 1}
    assert report["frames"]["read"] == report["frames"]["written"] == 3 + 2 * 5
    assert list(report["failed_files"]) == ["in/b.mp4"]
    assert report["stages_ms"]["explain"].keys() == {"mean", "max"}


@pytest.mark.parametrize("damaged", ["a", "b", "c"])
def test_the_others_are_done_if_one_picture_cannot_be_explained(
    livecam: Livecam, folder: Path, monkeypatch: pytest.MonkeyPatch, damaged: str
) -> None:
    explain = Explainer.explain

    def fails_for_one(explainer: Explainer, frames: Any, **options: Any) -> Any:
        if any(frame.path.stem == damaged for frame in frames):
            raise RuntimeError("a size that\nthe model does not take")
        return explain(explainer, frames, **options)

    monkeypatch.setattr(Explainer, "explain", fails_for_one)
    result = livecam("annotate", "in/*.png", "-o", "out", "--report", "run.json")
    assert result.exit_code == 1
    assert summary(result) == "livecam: 2 of 3 inputs done, 1 failed"
    assert f"in/{damaged}.png: RuntimeError: a size that\\nthe model does not take" in result.stderr
    assert "out: 3 read, 2 explained, 1 dropped (1 at explain), 2 written" in result.stderr
    assert made() == {f"{name}.png" for name in "abc" if name != damaged}


def test_a_model_that_cannot_be_made_ends_all_in_one_line(livecam: Livecam, folder: Path) -> None:
    result = livecam("annotate", "in", "-o", "out", "--model", "resnet51")
    assert (result.exit_code, result.output.count("\n")) == (2, 1)
    assert not Path("out").exists()


def test_a_model_that_cannot_be_made_is_told_beside_what_failed_before(livecam: Livecam, folder: Path) -> None:
    Path("in/a.mp4").write_bytes(b"no video")
    result = livecam("annotate", "in/a.mp4", "in/b.mp4", "in/c.mp4", "-o", "out", "--labels", "none.txt")
    assert result.exit_code == 1
    assert "livecam: 0 of 3 inputs done, 1 failed, 2 not begun" in result.stderr
    assert "cannot read the labels none.txt" in summary(result)


def test_after_an_interrupt_what_was_not_begun_is_listed(
    livecam: Livecam, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(progress: Progress, ledger: Ledger, expected: int | None) -> None:
        progress.ledger = ledger
        if ledger.source == "in/b.mp4" and ledger.delivered:
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "__call__", interrupt)
    result = livecam("annotate", "in/a.mp4", "in/b.mp4", "in/c.mp4", "-o", "out")
    assert result.exit_code == 130
    *_, b, c, last = result.stderr.splitlines()
    assert (b.split(), c.split()) == (["stopped", "in/b.mp4"], ["not", "begun", "in/c.mp4"])
    assert last == "livecam: 1 of 3 inputs done, 1 stopped, 1 not begun"


def test_after_an_interrupt_what_was_refused_has_failed(
    livecam: Livecam, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(**arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("livecam.cli.annotate.load_explainer", interrupt)
    spoil("b.mp4", "output exists", monkeypatch)
    result = livecam("annotate", "in/a.mp4", "in/b.mp4", "-o", "out")
    a, b, last = result.stderr.splitlines()
    assert a == "  not begun  in/a.mp4"
    assert b.startswith("  failed     in/b.mp4  out/b.mp4 exists")
    assert last == "livecam: 0 of 2 inputs done, 1 not begun, 1 failed"


@pytest.mark.parametrize("count", [3, 30])
def test_after_an_interrupt_before_the_first_they_are_counted(
    livecam: Livecam, folder: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Each is named as well, unless they are many: then those that have failed would be lost among them."""

    def interrupt(**arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("livecam.cli.annotate.load_explainer", interrupt)
    for number in range(count):
        Image.new("L", (8, 8)).save(f"in/{number}.tif")
    result = livecam("annotate", "in/*.tif", "-o", "out")
    assert result.exit_code == 130
    *named, last = result.stderr.splitlines()
    expected = [f"  not begun  in/{number}.tif" for number in range(count)]
    assert named == (expected if count < 20 else [])
    assert last == f"livecam: 0 of {count} inputs done, {count} not begun"


def test_where_no_picture_can_be_read_the_table_has_the_reason_of_each(livecam: Livecam, folder: Path) -> None:
    Path("in/a.png").write_bytes(b"no picture")
    Path("in/b.png").write_bytes(b"")
    Path("in/c.png").unlink()
    result = livecam("annotate", "in", "-o", "out", "--report", "run.json")
    assert result.exit_code == 1
    *_, a, b, last = result.stderr.splitlines()
    assert a.startswith("  failed  in/a.png  in/a.png is not a picture that can be read")
    assert b == "  failed  in/b.png  in/b.png is empty"
    assert last == "livecam: 3 of 5 inputs done, 2 failed"
    assert json.loads(Path("run.json").read_text())["failed_files"]["in/b.png"] == "in/b.png is empty"


@pytest.mark.parametrize("end", [SystemExit(3), GeneratorExit(), MemoryError()])
def test_the_others_are_done_whatever_the_model_raises(
    livecam: Livecam, folder: Path, monkeypatch: pytest.MonkeyPatch, end: BaseException
) -> None:
    explain = Explainer.explain

    def fails_once(explainer: Explainer, frames: Any, **options: Any) -> Any:
        if not ended:
            ended.append(True)
            raise end
        return explain(explainer, frames, **options)

    ended: list[bool] = []
    monkeypatch.setattr(Explainer, "explain", fails_once)
    result = livecam("annotate", "in/a.mp4", "in/b.mp4", "-o", "out")
    assert result.exit_code == 1
    assert summary(result) == "livecam: 1 of 2 inputs done, 1 failed"
    assert made() == {"b.mp4"}
    assert "Traceback" not in result.output


def test_where_all_is_done_there_is_no_table(livecam: Livecam, folder: Path) -> None:
    result = livecam("annotate", "in", "-o", "out")
    assert result.exit_code == 0
    assert "inputs done" not in result.stderr
    assert len(made()) == 6


def test_with_debug_the_traceback_of_each_failure_is_told(livecam: Livecam, folder: Path) -> None:
    for name in ("a", "c"):
        Path("in", f"{name}.mp4").write_bytes(b"no video")
    result = livecam("annotate", "in/a.mp4", "in/b.mp4", "in/c.mp4", "-o", "out", "--debug")
    assert result.stderr.count("Traceback (most recent call last)") >= 2
    assert made() == {"b.mp4"}


def test_a_full_disk_under_the_report_does_not_hide_the_account(
    livecam: Livecam, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def full(path: Path, report: object) -> None:
        with Path("/dev/full").open("wb", buffering=0) as disk:
            disk.write(b"the report")

    monkeypatch.setattr("livecam.run.annotation.write_report", full)
    result = livecam("annotate", "in/a.mp4", "-o", "out.mp4", "--report", "run.json")
    assert result.exit_code == 1
    account, error = result.stderr.splitlines()
    assert account.startswith("out.mp4: 5 read, 5 explained, 0 dropped, 5 written, verified in ")
    assert "No space left on device" in error
    assert Path("out.mp4").exists()

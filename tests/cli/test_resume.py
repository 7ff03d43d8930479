"""`--resume` does what is not done, does again what has changed, and never replaces a file that is not livecam's."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from livecam.cli.terminal import Progress
from livecam.ledger import Ledger
from livecam.picture.media import Media
from livecam.run.runs import Run
from livecam.sinks import Sink
from livecam.system.files import AtomicFile
from tests.support.folders import shown_in

pytestmark = pytest.mark.usefixtures("quick_shapes")

Clip = Callable[..., Path]
Livecam = Callable[..., Result]
ALL = ["a.mp4", "a.png", "b.mp4", "b.png"]


@pytest.fixture
def folder(tmp_path: Path, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two videos and two pictures."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        clip(f"in/{name}.mp4", frames=3, size=(64, 48))
        picture(f"in/{name}.png", ord(name))
    return tmp_path


@pytest.fixture
def annotated(livecam: Livecam, folder: Path) -> Callable[..., Result]:
    """Annotates `in` into `out`."""
    return lambda *options: livecam("annotate", "in", "-o", "out", *options)


def picture(name: str, grey: int) -> None:
    Image.fromarray(np.full((40, 60, 3), grey, np.uint8)).save(name)


def times() -> dict[str, int]:
    """When each output was written."""
    return {name: Path("out", name).stat().st_mtime_ns for name in shown_in(Path("out"))}


def redone(before: dict[str, int]) -> list[str]:
    return [name for name, time in times().items() if time != before[name]]


def summary(result: Result) -> str:
    return result.stderr.splitlines()[-1]


def test_what_is_done_is_not_done_again(annotated: Callable[..., Result]) -> None:
    assert annotated().exit_code == 0
    for name in ("a.mp4", "b.png"):
        Path("out", name).unlink()
    before = times()
    result = annotated()
    assert result.exit_code == 1
    assert "out/a.png exists; --resume does what is not done yet, --overwrite does all again" in result.stderr
    Path("out", "b.png").unlink()
    result = annotated("--resume")
    assert (result.exit_code, summary(result)) == (0, "livecam: 1 of 4 inputs done, 3 done before")
    assert shown_in(Path("out")) == ALL
    assert redone({**times(), **before}) == []


def test_where_all_is_done_no_model_is_loaded(
    annotated: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(**arguments: object) -> None:
        pytest.fail("it is loaded")

    annotated()
    monkeypatch.setattr("livecam.cli.annotate.load_explainer", load)
    result = annotated("--resume")
    assert (result.exit_code, result.output) == (0, "livecam: 0 of 4 inputs done, 4 done before\n")


CHANGES = {
    "an input": ("input has changed", lambda: picture("in/a.png", 7), (), ["a.png"]),
    "the time of an input": ("input has changed", lambda: os.utime("in/b.mp4", (1, 1)), (), ["b.mp4"]),
    "an option": ("options, the model or a version", lambda: None, ("--colormap", "turbo"), ALL),
    "an option of videos": ("options, the model or a version", lambda: None, ("--every", "2"), ["a.mp4", "b.mp4"]),
    "the model": ("options, the model or a version", lambda: None, ("--method", "layercam"), ALL),
    "an output": ("output has changed", lambda: os.truncate("out/b.mp4", 100), (), ["b.mp4"]),
    "what is of speed alone": ("", lambda: None, ("--engine", "eager", "--batch", "2", "--max-megapixels", "9"), []),
    "the place of all": ("", lambda: None, (), []),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_has_changed_is_done_again(
    annotated: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    reason, change, options, expected = CHANGES[what]
    annotated()
    before = times()
    change()
    if what == "the place of all":
        Path("elsewhere").mkdir()
        shutil.move("in", "elsewhere/in")
        shutil.move("out", "elsewhere/out")
        monkeypatch.chdir("elsewhere")
    result = annotated("--resume", *options)
    assert result.exit_code == 0, result.output
    assert redone(before) == expected
    assert summary(result) == f"livecam: {len(expected)} of 4 inputs done, {4 - len(expected)} done before" or not (
        set(ALL) - set(expected)
    )
    assert ("done again: the" in result.output) == bool(reason)
    assert reason in result.output


def test_what_was_moved_is_done_again_with_other_options(
    livecam: Livecam, annotated: Callable[..., Result], folder: Path
) -> None:
    annotated()
    before = times()
    Path("in").rename("moved")
    result = livecam("annotate", "moved", "-o", "out", "--resume", "--colormap", "turbo")
    assert result.exit_code == 0, result.output
    assert redone(before) == ALL


@pytest.mark.parametrize(("grey", "is_other"), [(7, True), (ord("a"), False)])
def test_a_copy_is_told_from_another_picture_of_equal_size_and_time(
    livecam: Livecam, annotated: Callable[..., Result], folder: Path, grey: int, is_other: bool
) -> None:
    """As files from an archive that gives all of them the same time."""
    Path("other").mkdir()
    picture("in/c.bmp", ord("a"))
    picture("other/c.bmp", grey)
    for name in ("in/c.bmp", "other/c.bmp"):
        os.utime(name, (1, 1))
    annotated()
    result = livecam("annotate", "other", "-o", "out", "--resume")
    assert ("1 done before" in result.stderr) != is_other
    assert (f"out/c.bmp exists, made from {folder}/in/c.bmp" in result.stderr) == is_other


def test_a_file_that_livecam_has_not_written_is_kept(annotated: Callable[..., Result]) -> None:
    Path("out").mkdir()
    Path("out/a.png").write_bytes(b"precious")
    result = annotated("--resume")
    assert result.exit_code == 1
    assert summary(result) == "livecam: 3 of 4 inputs done, 1 failed"
    assert "out/a.png exists; name another output, or replace it with --overwrite" in result.stderr
    assert Path("out/a.png").read_bytes() == b"precious"
    result = annotated("--resume", "--overwrite")
    assert (result.exit_code, summary(result)) == (0, "livecam: 1 of 4 inputs done, 3 done before")


def test_the_output_of_another_input_is_kept(livecam: Livecam, annotated: Callable[..., Result]) -> None:
    annotated()
    before = times()
    Path("other").mkdir()
    for name in ("a", "c"):
        picture(f"other/{name}.png", 200)
    result = livecam("annotate", "other", "-o", "out", "--resume")
    assert result.exit_code == 1
    assert f"out/a.png exists, made from {Path.cwd()}/in/a.png; name another output" in result.stderr
    assert redone({**times(), **before}) == []
    assert "c.png" in times()


def test_what_failed_is_tried_again(annotated: Callable[..., Result]) -> None:
    whole = Path("in/a.mp4").read_bytes()
    for name in ("a.mp4", "b.png"):
        Path("in", name).write_bytes(b"nothing of the kind")
    assert summary(annotated()) == "livecam: 2 of 4 inputs done, 2 failed"
    result = annotated("--resume")
    assert (result.exit_code, summary(result)) == (1, "livecam: 0 of 4 inputs done, 2 done before, 2 failed")
    for line, reason in zip(result.stderr.splitlines()[-3:-1], ("picture", "video"), strict=True):
        assert f"is not a {reason} that can be read" in line
    Path("in/a.mp4").write_bytes(whole)
    assert summary(annotated("--resume")) == "livecam: 1 of 4 inputs done, 2 done before, 1 failed"


def test_a_damaged_video_is_done_once_and_stays_incomplete(annotated: Callable[..., Result], clip: Clip) -> None:
    whole = clip("in/a.mkv", frames=30, size=(64, 48)).read_bytes()
    Path("in/a.mkv").write_bytes(whole[: len(whole) * 2 // 3])
    first = annotated()
    before = times()
    again = annotated("--resume")
    assert (first.exit_code, again.exit_code) == (1, 1)
    assert summary(again) == "livecam: 0 of 5 inputs done, 4 done before, 1 incomplete"
    (line,) = (line for line in again.stderr.splitlines() if line.startswith("  incomplete  in/a.mkv"))
    assert line.endswith("could not be read (done before)")
    assert redone(before) == []


def test_an_interrupted_video_is_done_again(
    annotated: Callable[..., Result], clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(progress: Progress, ledger: Ledger, expected: int | None) -> None:
        progress.ledger = ledger
        if ledger.source == "in/a.mp4" and ledger.delivered:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "__call__", interrupt)
        assert annotated().exit_code == 130
    assert shown_in(Path("out")) == ["a.mp4", "a.png", "b.png"]
    before = times()
    result = annotated("--resume")
    assert (result.exit_code, summary(result)) == (0, "livecam: 2 of 4 inputs done, 2 done before")
    assert redone({**times(), **before}) == ["a.mp4"]


def test_what_was_killed_before_it_could_be_noted_is_done_again(
    annotated: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Run, "record", lambda run, names, ledger: None)
        assert annotated().exit_code == 0
    before = times()
    result = annotated("--resume")
    assert result.exit_code == 0, result.output
    assert redone(before) == ALL


def test_outputs_are_noted_before_there_are_parts_of_them(
    annotated: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part that was not noted would never be removed."""
    open_sink, known = Run.open_sink, []

    def opened(run: Run, media: Media) -> Sink:
        assert run.manifest is not None
        known.extend(name for name, file in run.files.items() if run.manifest.origin(file.name))
        return open_sink(run, media)

    monkeypatch.setattr(Run, "open_sink", opened)
    assert annotated().exit_code == 0
    assert sorted(known) == [f"in/{name}" for name in ALL]


def test_what_killed_runs_have_left_is_removed(annotated: Callable[..., Result]) -> None:
    annotated()
    Path("out/b.mp4").unlink()
    stale = ["a.png.part", "b.mp4.part", "b.mp4.1.part", "b.mp4.faststart.part", "b.mp4.faststart.2.part"]
    for name in (*stale, "c.mp4.part", "b.mp4.notes.txt"):
        Path("out", name).write_bytes(b"half")
    with AtomicFile(Path("out/b.png")):  # another run is writing it
        result = annotated("--resume")
        assert result.exit_code == 0, result.output
        assert shown_in(Path("out")) == sorted([*ALL, "b.png.part", "c.mp4.part", "b.mp4.notes.txt"])
    assert "removed what killed runs have left: " in result.output


def test_predictions_of_what_is_left_do_not_replace_those_of_what_is_done(livecam: Livecam, folder: Path) -> None:
    def run(*options: str) -> Result:
        return livecam("annotate", "in/*.png", "-o", "out", "--resume", "--report", "run.json", *options)

    assert run("--predictions", "said.jsonl").exit_code == 0
    picture("in/c.png", 9)
    before = Path("said.jsonl").read_bytes()
    result = run("--predictions", "said.jsonl")
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert "said.jsonl exists, and would hold only what --resume does now; name another file" in result.output
    assert Path("said.jsonl").read_bytes() == before
    assert run("--predictions", "more.jsonl").exit_code == 0
    assert [json.loads(line)["path"] for line in Path("more.jsonl").read_text().splitlines()] == ["in/c.png"]
    report = json.loads(Path("run.json").read_text())
    assert report["done_before"] == {"inputs": 2, "read": 2, "explained": 2, "written": 2}
    assert report["frames"]["written"] == 1


@pytest.mark.parametrize("output", ["out.mp4", "null:"])
def test_only_a_folder_can_be_resumed(livecam: Livecam, folder: Path, output: str) -> None:
    result = livecam("annotate", "in/a.mp4", "-o", output, "--resume")
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert "--resume is for outputs in a folder" in result.output
    assert shown_in(folder) == ["in"]


def test_shards_do_everything_once_and_an_empty_one_is_no_error(annotated: Callable[..., Result]) -> None:
    sizes = []
    for number in range(1, 9):
        result = annotated("--shard", f"{number}/8")
        assert result.exit_code == 0, result.output
        first = result.stderr.splitlines()[0]
        assert first.startswith(f"livecam: note: shard {number}/8 has ")
        assert first.endswith(" of the 4 inputs")
        sizes.append(int(first.split()[5]))
    assert sum(sizes) == 4
    assert 0 in sizes
    assert shown_in(Path("out")) == ALL


def test_a_shard_without_videos_takes_their_options(annotated: Callable[..., Result]) -> None:
    for number in range(1, 5):
        result = annotated("--shard", f"{number}/4", "--every", "2", "--crf", "20")
        assert result.exit_code == 0, result.output
    assert shown_in(Path("out")) == ALL


def test_a_shard_is_taken_from_slurm_if_that_is_typed(
    annotated: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("ID", "7"), ("COUNT", "8"), ("MIN", "0")):
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", value)
    assert "shard 8/8 has " in annotated("--shard", "auto").stderr
    assert "task 7 of a SLURM job array does all of its inputs; --shard auto takes its share" in annotated().stderr


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (("in/a.mp4", "--shard", "1/2"), 1, "--shard 1/2 divides several inputs"),
        (("in", "--shard", "3/2"), 2, "there is no shard 3/2"),
        (("in", "--shard", "half"), 2, "'half' is neither NUMBER/COUNT, such as 3/40, nor auto"),
        (("in", "--shard", "auto"), 1, "SLURM_ARRAY_TASK_ID is not set"),
    ],
)
def test_a_shard_that_cannot_be_is_told_in_one_line(
    livecam: Livecam, folder: Path, arguments: tuple[str, ...], code: int, problem: str
) -> None:
    result = livecam("annotate", *arguments)
    assert (result.exit_code, result.output.count("\n")) == (code, 1), result.output
    assert problem in result.output

"""`--watch`: files are annotated as they arrive, a broken one is told once, and a signal ends it in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from livecam.cli.errors import Terminated
from tests.support.folders import shown_in
from tests.support.metrics import collected, total
from tests.support.stills import scene

pytestmark = pytest.mark.usefixtures("quick_shapes")

Clip = Callable[..., Path]
Livecam = Callable[..., Result]
Step = Callable[[], object]


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Takes what happens between two looks into the folders, which then take no time; in the end a signal comes."""
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    monkeypatch.setattr("livecam.sources.arrivals.QUIET_SECONDS", 0.0)

    def happen(*steps: Step, end: BaseException | None = None) -> None:
        waiting = list(steps)

        def sleep(seconds: float) -> None:
            assert seconds >= 1
            if pauses.pop(0):  # a file has arrived at the second look at it
                return
            if not waiting:
                raise end or KeyboardInterrupt
            waiting.pop(0)()
            pauses.append(True)
            pauses.append(False)

        pauses = [True, False]
        monkeypatch.setattr("livecam.cli.watching.sleep", sleep)

    return happen


def closing(result: Result) -> str:
    return result.stderr.splitlines()[-1]


def accounts(result: Result) -> list[str]:
    return [line.partition(" ")[0] for line in result.stderr.splitlines() if " written" in line]


def put(*names: str) -> None:
    for name in names:
        scene().save(f"in/{name}")


def test_files_are_annotated_as_they_arrive(livecam: Livecam, steps: Callable[..., None], clip: Clip) -> None:
    put("a.png", "b.gif")
    steps(lambda: clip("in/c.mp4", frames=3), lambda: put("d.png"), lambda: put("a.png"))
    result = livecam("annotate", "in", "-o", "out", "--watch", "--every", "2")
    assert result.exit_code == 130, result.output
    assert accounts(result) == ["out:", "out/c.mp4:", "out:", "out:"]
    assert "1 output is done again: the input has changed" in result.stderr
    assert shown_in(Path("out")) == ["a.png", "b.png", "c.mp4", "d.png"]
    assert closing(result) == "livecam: 4 of 4 inputs done"


def test_a_broken_file_is_told_once_until_it_changes(livecam: Livecam, steps: Callable[..., None]) -> None:
    Path("in/a.png").write_text("no picture")
    steps(lambda: None, lambda: put("b.png"), lambda: Path("in/a.png").write_text("still none"), lambda: put("a.png"))
    result = livecam("annotate", "in", "-o", "out", "--watch")
    assert result.stderr.count("a.png is not a picture that can be read") == 2, result.output
    assert closing(result) == "livecam: 2 of 2 inputs done"


def test_what_is_never_mended_is_in_the_table(livecam: Livecam, steps: Callable[..., None]) -> None:
    put("b.png")
    Path("in/a.png").write_text("no picture")
    Path("in/c.mp4").write_text("no video")
    steps(end=Terminated(15))
    result = livecam("annotate", "in", "-o", "out", "--watch")
    assert result.exit_code == 143
    *table, last = result.stderr.splitlines()[-3:]
    assert [line.split()[:2] for line in table] == [["failed", "in/a.png"], ["failed", "in/c.mp4"]]
    assert last == "livecam: 1 of 3 inputs done, 2 failed"


def test_a_restart_goes_on(livecam: Livecam, steps: Callable[..., None]) -> None:
    put("a.png", "b.png")
    steps()
    assert livecam("annotate", "in", "-o", "out", "--watch").exit_code == 130
    steps(lambda: put("c.png"))
    result = livecam("annotate", "in", "-o", "out", "--watch")
    assert accounts(result) == ["out:"]
    assert closing(result) == "livecam: 1 of 3 inputs done, 2 done before"


def test_inputs_that_would_become_the_same_file_fail_alone(livecam: Livecam, steps: Callable[..., None]) -> None:
    put("a.gif", "a.png", "b.png")
    steps()
    result = livecam("annotate", "in", "-o", "out", "--watch")
    assert "out/a.png exists, made from" in result.stderr
    assert shown_in(Path("out")) == ["a.png", "b.png"]
    assert closing(result) == "livecam: 2 of 3 inputs done, 1 failed"


def test_the_others_arrive_although_a_folder_is_away(livecam: Livecam, steps: Callable[..., None]) -> None:
    Path("more").mkdir()
    steps(lambda: Path("more").rename("away"), lambda: put("a.png"), lambda: Path("away").rename("more"))
    result = livecam("annotate", "in", "more", "-o", "out", "--watch")
    problem = "the folder more cannot be read (No such file or directory); check if it is still there"
    assert result.stderr.count(f"livecam: {problem}; it is tried again") == 1
    assert result.stderr.count("all folders can be read again") == 1
    assert closing(result) == "livecam: 1 of 1 inputs done"


def test_what_cannot_be_planned_counts_as_failed_in_the_metrics(
    livecam: Livecam, steps: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[Callable[[], Any]] = []

    @contextmanager
    def serving(address: object, collect: Callable[[], Any]) -> Iterator[None]:
        served.append(collect)
        yield

    monkeypatch.setattr("livecam.run.metrics.metrics_served", serving)
    Path("out").mkdir()
    Path("out/a.png").write_bytes(b"precious")
    put("a.png")
    steps(lambda: put("b.png"))
    result = livecam("annotate", "in", "-o", "out", "--watch", "--metrics", ":9191")
    assert closing(result) == "livecam: 1 of 2 inputs done, 1 failed"
    (collect,) = served
    for outcome in ("done", "failed"):
        assert total(collected(collect), "livecam_inputs_total", outcome=outcome) == 1


def test_outputs_inside_of_the_watched_folder_do_not_become_inputs(
    livecam: Livecam, steps: Callable[..., None]
) -> None:
    put("a.gif")
    steps(lambda: None, lambda: None)
    result = livecam("annotate", "in", "-o", "in/out", "--watch")
    assert shown_in(Path("in/out")) == ["a.png"]
    assert closing(result) == "livecam: 1 of 1 inputs done"


def test_an_empty_folder_leaves_none(livecam: Livecam, steps: Callable[..., None]) -> None:
    steps()
    result = livecam("annotate", "in", "-o", "out", "--watch")
    assert closing(result) == "livecam: 0 of 0 inputs done"
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["in/*.png", "-o", "out"], "--watch is for folders, and in/*.png is none"),
        (["in", "-o", "./in/"], "is watched, so outputs would become inputs"),
        (["in", "-o", "null:"], "null: writes nothing"),
        (["in", "-o", "out.mp4"], "out.mp4 is named like a file"),
        (["in", "-o", "out", "--report", "run.json"], "describe one run, and a watch has many"),
        (["in", "-o", "out", "--layer", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_watched_is_told_before(
    livecam: Livecam, steps: Callable[..., None], arguments: Sequence[str], problem: str
) -> None:
    put("a.png")
    steps()
    result = livecam("annotate", *arguments, "--watch")
    assert (result.exit_code, result.output.count("\n")) == (2 if "--layer" in arguments else 1, 1), result.output
    assert problem in result.output


def test_a_shard_is_watched(livecam: Livecam, steps: Callable[..., None]) -> None:
    put(*(f"{number}.png" for number in range(6)))
    steps()
    made = []
    for number in (1, 2):
        steps()
        assert livecam("annotate", "in", "-o", f"out{number}", "--watch", "--shard", f"{number}/2").exit_code == 130
        made += shown_in(Path(f"out{number}"))
    assert sorted(made) == [f"{number}.png" for number in range(6)]

"""The fleet hands out runs in order and within bounds, and goes on where a worker does not. Ray is simulated."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmarks.fleet import LostError, SimulatedRay
from livecam.errors import LivecamError
from livecam.fleet.cluster import Machine, Place, place_among
from livecam.fleet.fleet import Fleet, Standing
from livecam.fleet.orders import Abandoned, Order, Result
from livecam.fleet.worker import Worker
from livecam.ledger import FILE, Ledger
from livecam.models.identity import identity
from livecam.run.annotation import carry_out
from livecam.run.manifest import Manifest
from livecam.run.plan import planned
from livecam.run.runs import Options, Run
from livecam.sources import find_inputs

SIZES = (30, 500, 20, 400, 100)
"""The videos of the tests, in bytes."""


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[list[Run]]:
    """A run of each of five videos, and one of ten pictures."""
    folder = tmp_path / "in"
    folder.mkdir()
    for size in SIZES:
        (folder / f"{size}.mp4").write_bytes(b"0" * size)
    for number in range(10):
        Image.new("L", (2, 2)).save(folder / f"{number}.png")
    with planned(find_inputs(folder), str(tmp_path / "out"), Options()) as runs:
        yield runs


@pytest.fixture
def videos(runs: list[Run]) -> list[Run]:
    return [run for run in runs if not run.is_still]


def ledger_of(run: Run) -> Ledger:
    ledger = Ledger(FILE, run.names[0])
    ledger.read = ledger.delivered = len(run.names)
    ledger.end()
    return ledger


class Cluster:
    """A simulated cluster. Each byte of an input takes a worker a second, and loading the model one more.

    Args:
        answers: What a worker answers in place of success to the calls of `begin`, one after the other, and to the runs
            of inputs with these names.
    """

    def __init__(self, begin: Sequence[Result] = (), **answers: Any) -> None:
        self.asked: list[str] = []
        self.begun: list[str] = []
        self.ray = SimulatedRay(self._answer)
        self._begin, self._answers = list(begin), answers

    def _answer(self, method: str, *arguments: Any) -> tuple[float, Any]:
        self.asked.append(method)
        if method == "begin":
            return 1, self._begin.pop(0) if self._begin else Result()
        if method != "annotate":
            return 0, (1, 2)
        (run,) = arguments
        self.begun += [Path(name).stem for name in run.names]
        seconds = sum(Path(name).stat().st_size for name in run.names)
        return seconds, self._answers.get(f"of_{self.begun[-1]}", Result(ledger_of(run)))

    def results(self, runs: Sequence[Run], count: int = 2, **options: Any) -> list[tuple[str, Result]]:
        fleet = Fleet(self.ray, Worker, Order("", carry_out, {}, 0), lambda: Place(1, 0, count), **options)
        return [(Path(name).stem, result) for run, result in fleet.results(runs) for name in run.names]


def test_the_largest_come_first_and_each_worker_has_one(videos: list[Run]) -> None:
    cluster = Cluster()
    results = cluster.results(videos)
    assert cluster.begun == ["500", "400", "100", "30", "20"]
    assert sorted(name for name, _ in results) == sorted(cluster.begun)
    assert all(result.ledger and not result.error for _, result in results)
    assert cluster.ray.most_workers == 2
    assert not cluster.ray.workers
    assert cluster.ray.now_seconds == pytest.approx(1 + 500 + 30)


def test_there_are_not_more_workers_than_runs(videos: list[Run]) -> None:
    cluster = Cluster()
    cluster.results(videos, count=100)
    assert cluster.ray.most_workers == len(videos)


def test_workers_share_the_pictures(runs: list[Run]) -> None:
    cluster = Cluster()
    pictures = [run for run in runs if run.is_still]
    results = cluster.results(pictures)
    assert cluster.asked.count("annotate") == 5  # two pictures each
    assert sorted(name for name, _ in results) == [str(number) for number in range(10)]


def test_a_file_that_fails_fails_alone_and_once(videos: list[Run]) -> None:
    cluster = Cluster(of_400=Result(error=LivecamError("400.mp4 is damaged")))
    results = dict(cluster.results(videos))
    assert [name for name, result in results.items() if result.error] == ["400"]
    assert cluster.begun.count("400") == 1
    assert len(results) == len(videos)


def test_a_file_whose_workers_die_fails_alone_and_another_worker_takes_the_place(videos: list[Run]) -> None:
    cluster = Cluster(of_400=LostError())
    results = dict(cluster.results(videos))
    assert [name for name, result in results.items() if result.error] == ["400"]
    assert "has died 4 times" in str(results["400"].error)
    assert cluster.asked.count("begin") == 3


def test_the_others_do_the_work_of_a_worker_that_cannot_begin(
    videos: list[Run], caplog: pytest.LogCaptureFixture
) -> None:
    unable = Result(error=LivecamError("there is no folder /data"), is_unable=True, machine="host7")
    results = Cluster(begin=[unable]).results(videos)
    assert len(results) == len(videos)
    assert not any(result.error for _, result in results)
    assert "goes on without a worker on host7: there is no folder /data" in caplog.text


def test_where_no_worker_can_begin_that_is_the_end(videos: list[Run]) -> None:
    unable = Result(error=LivecamError("there is no model"), is_unable=True)
    ((_, result),) = Cluster(begin=[unable, unable]).results(videos)
    assert result.is_unable
    assert str(result.error) == "there is no model"


def test_a_note_of_many_workers_is_told_once(videos: list[Run], caplog: pytest.LogCaptureFixture) -> None:
    cluster = Cluster(begin=[Result(notes=((30, "the model is small"),))] * 2)
    cluster.results(videos)
    assert caplog.messages == ["the model is small"]


def test_progress_counts_inputs_frames_and_shares(videos: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("livecam.fleet.fleet._TICK_SECONDS", 1e-9)
    told: list[Standing] = []
    Cluster().results(videos, on_progress=told.append)
    assert [standing.inputs for standing in told] == sorted(standing.inputs for standing in told)
    last = told[-1]
    assert (last.inputs, last.of_inputs, last.share) == (5, 5, 1)
    assert {standing.workers for standing in told} <= {0, 1, 2}
    first = next(standing for standing in told if standing.frames)
    assert (first.inputs, first.frames) == (0, 1)
    assert first.share == pytest.approx(500 / 2 / sum(SIZES))  # one of two frames of the largest


def test_after_an_interrupt_nothing_is_begun_and_what_is_done_is_told(
    videos: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(of_500=Result(error=Abandoned()))
    results = []
    with pytest.raises(KeyboardInterrupt):
        for run, result in Fleet(cluster.ray, Worker, Order("", carry_out, {}, 0), lambda: Place(1, 0, 2)).results(
            videos
        ):
            results.append((run.names[0], result))
            os.kill(os.getpid(), signal.SIGINT)
    assert cluster.begun[:2] == ["500", "400"]
    assert len(cluster.begun) <= 3  # the place of 400 is taken before it is told
    assert "stop" in cluster.asked
    assert all(result.error is None for _, result in results)
    assert not cluster.ray.workers


def test_pictures_that_were_written_before_an_interrupt_are_done(
    runs: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of those that their worker has not come to, nothing is told."""
    pictures = next(run for run in runs if run.is_still)
    manifest = Manifest(tmp_path / "out", dict)
    with manifest, planned([pictures.input], str(tmp_path / "out"), Options(), manifest) as (run,):
        group = next(iter(run.in_parts(2)))
        first, _ = group.names
        ledger = Ledger(FILE, "pictures")
        ledger.read, ledger.delivered, ledger.dropped["end"] = 2, 1, 1
        group.files[first].touch()
        cluster = Cluster(**{f"of_{Path(group.names[1]).stem}": Result(ledger, Abandoned())})
        fleet = Fleet(cluster.ray, Worker, Order("", carry_out, {}, 0), lambda: Place(1, 0, 2))
        done = {name: result for part, result in fleet.results([run]) for name in part.names}
        assert done[first] == Result(ledger)
        assert len(done) == 9
        assert manifest.entry(group.files[first].name) is not None
        assert manifest.entry(group.files[group.names[1]].name) is None


def test_a_worker_that_was_stopped_too_late_has_done_its_run(videos: list[Run]) -> None:
    """The output is there by then."""

    def carried_out(run: Run, make: object, *, on_progress: Callable[[Ledger, int], None]) -> Ledger:
        ledger = ledger_of(run)
        ledger.verified = is_verified
        on_progress(ledger, 1)
        return ledger

    worker = Worker(Order("", carried_out, {}, 0))
    worker.begin = Result  # type: ignore[method-assign]
    worker._sweep = lambda run: None  # type: ignore[method-assign]
    worker.stop()
    for is_verified in (True, None):
        assert (worker.annotate(videos[0]).error is None) == bool(is_verified)


def test_a_worker_with_another_file_of_the_model_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    explainer = {"model": "resnet18", "weights": "weights.pt"}
    Path("weights.pt").write_text("ours")
    order = Order(str(tmp_path), carry_out, explainer, 0, identity=identity(explainer))
    Path("weights.pt").write_text("of the other machine")
    begun = Worker(order).begin()
    assert begun.is_unable
    assert " has another weights than the machine of the command; all need the same " in str(begun.error)


def test_where_there_is_no_machine_for_a_while_it_rests(videos: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    cluster, slept = Cluster(), []
    monkeypatch.setattr("livecam.fleet.fleet.time.sleep", slept.append)
    monkeypatch.setattr("livecam.fleet.fleet._LOOK_SECONDS", 0.0)
    counts = chain([2, 0, 0], repeat(2))  # the first of which is asked for to share the pictures
    place = lambda: Place(1, 0, next(counts))  # noqa: E731
    fleet = Fleet(cluster.ray, Worker, Order("", carry_out, {}, 0), place)
    assert len(list(fleet.results(videos))) == len(videos)
    assert slept == [1.0, 1.0]


def test_one_machine_that_cannot_work_is_told_once(videos: list[Run], caplog: pytest.LogCaptureFixture) -> None:
    unable = Result(error=LivecamError("there is no folder /data"), is_unable=True, machine="host7")
    Cluster(begin=[unable, unable]).results(videos, count=3)
    assert caplog.text.count("goes on without a worker on host7") == 1


def test_a_run_travels_with_the_kinds_of_its_source_and_sink(runs: list[Run]) -> None:
    for run in runs:
        there = pickle.loads(pickle.dumps(run))
        assert there == run
        assert there.input.kind is run.input.kind
        assert there.sink is run.sink


@pytest.mark.parametrize(
    ("machines", "asked", "place"),
    [
        ([Machine(8, 0), Machine(4, 0)], {}, Place(2, 0, 6)),
        ([Machine(1, 0)], {}, Place(1, 0, 1)),
        ([Machine(8, 0), Machine(4, 0)], {"cores": 4}, Place(4, 0, 3)),
        ([Machine(64, 8), Machine(8, 0)], {}, Place(8, 1, 8)),
        ([Machine(64, 8)], {"per_gpu": 4}, Place(2, 0.25, 32)),
        ([Machine(64, 8)], {"per_gpu": 4, "cores": 4}, Place(4, 0.25, 16)),
        ([Machine(64, 8)], {"device": "cpu"}, Place(2, 0, 32)),
    ],
)
def test_workers_fit_into_the_machines(machines: list[Machine], asked: dict[str, Any], place: Place) -> None:
    assert place_among(machines, **{"device": "auto", "cores": None, "per_gpu": None, **asked}) == place


@pytest.mark.parametrize(
    ("machines", "asked", "problem"),
    [
        ([Machine(2, 0)], {"cores": 4}, "no machine of the cluster has 4 cores for a worker; say --cores 2 or fewer"),
        ([Machine(2, 0)], {"per_gpu": 2}, "no machine of the cluster has a GPU"),
        ([Machine(2, 0)], {"device": "cuda"}, "no machine of the cluster has a GPU"),
        ([], {}, "no machine of the cluster has cores"),
    ],
)
def test_workers_that_fit_nowhere_are_an_error(machines: list[Machine], asked: dict[str, Any], problem: str) -> None:
    with pytest.raises(LivecamError, match=problem):
        place_among(machines, **{"device": "auto", "cores": None, "per_gpu": None, **asked})

"""How does a fleet scale? `python -m benchmarks.fleet`.

First, on this machine: short files on a Ray cluster by one worker of one core, and by two, from when the last of them
has loaded the model. Then, on paper: the scheduler of livecam on a cluster that is simulated. Its workers take the
times that were measured here, scaled to files of all lengths; each answer takes the head what Ray and livecam take for
it here. That tells what bounds many machines: the tail of long files, the head, listing and planning, or the disk.
"""

from __future__ import annotations

import argparse
import dataclasses
import heapq
import itertools
import math
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av

from benchmarks.timing import print_machine, print_table
from livecam.bench.timing import write_json
from livecam.fleet.cluster import Place, joined
from livecam.fleet.fleet import Fleet
from livecam.fleet.orders import Order, Result
from livecam.fleet.worker import Worker
from livecam.ledger import FILE, Ledger
from livecam.run.annotation import carry_out
from livecam.run.plan import planned
from livecam.run.runs import Options, Run
from livecam.sources import find_inputs, open_source
from livecam.system.machine import machine

WORKERS_OF_A_MACHINE = 32
"""As a machine of 64 cores has, each worker taking two."""
FILES_OF_A_WORKER = 10
SPREAD = 1.2
"""How unequal the files of the simulation are: the standard deviation of the logarithm of their lengths. With 1.2, one
in 40 is ten times as long as usual."""


class LostError(Exception):
    """What a simulated worker has not answered, since it has died."""


@dataclasses.dataclass(frozen=True, eq=False)
class Call:
    """A call of a simulated worker: when it ends, and with which answer."""

    worker: SimulatedWorker
    end_seconds: float
    answer: Any

    def __lt__(self, other: Call) -> bool:
        return self.end_seconds < other.end_seconds


class SimulatedRay:
    """Stands in for the module `ray`. Its workers take time on a clock of their own, which runs from answer to answer.

    Args:
        answer: Called with the name of a method and its arguments; returns the seconds that a worker takes, and what it
            answers. LostError is raised where the answer is taken.
        head_seconds: How long the head is busy with each answer.

    Attributes:
        now_seconds: The time.
        busy_seconds: The time that all workers together have been at work.
        workers: Those that are there.
        most_workers: How many there were at most.
    """

    def __init__(self, answer: Callable[..., tuple[float, Any]], head_seconds: float = 0.0) -> None:
        self.exceptions = SimpleNamespace(RayError=LostError)
        self.now_seconds = self.busy_seconds = 0.0
        self.workers: set[SimulatedWorker] = set()
        self.most_workers = 0
        self._answer, self._head_seconds = answer, head_seconds
        self._calls: list[Call] = []

    def remote(self, **options: object) -> Callable[[type], SimulatedClass]:
        """Return what makes a class one of workers."""
        return lambda worker: SimulatedClass(self)

    def call(self, worker: SimulatedWorker, method: str, arguments: tuple[object, ...]) -> Call:
        """Let a worker begin something; what takes it no time is no work."""
        seconds, answer = self._answer(method, *arguments)
        self.busy_seconds += seconds
        call = Call(worker, self.now_seconds + seconds, answer)
        if seconds:
            heapq.heappush(self._calls, call)
        return call

    def wait(self, calls: Sequence[Call], *, timeout: float, num_returns: int = 1) -> tuple[list[Call], list[Call]]:
        """Let the time go on until a call has ended; without a timeout, return those that have."""
        if not timeout:
            return [call for call in calls if call.end_seconds <= self.now_seconds], []
        while self._calls:
            call = heapq.heappop(self._calls)
            if call.worker in self.workers:
                self.now_seconds = max(self.now_seconds, call.end_seconds)
                return [call], []
        return [], []

    def get(self, call: Call) -> Any:
        """Take an answer."""
        self.now_seconds += self._head_seconds
        if isinstance(call.answer, LostError):
            raise call.answer
        return call.answer

    def kill(self, worker: SimulatedWorker) -> None:
        """End a worker."""
        self.workers.discard(worker)


@dataclasses.dataclass
class SimulatedClass:
    """Makes workers."""

    ray: SimulatedRay

    def options(self, **options: object) -> SimulatedClass:
        """Workers of all options are the same."""
        return self

    def remote(self, order: Order) -> SimulatedWorker:
        """Make a worker."""
        worker = SimulatedWorker(self.ray)
        self.ray.workers.add(worker)
        self.ray.most_workers = max(self.ray.most_workers, len(self.ray.workers))
        return worker


class SimulatedWorker:
    """A worker, whose methods are called as those of Ray's actors are."""

    def __init__(self, ray: SimulatedRay) -> None:
        self.begin, self.annotate, self.progress, self.stop = (
            SimulatedMethod(ray, self, name) for name in ("begin", "annotate", "progress", "stop")
        )


@dataclasses.dataclass
class SimulatedMethod:
    """A method of a worker."""

    ray: SimulatedRay
    worker: SimulatedWorker
    name: str

    def options(self, **options: object) -> SimulatedMethod:
        """Calls with all options are the same."""
        return self

    def remote(self, *arguments: object) -> Call:
        """Call it."""
        return self.ray.call(self.worker, self.name, arguments)


class Together(Fleet):
    """A fleet that begins when all workers have loaded the model. `begun_seconds` is when."""

    def __init__(self, *arguments: Any, workers: int) -> None:
        super().__init__(*arguments)
        self.begun_seconds = 0.0
        self._workers = workers
        self._loaded: list[Any] = []

    def _go_on(self, member: Any, result: Result) -> None:
        if member.job is None and len(self._loaded) < self._workers:
            self._loaded.append(member)
            if len(self._loaded) < self._workers:
                return
            self.begun_seconds = time.perf_counter()
            for each in self._loaded:
                super()._go_on(each, result)
        else:
            super()._go_on(member, result)


def write_clip(path: Path, frames: int) -> None:
    """Write a short video of a generated scene."""
    with open_source(f"demo:?size=640x360&fps=25&seconds={frames / 25}") as source, av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", Fraction(25))
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for number, frame in enumerate(source.frames(lambda packet: None)):
            picture = frame.picture.reformat(format="yuv420p")
            picture.pts, picture.time_base = number, Fraction(1, 25)
            file.mux(stream.encode(picture))
        file.mux(stream.encode(None))


def measured(folder: Path, ray: Any, workers: int, explainer: dict[str, Any]) -> dict[str, Any]:
    """Annotate the clips in a folder by some workers of one core. Return how long they took together, and each."""
    place = Place(1, 0, workers)
    output = Path(tempfile.mkdtemp(dir=folder.parent))
    with planned(find_inputs(folder), str(output), Options()) as runs:
        fleet = Together(ray, Worker, Order(str(Path.cwd()), carry_out, explainer, 0), lambda: place, workers=workers)
        results = [result for _, result in fleet.results(runs)]
        seconds = time.perf_counter() - fleet.begun_seconds
        if failed := [result.error for result in results if result.error]:
            raise failed[0]
        ledgers = [result.ledger for result in results if result.ledger is not None]
        size = sum(file.stat().st_size for file in output.iterdir())
    return {
        "workers": workers,
        "seconds": seconds,
        "frames": sum(ledger.delivered for ledger in ledgers),
        "file_seconds": statistics.median(ledger.seconds for ledger in ledgers),
        "output_bytes": size,
    }


def usual(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the run that took the median of the times."""
    return sorted(runs, key=lambda run: float(run["seconds"]))[len(runs) // 2]


def head_milliseconds(ray: Any, pending: int, rounds: int = 200) -> float:
    """Return how long the head is busy with one answer, while so many other workers have not answered yet."""

    class Sleeper:
        def wait(self, seconds: float) -> None:
            time.sleep(seconds)

    sleeper, other = (ray.remote(num_cpus=0)(Sleeper).remote() for _ in range(2))
    ray.get([sleeper.wait.remote(0), other.wait.remote(0)])
    calls = [other.wait.remote(3600) for _ in range(pending)]
    begin_seconds = time.perf_counter()
    for _ in range(rounds):
        call = sleeper.wait.remote(0)
        ray.wait([*calls, call], timeout=10)
        ray.get(call)
    milliseconds = 1000 * (time.perf_counter() - begin_seconds) / rounds
    for actor in (sleeper, other):
        ray.kill(actor)
    return milliseconds


def plan_milliseconds(files: int = 10_000) -> float:
    """Return how long it takes to list and plan one of many videos, on the local disk."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "in")
        folder.mkdir()
        for number in range(files):
            (folder / f"{number}.mp4").write_bytes(b"0")
        begin_seconds = time.perf_counter()
        with planned(find_inputs(folder), str(folder.parent / "out"), Options()) as runs:
            return 1000 * (time.perf_counter() - begin_seconds) / len(runs)


@dataclasses.dataclass(frozen=True)
class Kind:
    """What the fleet asks of the kind of an input, for files that are not there."""

    is_still: bool = False

    def version(self, name: str) -> dict[str, int]:
        """Return the size, which the name says."""
        return {"bytes": int(name)}


def simulated(
    machines: int, file_seconds: float, head_seconds: float, *, largest_first: bool = True, seed: int = 1
) -> dict[str, Any]:
    """Let a simulated cluster do files of all lengths, whose median takes a worker `file_seconds`."""
    workers = machines * WORKERS_OF_A_MACHINE
    chance = random.Random(seed)
    times = [file_seconds * math.exp(SPREAD * chance.gauss(0, 1)) for _ in range(workers * FILES_OF_A_WORKER)]
    ledger = Ledger(FILE, "simulated")

    def answer(method: str, *arguments: Any) -> tuple[float, Result]:
        return (1e-9, Result()) if method == "begin" else (arguments[0].options, Result(ledger))

    runs = [
        Run(
            SimpleNamespace(kind=Kind(), names=(str(int(1e6 * seconds) if largest_first else 1),)),  # type: ignore[arg-type]
            "",
            None,  # type: ignore[arg-type]
            {},
            seconds,  # type: ignore[arg-type]
        )
        for seconds in times
    ]
    ray = SimulatedRay(answer, head_seconds)
    begin_seconds = time.perf_counter()
    count = sum(1 for _ in Fleet(ray, Worker, Order("", carry_out, {}, 0), lambda: Place(1, 0, workers)).results(runs))
    own_seconds = time.perf_counter() - begin_seconds
    return {
        "file_seconds": file_seconds,
        "machines": machines,
        "workers": workers,
        "files": count,
        "largest_first": largest_first,
        "seconds": ray.now_seconds,
        "at_work": sum(times) / workers / ray.now_seconds,
        "head_busy": count * head_seconds / ray.now_seconds,
        "own_milliseconds": 1000 * own_seconds / count,
    }


def main() -> None:
    """Measure, simulate, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=40)
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    explainer = {"model": "shapes", "engine": "eager", "runner_up": True}
    with tempfile.TemporaryDirectory() as name, joined("ray") as ray:
        folder = Path(name, "clips")
        folder.mkdir()
        write_clip(folder / "0.mp4", arguments.frames)
        for number in range(1, arguments.files):
            shutil.copy(folder / "0.mp4", folder / f"{number}.mp4")
        rounds = [[measured(folder, ray, workers, explainer) for workers in (1, 2)] for _ in range(arguments.rounds)]
        one, two = map(usual, zip(*rounds, strict=True))
        heads = {pending: head_milliseconds(ray, pending) for pending in (1, 100, 3200)}
    plan = plan_milliseconds()
    print_machine()
    print(
        f"{arguments.files} files of {arguments.frames} frames, start-up apart, medians of {arguments.rounds} rounds:\n"
    )
    print_table(
        ["WORKERS OF ONE CORE", "SECONDS", "FRAMES A SECOND", "TIMES AS FAST"],
        [
            [each["workers"], f"{each['seconds']:.1f}", f"{each['frames'] / each['seconds']:.1f}"]
            + [f"{one['seconds'] / each['seconds']:.2f}"]
            for each in (one, two)
        ],
    )
    by_head = ", ".join(f"{milliseconds:.2f} ms among {pending}" for pending, milliseconds in heads.items())
    print(f"\nThe head takes an answer of one worker in {by_head}; listing and planning take {plan:.2f} ms a file.\n")
    rows = [
        simulated(machines, one["file_seconds"] * scale, heads[3200] / 1000, largest_first=largest_first)
        for scale, machines, largest_first in itertools.product((1, 10), (1, 10, 100), (True, False))
    ]
    print(f"On paper, {WORKERS_OF_A_MACHINE} workers a machine and {FILES_OF_A_WORKER} files of a worker:\n")
    print_table(
        [
            "USUAL FILE, SECONDS",
            "MACHINES",
            "FILES",
            "LARGEST FIRST",
            "MINUTES",
            "WORKERS AT WORK",
            "HEAD BUSY",
            "PLAN, SECONDS",
            "MB/S WRITTEN",
        ],
        [
            [f"{row['file_seconds']:.1f}", row["machines"], row["files"], "yes" if row["largest_first"] else "no"]
            + [f"{row['seconds'] / 60:.1f}"]
            + [f"{row['at_work']:.0%}", f"{row['head_busy']:.0%}", f"{plan * row['files'] / 1000:.0f}"]
            + [f"{one['output_bytes'] / one['seconds'] * row['workers'] * row['at_work'] / 1e6:.0f}"]
            for row in rows
        ],
    )
    if arguments.json is not None:
        facts = {"machine": machine(), "measured": rounds, "head_ms": heads, "plan_ms": plan, "simulated": rows}
        write_json(arguments.json, facts)


if __name__ == "__main__":
    main()

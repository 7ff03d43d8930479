"""The fleet: the workers of a cluster, which share the runs of one command."""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from typing import Any

from livecam._version import __version__
from livecam.errors import LivecamError, in_one_line
from livecam.fleet.cluster import Place
from livecam.fleet.orders import Abandoned, Note, Order, Result
from livecam.run.runs import Run
from livecam.system.files import parts_of, sweep_parts
from livecam.system.signals import ending_signals_held

log = logging.getLogger("livecam")

_RETRIES = 3
"""How often a run is begun again after the machine or the process that did it has died. A file that kills the process
that opens it then fails alone."""
_TELLING = "telling"
"""The group of calls that a worker answers while it is busy."""
_TICK_SECONDS = 1.0
_LOOK_SECONDS = 10.0
"""How often the cluster is asked for places of machines that have joined it."""
_PATIENCE_SECONDS = 30.0
"""How long the first worker may take to begin before that is told."""
_STOP_SECONDS = 20.0
"""How long workers may take to put away what is under way; then they are killed."""
_KILL_SECONDS = 20.0
"""How long processes that were killed may take to end."""
_MOST_PICTURES = 32
"""That one worker gets at once: as many take about as long as a short video."""
_SHARES = 4
"""So many shares of all pictures each worker gets at least, so that none of them is the last by long."""


@dataclass(frozen=True)
class Standing:
    """How far a fleet is.

    Attributes:
        inputs: The inputs that are done or have failed.
        of_inputs: All inputs.
        frames: The frames and pictures that are done.
        share: The share of the work that is done, by the sizes of the inputs: 0 to 1.
        workers: How many workers are at work.
    """

    inputs: int
    of_inputs: int
    frames: int
    share: float
    workers: int


class _Job:
    """A run, with how much of it is done."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.size = max(sum(int(version.get("bytes", 0)) for version in map(run.input.kind.version, run.names)), 1)
        self.frames = 0
        self.expected: int | None = None

    @property
    def share(self) -> float:
        """The share of it that is done, 0 to 1."""
        return min(self.frames / self.expected, 1) if self.expected else 0.0


@dataclass
class _Member:
    """A worker, with what it is doing; no job while it begins. `asked` is the call that asks for its progress."""

    actor: Any
    job: _Job | None = None
    asked: Any = None


class Fleet:
    """Does runs on the workers of a cluster: the largest first, each worker one at a time.

    Only what a worker can begin now is handed out, so that a cluster is never given more than it has places.

    Args:
        ray: The module, which has joined a cluster.
        worker: The class of the workers, `livecam.fleet.worker.Worker`.
        order: What the workers are told.
        place: Returns what each worker takes, and for how many the cluster has room now. Raises LivecamError.
        on_progress: Called about once a second; None if nobody looks.
    """

    def __init__(
        self,
        ray: Any,
        worker: type,
        order: Order,
        place: Callable[[], Place],
        on_progress: Callable[[Standing], None] | None = None,
    ) -> None:
        self._ray, self._order, self._place, self._on_progress = ray, order, place, on_progress
        self._hirable = ray.remote(concurrency_groups={_TELLING: 1})(worker)
        self._waiting: deque[_Job] = deque()
        self._members: dict[Any, _Member] = {}  # by the call that each of them is to answer
        self._unable = 0
        self._lost: list[_Job] = []
        self._ended: list[_Job] = []
        self._all: list[_Job] = []
        self._notes: set[Note] = set()
        self._hired_seconds = self._asked_seconds = -math.inf
        self._patient_until_seconds = time.monotonic() + _PATIENCE_SECONDS

    def results(self, runs: Sequence[Run]) -> Iterator[tuple[Run, Result]]:
        """Do the runs, and yield each with its result as soon as it is known; many pictures become several runs.

        After the first KeyboardInterrupt what is under way is abandoned: nothing is left of a file that is half done,
        and only pictures that are written have a result. A second one kills the workers that have not done so. Then the
        interrupt is raised.
        """
        workers = self._place().count
        parts = [part for run in runs for part in run.in_parts(_pictures_at_once(run, workers))]
        self._all = sorted(map(_Job, parts), key=lambda job: job.size, reverse=True)
        self._waiting.extend(self._all)
        interrupt: KeyboardInterrupt | None = None
        deadline_seconds = math.inf
        try:
            with ending_signals_held() as handle_next_signal:
                while (self._waiting or self._busy) and time.monotonic() < deadline_seconds:
                    try:
                        yield from self._step()
                        handle_next_signal()
                        if interrupt is not None:
                            self._stop()  # again: Ray may have begun a worker anew, which was not told
                    except KeyboardInterrupt as exc:
                        deadline_seconds = time.monotonic() + (_STOP_SECONDS if interrupt is None else 0)
                        interrupt = interrupt or exc
                        self._stop()
        finally:
            self._dismiss()
        if interrupt is not None:
            raise interrupt

    @property
    def _busy(self) -> list[_Job]:
        return [member.job for member in self._members.values() if member.job is not None]

    def _step(self) -> Iterator[tuple[Run, Result]]:
        """Wait for an answer, at most for a second, and yield the runs that have ended."""
        self._hire()
        if not self._members:  # the machines that can work have left: others may join
            time.sleep(_TICK_SECONDS)
        ready, _ = self._ray.wait(list(self._members), timeout=_TICK_SECONDS)
        for call in ready:
            yield from self._take(call)
        if not self._ended and not self._busy and time.monotonic() > self._patient_until_seconds:
            self._patient_until_seconds = math.inf
            log.info("the cluster is busy, or its machines load the model; waiting for the first worker")
        if self._on_progress is not None and time.monotonic() > self._asked_seconds + _TICK_SECONDS:
            self._asked_seconds = time.monotonic()
            self._ask()
            self._on_progress(self._standing())

    def _hire(self) -> None:
        """Begin workers for the places of the cluster, also on machines that have joined it meanwhile."""
        if not self._waiting or time.monotonic() < self._hired_seconds + _LOOK_SECONDS:
            return
        self._hired_seconds = time.monotonic()
        place = self._place()
        wanted = min(place.count - self._unable, len(self._waiting) + len(self._busy))
        for _ in range(wanted - len(self._members)):
            actor = self._hirable.options(
                num_cpus=place.cores, num_gpus=place.gpus, max_restarts=-1, max_task_retries=_RETRIES
            ).remote(dataclasses.replace(self._order, cores=place.cores))
            self._members[actor.begin.remote()] = _Member(actor)

    def _take(self, call: Any) -> Iterator[tuple[Run, Result]]:
        """Take the answer of a worker, and give it the next job."""
        member = self._members.pop(call)
        job = member.job
        try:
            result = self._ray.get(call)
        except self._ray.exceptions.RayError as exc:
            result = _lost(exc, is_begun=job is not None)
            self._lost += [job] if job else []
            self._part_with(member)
        else:
            self._go_on(member, result)
        if not isinstance(result.error, Abandoned):  # else of a file of which nothing is left
            self._tell(result.notes)
        if result.is_unable:
            self._unable += 1
            self._waiting.extendleft([job] if job else [])
            if self._members or not self._waiting:
                self._tell([(logging.WARNING, f"goes on without a worker on {result.machine}: {result.error}")])
                return
            job = self._waiting.popleft()  # whose result is that of all
            self._waiting.clear()
        if job is not None:
            yield from self._ended_with(job, result)

    def _ended_with(self, job: _Job, result: Result) -> Iterator[tuple[Run, Result]]:
        """Note what was written, and yield the run with its result; of one that was abandoned what was written."""
        written = _written(job.run, result)
        if result.ledger is not None:
            job.run.record(written, result.ledger)
            job.frames = result.ledger.delivered
        if not isinstance(result.error, Abandoned):
            self._ended.append(job)
            yield job.run, result
            return
        self._lost.append(job)
        if written:
            yield job.run.of(written), dataclasses.replace(result, error=None)

    def _go_on(self, member: _Member, result: Result) -> None:
        if result.is_unable or not self._waiting:
            self._part_with(member)
            return
        job = self._waiting.popleft()
        job.run.begin()
        call = member.actor.annotate.remote(dataclasses.replace(job.run, manifest=None))
        self._members[call] = _Member(member.actor, job)

    def _part_with(self, member: _Member) -> None:
        """End a worker. Its place is free for another one, such as one that Ray has to move."""
        self._ray.kill(member.actor)
        self._hired_seconds = -math.inf

    def _ask(self) -> None:
        """Take what the workers have answered to the last question for their progress, and ask again."""
        asked = [member.asked for member in self._members.values() if member.asked is not None]
        answered = set(self._ray.wait(asked, num_returns=len(asked), timeout=0)[0]) if asked else set()
        for member in self._members.values():
            if member.job is None:
                continue
            if member.asked in answered:
                with suppress(self._ray.exceptions.RayError):  # it has died, and begins again
                    member.job.frames, member.job.expected = self._ray.get(member.asked)
                member.asked = None
            if member.asked is None:
                member.asked = member.actor.progress.options(concurrency_group=_TELLING, max_task_retries=0).remote()

    def _standing(self) -> Standing:
        done = sum(job.size for job in self._ended) + sum(job.size * job.share for job in self._busy)
        return Standing(
            sum(len(job.run.names) for job in self._ended),
            sum(len(job.run.names) for job in self._all),
            sum(job.frames for job in self._ended) + sum(job.frames for job in self._busy),
            done / sum(job.size for job in self._all),
            len(self._busy),
        )

    def _tell(self, notes: Sequence[Note]) -> None:
        """Log what a worker has told, unless another one has told the same."""
        for note in notes:
            if note not in self._notes:
                self._notes.add(note)
                log.log(*note)

    def _stop(self) -> None:
        """Abandon what is under way, and all that waits."""
        self._waiting.clear()
        for call, member in list(self._members.items()):
            if member.job is None:
                self._part_with(self._members.pop(call))
            else:
                member.actor.stop.options(concurrency_group=_TELLING, max_task_retries=0).remote()

    def _dismiss(self) -> None:
        """End all workers, and remove what those that were killed have left."""
        for member in self._members.values():
            self._ray.kill(member.actor)
        files = [file for job in (*self._lost, *self._busy) for file in job.run.files.values()]
        deadline_seconds = time.monotonic() + _KILL_SECONDS
        while set(parts_of(files)) - self._order.kept and time.monotonic() < deadline_seconds:
            sweep_parts(files, kept=self._order.kept)
            time.sleep(0.1)  # a process that was killed holds its locks for a moment


def _written(run: Run, result: Result) -> list[str]:
    """Return the inputs whose outputs a worker has written, also if it failed or was stopped later."""
    if result.ledger is None:
        return []
    names = [name for name in run.names if name not in result.ledger.failed_files]
    if result.error is None:
        return names
    return names[: result.ledger.delivered] if run.is_still else []


def _pictures_at_once(run: Run, workers: int) -> int:
    """Return how many pictures of a run one worker gets at once."""
    return min(_MOST_PICTURES, max(ceil(len(run.names) / (_SHARES * workers)), 1))


def _lost(exc: Exception, *, is_begun: bool) -> Result:
    """Return the result for a worker that Ray could not begin, or that died as often as it was begun again."""
    if is_begun:
        error = LivecamError(
            f"the process that did it has died {_RETRIES + 1} times; it may need more memory than there is"
        )
    elif "No module named 'livecam" in str(exc):
        error = LivecamError(f"a machine of the cluster has no livecam; install livecam {__version__} there")
    else:
        error = LivecamError(f"a worker cannot begin: {in_one_line(exc)}")
    error.__cause__ = exc
    return Result(error=error, is_unable=not is_begun, machine="some machine")

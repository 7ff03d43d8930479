"""Background compilation: a faster form of a program is built in another process and tested in another thread."""

from __future__ import annotations

import atexit
import logging
import math
import os
import re
import signal
import subprocess
import tempfile
import textwrap
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import IO

import torch
from torch import Tensor

from livecam.errors import LivecamError
from livecam.explain.answer import Agreement, Answer, agreement
from livecam.explain.device import DTYPES
from livecam.explain.engines import cuda
from livecam.explain.engines.cache import Entry
from livecam.explain.engines.graph import Graph
from livecam.explain.engines.openvino import HINTS, OpenVINOProgram
from livecam.system.cores import module_command, module_environment

log = logging.getLogger("livecam")

Compute = Callable[..., Sequence[Tensor]]
"""A function of pictures (B, h, w, channels) uint8 and further inputs that returns the tensors of an `Answer`."""

_POLL_SECONDS = 0.1
_ROUNDS = 5
_SAMPLE_PICTURES = 4
"""How many of the first pictures a candidate has to agree on."""


@dataclass(frozen=True)
class Sample:
    """Some pictures and further inputs, the eager engine's answer to them, and the time that it took per picture."""

    images: Tensor
    inputs: tuple[Tensor, ...]
    answer: Answer
    picture_seconds: float


@dataclass(frozen=True)
class Candidate:
    """A form of the program that agrees with the eager engine on the samples and can replace it."""

    program: Compute
    engine: str
    precision: str
    agreement: Agreement
    picture_seconds: float


class _Ended(Exception):  # noqa: N818 - not an error
    """Raised when the run is over, so that no candidate is needed any more."""


class _DamagedError(RuntimeError):
    """A file in the cache cannot be loaded."""


class Compilation:
    """Compiles a traced graph into a `candidate` for a run, and replaces it whenever a faster one is found.

    A candidate has agreed with the eager engine on pictures of the run. The next run compares anew, with the programs
    that were made already.

    It ends by itself soon after its owner was collected. No finalizer does that: the garbage collector may call one in
    any thread, such as in one that holds a lock that this thread waits for.

    Args:
        owner: The object that needs the candidate.
        traced: The graph.
        images: Pictures of the shape to compile for, (B, h, w, channels) uint8.
        device: The device to compile for.
        may_be_slow: Accept a candidate that is slower than the eager engine.

    Attributes:
        candidate: The form of the program to use from now on in this run, None as long as there is none.
        problem: Why there is no candidate.
        settled: Set when candidate and problem will not change any more in this run.
    """

    def __init__(
        self, owner: object, traced: Graph, images: Tensor, device: torch.device, *, may_be_slow: bool
    ) -> None:
        self._owner = weakref.ref(owner)
        self._traced, self._images, self._device = traced, images, device
        self._may_be_slow = may_be_slow
        self._made: dict[tuple[str, str], Compute] = {}  # by engine and precision
        self._seconds: dict[tuple[str, str], float] = {}  # that they take per picture
        self._told: set[tuple[str, str]] = set()
        self._entry: Entry | None = None
        self._builder: subprocess.Popen[bytes] | None = None
        self._builder_needs = ExitStack()
        self._built: set[str] = set()  # the precisions that a builder was asked for, also in vain
        self._build_problem = ""
        self._messages: IO[bytes]  # of the builder, in a file without a name
        self._thread: threading.Thread | None = None
        self._precisions: tuple[str, ...] = ()
        self.may_build = self._is_live = False
        self._forget()

    @property
    def batch(self) -> int:
        """How many pictures the programs take at once."""
        return len(self._images)

    def start(self, precisions: tuple[str, ...], *, may_build: bool, is_live: bool) -> None:
        """Start the thread that compiles and compares, unless it is at that already.

        Args:
            precisions: The precisions to try; the fastest whose maps agree with the samples becomes the candidate.
            may_build: Build programs that are not in the cache. False: try only those in the cache and CUDA graphs.
            is_live: The run has no end, so that a build may take its time, and what is not taken is not kept.
        """
        settings = precisions, may_build, is_live
        if self._thread is not None and settings == (self._precisions, self.may_build, self._is_live):
            return
        self._halt()
        self._precisions, self.may_build, self._is_live = settings
        self._start()

    def _start(self) -> None:
        atexit.register(self.end)  # at the exit of the process a daemon thread would leave its files behind
        self._thread = threading.Thread(target=self._run, name="livecam-compilation", daemon=True)
        self._thread.start()

    def wait_for_builder(self) -> None:
        """Wait until the builder process has ended."""
        self._launched.wait()
        builder = self._builder  # once: the thread takes it away if the search fails
        if builder is not None:
            builder.wait()

    def settle(self) -> None:
        """Wait until the candidate will not change before more samples come."""
        self.wait_for_builder()
        if self._sampled.is_set():
            self.settled.wait()

    def wait(self) -> None:
        """Wait until there is a candidate, or it is clear that there will be none."""
        while not (self.candidate or self.settled.is_set()):
            self.settled.wait(_POLL_SECONDS)

    def take(self, sample: Sample) -> None:
        """Store the eager engine's answers to the first few pictures of this run as samples."""
        if not self._sampled.is_set():
            self._samples.append(replace(sample, images=sample.images.clone()))  # the caller reuses the memory
        if self._may_be_slow or sum(len(each.images) for each in self._samples) >= _SAMPLE_PICTURES:
            self._sampled.set()

    def pause(self) -> None:
        """Forget the candidate and the samples. What was made is kept, and what is being built is built on."""
        self._halt()
        if self._is_building:
            self._start()  # to follow the builder, and to end it if the owner is collected
        else:
            self._end_builder()

    def end(self) -> None:
        """Stop the builder and the thread, and delete their temporary files."""
        self._stop_thread()
        self._end_builder()

    def _halt(self) -> None:
        self._spares_builder = True
        self._stop_thread()
        self._forget()

    def _forget(self) -> None:
        self.candidate: Candidate | None = None
        self.problem: str | None = None
        self.settled = threading.Event()
        self._samples: list[Sample] = []
        self._sampled, self._ending, self._launched = threading.Event(), threading.Event(), threading.Event()
        self._spares_builder = self._is_built_elsewhere = False

    def _stop_thread(self) -> None:
        self._ending.set()
        self._sampled.set()
        if self._thread is not None and self._thread.is_alive():
            self._thread.join()
        self._thread = None

    @property
    def _is_building(self) -> bool:
        return self._builder is not None and self._builder.poll() is None

    def _end_builder(self) -> None:
        if self._builder is not None and self._is_building:
            _kill(self._builder)
            self._builder = None
        self._keep_build_problem()
        self._builder_needs.close()
        atexit.unregister(self.end)

    def _run(self) -> None:
        try:
            with _current(self._device):
                self._search()
        except _Ended:
            pass
        except LivecamError as exc:
            self.problem = str(exc)
        except OSError as exc:  # the cache cannot be written to
            self.problem = f"the cache cannot be used ({exc.strerror}: {exc.filename}); LIVECAM_CACHE names another"
        except Exception as exc:  # a runtime may raise anything; the run goes on without it
            log.debug("the compiled program cannot be used", exc_info=True)
            self.problem = f"the compiled program cannot be used ({first_line(exc)})"
        finally:
            if not self._spares_builder:
                self._end_builder()
            self._launched.set()
            self.settled.set()

    def _search(self) -> None:
        if self._device.type == "cuda":
            cuda.check_capturable(self._traced.module)
        self._launch(self._found_entry)
        while not self._sampled.wait(_POLL_SECONDS):
            self._check_going_on()
        self._check_going_on()
        if self._device.type == "cuda":
            self._compete("captured", self._precisions, self._captured)
        self._follow_builder(self._found_entry)
        if self._is_live:
            self._made.clear()

    @property
    def _found_entry(self) -> Entry:
        if self._entry is None:
            self._entry = Entry.of(self._traced.digest(), self._images.shape, self._device)
        return self._entry

    def _launch(self, entry: Entry) -> None:
        """Start the builder process if a program is not in the cache, and no other process is building it.

        The weights are passed in a file without a name, which a run that is killed does not leave behind. That takes
        half a second.
        """
        if self.may_build and not self._is_building and self._missing(entry):
            entry.make()
            entry.check_is_ours()
            lock = entry.locked_for_building()
            self._is_built_elsewhere = lock is None
            if lock is not None:
                self._builder_needs.enter_context(lock)
                if missing := self._missing(entry):  # else another process has built it before the lock was free
                    self._build(missing, entry)
        self._launched.set()

    def _missing(self, entry: Entry) -> list[str]:
        """Return the precisions whose programs are not in the cache, unless they were to be built already."""
        known = self._built | {precision for engine, precision in self._made if engine == "compiled"}
        return [name for name in self._precisions if name not in known and not entry.file(name, self._device).exists()]

    def _build(self, missing: Sequence[str], entry: Entry) -> None:
        if self._device.type == "cpu":
            missing = ["fp32"]  # one model serves every precision
        self._built |= set(HINTS if self._device.type == "cpu" else missing)
        graphs = {name: self._traced.in_precision(DTYPES[name]) for name in missing}
        with tempfile.TemporaryFile() as job:
            inputs = self._images.to(self._device), *self._traced.inputs
            torch.save((graphs, inputs, self._is_live and not self._may_be_slow), job)
            job.seek(0)
            if Entry.of(self._traced.digest(), self._images.shape, self._device).path != entry.path:
                raise LivecamError("the weights were changed while they were handed over")
            folder = self._builder_needs.enter_context(_temporary_folder())
            self._messages = self._builder_needs.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - closed with them
            self._builder = subprocess.Popen(
                module_command("livecam.explain.engines.build", folder, entry.path),
                stdin=job,
                stdout=self._messages,
                stderr=self._messages,
                env=module_environment(TMPDIR=folder),
                start_new_session=True,  # Ctrl-C is handled by the run, which then ends this process
            )

    def _follow_builder(self, entry: Entry) -> None:
        """Try each precision as soon as it is built, or at once if it was made before or is in the cache."""
        untried, is_over = list(self._precisions), False
        while untried and not is_over:
            if self._is_built_elsewhere:
                self._launch(entry)  # if that process has ended without success
            is_over = not self._is_built_elsewhere and not self._is_building
            ready = [
                name for name in untried if ("compiled", name) in self._made or entry.file(name, self._device).exists()
            ]
            if ready:
                if self._compete("compiled", ready, partial(self._loaded, entry)) == ready:  # all files are damaged
                    entry.file(ready[0], self._device).unlink(missing_ok=True)
                untried = [name for name in untried if name not in ready]
            elif not is_over:
                self._ending.wait(_POLL_SECONDS)
                self._check_going_on()
        if self._builder is not None:
            self._builder.wait()
        is_known, self.problem = bool(self._build_problem), self._keep_build_problem() or self.problem
        if self._build_problem and self.candidate is not None and not is_known:
            log.warning("%s: continuing with it %s", self._build_problem, self.candidate.engine)

    def _keep_build_problem(self) -> str:
        """Return why the model cannot be built, which a builder that has failed has written; empty if none has."""
        if self._builder is not None and self._builder.poll() and not self._build_problem:
            self._build_problem = f"the model cannot be compiled ({_last_words(self._messages)})"
        return self._build_problem

    def _captured(self, precision: str) -> Compute:
        graph = self._traced.in_precision(DTYPES[precision])
        return self._capture(graph)

    def _capture(self, program: Compute) -> Compute:
        images = self._images.to(self._device)
        return cuda.CapturedProgram(program, images, self._device, self._traced.inputs)

    def _loaded(self, entry: Entry, precision: str) -> Compute:
        entry.check_is_ours()
        entry.touch()
        file = entry.file(precision, self._device)
        try:
            if self._device.type == "cpu":
                return OpenVINOProgram(file, precision)
            package = cuda.load_package(file, self._device)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as exc:
            raise _DamagedError(first_line(exc)) from exc
        return self._capture(package)

    def _compete(self, engine: str, precisions: Sequence[str], make: Callable[[str], Compute]) -> list[str]:
        """Make the fastest form that agrees with the samples the candidate, if it is faster than the one in use.

        Returns the precisions whose files are damaged.
        """
        programs: dict[str, tuple[Compute, Agreement]] = {}
        damaged: list[str] = []
        for precision in precisions:
            self._check_going_on()
            try:
                program = self._program(engine, precision, make)
                answers = [Answer(*program(sample.images, *sample.inputs)) for sample in self._samples]
            except (RuntimeError, LivecamError) as exc:
                damaged += [precision] if isinstance(exc, _DamagedError) else []
                self._note(f"{engine} code in {precision} cannot be used ({first_line(exc)})")
                continue
            agreed = agreement(answers, [sample.answer for sample in self._samples])
            if agreed.suffices:
                programs[precision] = program, agreed
            else:
                self._note(f"in {precision} {agreed.difference}")
        if programs:
            seconds = self._measured(engine, {precision: program for precision, (program, _) in programs.items()})
            best = min(seconds, key=seconds.__getitem__)
            if seconds[best] < self._seconds_to_beat():
                self.candidate = Candidate(programs[best][0], engine, best, programs[best][1], seconds[best])
                level = logging.DEBUG if (engine, best) in self._told else logging.INFO  # once for all runs
                log.log(level, "%s in %s: %.1f ms a picture", engine, best, 1000 * seconds[best])
                self._told.add((engine, best))
            else:
                self._note(f"{engine} code is no faster here")
        return damaged

    def _program(self, engine: str, precision: str, make: Callable[[str], Compute]) -> Compute:
        """Return a form of the program, which is made once for all runs."""
        if (engine, precision) not in self._made:
            self._made[engine, precision] = in_batches(make(precision), self.batch)
        return self._made[engine, precision]

    def _note(self, problem: str) -> None:
        """Store the reason why there is no candidate, unless one is stored already."""
        self.problem = self.problem or problem

    def _seconds_to_beat(self) -> float:
        if self.candidate is not None:
            return self.candidate.picture_seconds
        return math.inf if self._may_be_slow else min(sample.picture_seconds for sample in self._samples)

    def _measured(self, engine: str, programs: Mapping[str, Compute]) -> dict[str, float]:
        """Return the seconds per picture of each form; those of a run before serve again if one of them is enough."""
        known = {name: self._seconds[engine, name] for name in programs if (engine, name) in self._seconds}
        if len(known) < len(programs) or min(known.values()) >= self._seconds_to_beat():
            known = self._picture_seconds(programs)
            self._seconds |= {(engine, name): seconds for name, seconds in known.items()}
        return known

    def _picture_seconds(self, programs: Mapping[str, Compute]) -> dict[str, float]:
        """Return the seconds per picture of each form: the best of a few interleaved calls, at a duty cycle of 50 %."""
        sample = self._samples[-1]  # with the batch size that the run really uses
        times: dict[str, list[float]] = {precision: [] for precision in programs}
        for _ in range(_ROUNDS):
            for precision, program in programs.items():
                begin = time.perf_counter()
                program(sample.images, *sample.inputs)
                times[precision].append(time.perf_counter() - begin)
                self._ending.wait(times[precision][-1])
                self._check_going_on()
        return {precision: min(each) / len(sample.images) for precision, each in times.items()}

    def _check_going_on(self) -> None:
        if self._ending.is_set() or self._owner() is None:
            raise _Ended


def in_batches(program: Compute, batch: int) -> Compute:
    """Let a program for exactly `batch` pictures take any number, by padding the last batch."""

    def compute(images: Tensor, *inputs: Tensor) -> Sequence[Tensor]:
        if len(images) == batch:
            return program(images.contiguous(), *inputs)
        missing = -len(images) % batch
        filled = torch.cat([images, images[-1:].expand(missing, -1, -1, -1)]) if missing else images
        parts = [filled[begin : begin + batch] for begin in range(0, len(filled), batch)]
        answers = [program(part.contiguous(), *inputs) for part in parts]
        return tuple(torch.cat(outputs)[: len(images)] for outputs in zip(*answers, strict=True))

    return compute


def _current(device: torch.device) -> AbstractContextManager[object]:
    """Make a GPU the current device inside the block, since each thread starts with the default device."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="livecam-", ignore_cleanup_errors=True)


def _kill(builder: subprocess.Popen[bytes]) -> None:
    """Kill a process and, where the system supports it, its child processes."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError):
            os.killpg(builder.pid, signal.SIGKILL)
    else:
        builder.kill()
    builder.wait()


def _last_words(messages: IO[bytes]) -> str:
    """Return the last error among the messages of a process, else the last line."""
    messages.seek(0)
    lines = messages.read().decode(errors="replace").strip().splitlines()
    errors = [line for line in lines if re.match(r"[\w.]+(Error|Exception)\b|-- No conversion", line)]
    return textwrap.shorten((errors or lines or ["it was killed"])[-1], 120, placeholder="...")


def first_line(exc: BaseException) -> str:
    """Return the message of an error in one short line, without OpenVINO's source locations."""
    preamble = r"Exception from |Check '|FrontEnd API failed|Model wasn't fully|Summary:"
    lines = [line for line in str(exc).strip().splitlines() if not re.match(preamble, line)]
    return textwrap.shorten((lines or [type(exc).__name__])[0].removeprefix("-- "), 120, placeholder="...")

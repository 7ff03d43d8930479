"""Finding a faster program while the run goes on: built in another process, loaded and tried in another thread."""

from __future__ import annotations

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
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from livecam.errors import LivecamError, ModelError
from livecam.explain.engines import cuda
from livecam.explain.engines.agreement import Agreement, agreement
from livecam.explain.engines.build import Job
from livecam.explain.engines.cache import Entry
from livecam.explain.engines.graph import Graph
from livecam.explain.engines.openvino_runtime import OpenVINOProgram
from livecam.explain.precision import DTYPES
from livecam.explain.program import Answer
from livecam.processes import module_command, module_environment

log = logging.getLogger("livecam")

Compute = Callable[[Tensor], Sequence[Tensor]]
"""Pictures (B, h, w, channels) uint8 -> what the program gives for them."""

_JOB, _LOG = "job.pt", "log.txt"
_POLL_SECONDS = 0.1
_ROUNDS = 5
_SAMPLE_PICTURES = 4
"""How many of the first pictures a program has to agree on."""


@dataclass(frozen=True)
class Sample:
    """What the eager engine says of some pictures, and how long it took for each of them."""

    images: Tensor
    answer: Answer
    picture_seconds: float


@dataclass(frozen=True)
class Offer:
    """A program that agrees with the eager engine on the samples."""

    program: Compute
    engine: str
    precision: str
    agreement: Agreement
    picture_seconds: float


class Compilation:
    """The way from a traced graph to an `offer`, which a faster one may replace later.

    Of the `precisions` in which the maps agree with the samples the fastest is offered; unless it `may_be_slow`, only
    if it is faster than they were. `problem` says why there is no offer. `settled` is set when nothing will change any
    more.
    """

    def __init__(
        self, traced: Graph, images: Tensor, precisions: tuple[str, ...], device: torch.device, *, may_be_slow: bool
    ) -> None:
        self.offer: Offer | None = None
        self.problem: str | None = None
        self.settled = threading.Event()
        self._traced, self._images, self._precisions, self._device = traced, images, precisions, device
        self._may_be_slow = may_be_slow
        self._samples: list[Sample] = []
        self._sampled, self._ending, self._launched = threading.Event(), threading.Event(), threading.Event()
        self._builder: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._thread = threading.Thread(target=self._run, name="livecam-compilation", daemon=True)

    def start(self, *, may_build: bool, patient: bool) -> None:
        """Begin; unless it `may_build`, with what is on disk alone. `patient` leaves the processor to others."""
        self._may_build, self._is_patient = may_build, patient
        self._thread.start()

    def wait_for_builder(self) -> None:
        """Until what the run waits for is built, or never will be."""
        self._launched.wait()
        if self._builder is not None:
            self._builder.wait()

    def wait(self) -> None:
        """Until there is an offer, or it is settled that there will be none."""
        while not (self.offer or self.settled.is_set()):
            self.settled.wait(_POLL_SECONDS)

    def take(self, sample: Sample) -> None:
        """Keep what the eager engine said of pictures of this run, of the first few."""
        if not self._sampled.is_set():
            self._samples.append(replace(sample, images=sample.images.clone()))  # the caller uses the memory again
        if self._may_be_slow or sum(len(each.images) for each in self._samples) >= _SAMPLE_PICTURES:
            self._sampled.set()

    def end(self) -> None:
        """Give up what is not done."""
        self._ending.set()
        self._sampled.set()
        if self._thread.ident is not None:
            self._launched.wait()
        if self._builder is not None and self._builder.poll() is None:
            _kill(self._builder)
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()
        if self._folder is not None:
            self._folder.cleanup()

    def _run(self) -> None:
        try:
            with _current(self._device):
                entry = self._launch()
                self._sampled.wait()
                if self._device.type == "cuda" and self._samples:
                    self._compete("captured", {name: partial(self._captured, name) for name in self._precisions})
                if self._samples:
                    self._follow_builder(entry)
        except (LivecamError, OSError) as exc:  # no place to keep what is built, or one that others can write to
            self.problem = str(exc)
        except Exception as exc:  # whatever a runtime raises; the run goes on as it is
            log.debug("the compiled program cannot be used", exc_info=True)
            self.problem = f"the compiled program cannot be used ({first_line(exc)})"
        finally:
            self._launched.set()
            self.settled.set()

    def _launch(self) -> Entry:
        """Start building where something is missing. To hand the weights over takes half a second."""
        entry = Entry.of(self._traced, self._images.shape, self._device)
        missing = tuple(name for name in self._precisions if not self._file(entry, name).exists())
        if self._device.type == "cpu":
            missing = ("fp32",) if missing else ()  # one model serves every precision
        if missing and self._may_build:
            entry.make()
            self._folder = tempfile.TemporaryDirectory(prefix="livecam-", ignore_cleanup_errors=True)
            folder = Path(self._folder.name)
            graphs = {name: self._traced.in_precision(DTYPES[name]) for name in missing}
            torch.save(Job(graphs, self._images.to(self._device), self._is_patient), folder / _JOB)
            with (folder / _LOG).open("wb") as messages:
                self._builder = subprocess.Popen(
                    module_command("livecam.explain.engines.build", folder / _JOB, entry.path),
                    stdin=subprocess.DEVNULL,
                    stdout=messages,
                    stderr=messages,
                    env=module_environment(TMPDIR=str(folder)),
                    start_new_session=True,  # Ctrl-C is for the run, which then ends this one
                )
        self._launched.set()
        return entry

    def _file(self, entry: Entry, precision: str) -> Path:
        return entry.model() if self._device.type == "cpu" else entry.package(precision)

    def _follow_builder(self, entry: Entry) -> None:
        """Try each precision as it is built, or all that were built earlier."""
        tried: set[str] = set()
        is_over = False
        while not (is_over or self._ending.is_set()):
            is_over = self._builder is None or self._builder.poll() is not None
            new = [name for name in self._precisions if name not in tried and self._file(entry, name).exists()]
            if new:
                entry.check_is_ours()
                entry.touch()
                self._compete("compiled", {name: partial(self._loaded, entry, name) for name in new})
            elif not is_over:
                self._ending.wait(_POLL_SECONDS)
            tried.update(new)
        if self._builder is not None and self._builder.returncode and not self._ending.is_set():
            self.problem = f"the model cannot be compiled ({self._last_words()})"
            if self.offer is not None:
                log.warning("%s: going on with it %s", self.problem, self.offer.engine)

    def _captured(self, precision: str) -> Compute:
        graph = self._traced.in_precision(DTYPES[precision])
        cuda.check_capturable(graph)
        return cuda.CapturedProgram(graph, self._images.to(self._device), self._device)

    def _loaded(self, entry: Entry, precision: str) -> Compute:
        try:
            if self._device.type == "cpu":
                return OpenVINOProgram(entry.model(), precision)
            package = cuda.load_package(entry.package(precision), self._device)
            return cuda.CapturedProgram(package, self._images.to(self._device), self._device)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:  # it is damaged
            entry.remove()
            raise

    def _compete(self, engine: str, makers: Mapping[str, Callable[[], Compute]]) -> None:
        """Offer the fastest of the programs, made by precision, that are right and faster than what explains now."""
        programs: dict[str, tuple[Compute, Agreement]] = {}
        for precision, make in makers.items():
            try:
                program = InBatches(make(), len(self._images))
            except (RuntimeError, ModelError) as exc:
                self.problem = self.problem or f"{engine} code in {precision} cannot be used ({first_line(exc)})"
                continue
            answers = [Answer(*program(sample.images)) for sample in self._samples]
            agreed = agreement(answers, [sample.answer for sample in self._samples])
            if agreed.suffices:
                programs[precision] = program, agreed
            else:
                self.problem = self.problem or f"in {precision} the maps differ (cosine {agreed.cosine:.4f})"
        if not programs:
            return
        seconds = self._picture_seconds({precision: program for precision, (program, _) in programs.items()})
        best = min(seconds, key=seconds.__getitem__)
        if seconds[best] >= self._seconds_to_beat():
            self.problem = self.problem or f"{engine} code is no faster here"
        else:
            self.offer = Offer(programs[best][0], engine, best, programs[best][1], seconds[best])

    def _seconds_to_beat(self) -> float:
        if self.offer is not None:
            return self.offer.picture_seconds
        return math.inf if self._may_be_slow else min(sample.picture_seconds for sample in self._samples)

    def _picture_seconds(self, programs: Mapping[str, Compute]) -> dict[str, float]:
        """The best of a few interleaved calls of each, a picture. The run goes on, and is left half of the time."""
        times: dict[str, list[float]] = {precision: [] for precision in programs}
        for _ in range(_ROUNDS):
            for precision, program in programs.items():
                begin = time.perf_counter()
                program(self._images)
                times[precision].append(time.perf_counter() - begin)
                self._ending.wait(times[precision][-1])
        return {precision: min(each) / len(self._images) for precision, each in times.items()}

    def _last_words(self) -> str:
        assert self._folder is not None  # there is one where there is a builder
        lines = (Path(self._folder.name) / _LOG).read_text(errors="replace").strip().splitlines()
        errors = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Failure)\b|-- No conversion", line)]
        return textwrap.shorten((errors or lines or ["it was killed"])[-1], 120, placeholder="...")


class InBatches:
    """A program for exactly `batch` pictures, for any number of them.

    What is missing to a batch is made up, and left out of what comes back.
    """

    def __init__(self, program: Compute, batch: int) -> None:
        self._program = program
        self._batch = batch

    def __call__(self, images: Tensor) -> tuple[Tensor, ...]:
        """Pictures (n, h, w, channels) uint8 -> what the program gives for them, on the CPU."""
        parts = images.split(self._batch)  # type: ignore[no-untyped-call]
        answers = [self._program(self._filled_up(part).contiguous()) for part in parts]
        outputs = answers[0] if len(answers) == 1 else [torch.cat(each) for each in zip(*answers, strict=True)]
        return tuple(output[: len(images)] for output in outputs)

    def _filled_up(self, images: Tensor) -> Tensor:
        missing = self._batch - len(images)
        return torch.cat([images, images[-1:].expand(missing, -1, -1, -1)]) if missing else images


def _current(device: torch.device) -> AbstractContextManager[object]:
    """Inside the block a GPU is the current one, which a thread begins without."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def _kill(builder: subprocess.Popen[bytes]) -> None:
    """End it with what it has started, where that can be told."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError):
            os.killpg(builder.pid, signal.SIGKILL)
    else:
        builder.kill()
    builder.wait()


def first_line(exc: BaseException) -> str:
    """What an error says, short enough for a line."""
    return textwrap.shorten((str(exc).strip().splitlines() or [type(exc).__name__])[0], 120, placeholder="...")

"""Getting a compiled program while the run goes on: compiled in another process, loaded and tried in another thread."""

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
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from livecam.errors import LivecamError
from livecam.explain.engines.agreement import Agreement, agreement
from livecam.explain.engines.cache import Entry
from livecam.explain.engines.compile import Job
from livecam.explain.engines.compiled import CompiledProgram, InBatches
from livecam.explain.engines.cuda import CapturedProgram
from livecam.explain.engines.graph import Graph
from livecam.explain.engines.runner import find_compiler
from livecam.explain.precision import DTYPES
from livecam.explain.program import Answer
from livecam.processes import module_command, module_environment

log = logging.getLogger("livecam")

_LOG = "log.txt"
_POLL_SECONDS = 0.2
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
    """A program that agrees with the eager engine on the samples; `compile_seconds` is 0 for one only captured."""

    program: Callable[[Tensor], tuple[Tensor, ...]]
    engine: str
    precision: str
    agreement: Agreement
    picture_seconds: float
    compile_seconds: float


class Compilation:
    """The way from a traced graph to an `offer`, which may be replaced by a better one later.

    Of the `precisions` the fastest is offered in which the maps agree with the samples; unless it `may_be_slow`, only
    if it is faster than they were. `problem` says why there is no offer. `settled` is set when nothing will change any
    more.
    """

    def __init__(
        self, traced: Graph, images: Tensor, precisions: tuple[str, ...], device: torch.device, *, may_be_slow: bool
    ) -> None:
        self.offer: Offer | None = None
        self.problem: str | None = None
        self.settled = threading.Event()
        self.is_started = False
        self._precisions = precisions
        self._images = images
        self._device = device
        self._may_be_slow = may_be_slow
        self._samples: list[Sample] = []
        self._sampled, self._ending, self._launched = threading.Event(), threading.Event(), threading.Event()
        self._is_patient = False
        self._compiler: subprocess.Popen[bytes] | None = None
        self._traced = traced
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._thread = threading.Thread(target=self._run, name="livecam-compilation", daemon=True)

    @cached_property
    def _entry(self) -> Entry:
        """Where it is kept: to find that out takes a look at every weight."""
        return Entry.of(self._traced, self._images.shape, self._device)

    @property
    def is_known(self) -> bool:
        """Whether something was compiled in an earlier run."""
        return any(precision in self._entry.results for precision in self._precisions)

    def start(self, *, patient: bool) -> None:
        """Begin; `patient` leaves the processor to whoever else wants it."""
        self.is_started, self._is_patient = True, patient
        self._thread.start()

    def wait_for_compiler(self) -> None:
        """Until something is compiled, or never will be."""
        self._launched.wait()
        while not self.is_known and self._compiler is not None and self._compiler.poll() is None:
            time.sleep(_POLL_SECONDS)

    def wait(self) -> None:
        """Until there is an offer, or it is settled that there will be none."""
        while not (self.offer or self.settled.is_set()):
            self.settled.wait(_POLL_SECONDS)

    def take(self, sample: Sample) -> None:
        """What the eager engine said of pictures of this run; the first few are kept."""
        if not self._sampled.is_set():
            self._samples.append(replace(sample, images=sample.images.clone()))  # the caller uses the memory again
        if self._may_be_slow or sum(len(each.images) for each in self._samples) >= _SAMPLE_PICTURES:
            self._sampled.set()

    def end(self) -> None:
        """Give up what is not done."""
        self._ending.set()
        self._sampled.set()
        if self.is_started:
            self._launched.wait()
        if self._compiler is not None and self._compiler.poll() is None:
            _kill(self._compiler)
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()
        if self._folder is not None:
            self._folder.cleanup()

    def _launch(self) -> None:
        """Start the compiler where there is something left for it. To hand the weights over takes half a second."""
        try:
            if not self._entry.tried.issuperset(self._precisions):
                self._start_compiler(self._is_patient or self.is_known)
        except (LivecamError, OSError) as exc:  # no compiler, or no place to keep what it makes
            self.problem = str(exc)
        finally:
            self._launched.set()

    def _start_compiler(self, patient: bool) -> None:
        """Raises CompilerError where there is none."""
        find_compiler()
        self._entry.path.mkdir(parents=True, exist_ok=True)
        self._folder = tempfile.TemporaryDirectory(prefix="livecam-", ignore_cleanup_errors=True)
        folder = Path(self._folder.name)
        Job(self._precisions, str(self._device), torch.get_num_threads()).write(folder, self._traced, self._images)
        command = module_command("livecam.explain.engines.compile", folder, self._entry.path)
        with (folder / _LOG).open("wb") as messages:
            self._compiler = subprocess.Popen(
                [*command, *(["--patient"] if patient else [])],
                stdin=subprocess.DEVNULL,
                stdout=messages,
                stderr=messages,
                env=module_environment(TMPDIR=str(folder)),
                start_new_session=True,  # Ctrl-C is for the run, which then ends this one
            )

    def _run(self) -> None:
        try:
            self._launch()
            self._sampled.wait()
            if self._device.type == "cuda" and self._samples:
                self._capture()
            self._follow_compiler()
        except Exception as exc:  # a package that C++ cannot load, say; the run goes on as it is
            log.debug("the compiled program cannot be used", exc_info=True)
            self.problem = f"the compiled program cannot be used, and is forgotten ({first_line(exc)})"
            self._entry.remove()
        finally:
            self.settled.set()

    def _capture(self) -> None:
        """On a GPU the graph can be captured as it is, in a second; compiled it is faster still."""
        images = self._images.to(self._device)
        for precision in self._precisions:
            try:
                captured = CapturedProgram(self._traced.in_precision(DTYPES[precision]), images, self._device)
            except RuntimeError:  # what waits for the GPU, such as a decomposition, cannot be captured
                continue
            self._weigh(InBatches(captured, len(images)), "captured", precision, compile_seconds=0.0)

    def _follow_compiler(self) -> None:
        """Try each precision as it comes out of the compiler, or all that did so earlier."""
        tried: set[str] = set()
        while not self._ending.is_set() and self._samples:
            is_over = self._compiler is None or self._compiler.poll() is not None
            results = {name: each for name, each in self._entry.results.items() if name in self._precisions}
            for precision in sorted(results, key=lambda name: results[name]["picture_ms"]):
                if precision not in tried:
                    tried.add(precision)
                    program = CompiledProgram(self._entry.package(precision), self._images, self._device)
                    self._weigh(program, "compiled", precision, results[precision]["compile_seconds"])
                if self.offer and (self.offer.engine, self.offer.precision) == ("compiled", precision):
                    break  # the others are slower
            if is_over:
                break
            self._ending.wait(_POLL_SECONDS)
        if tried:
            self._entry.touch()
        elif self._compiler is not None and self._compiler.returncode:
            self.problem = f"the compiler failed ({self._last_words()})"

    def _weigh(
        self, program: Callable[[Tensor], tuple[Tensor, ...]], engine: str, precision: str, compile_seconds: float
    ) -> None:
        """Offer a program if it is right, and faster than the eager engine was."""
        answers = [Answer(*program(sample.images)) for sample in self._samples]
        agreed = agreement(answers, [sample.answer for sample in self._samples])
        if not agreed.suffices:
            self.problem = self.problem or f"in {precision} the maps differ (cosine {agreed.cosine:.4f})"
            return
        candidate = Offer(program, engine, precision, agreed, self._picture_seconds(program), compile_seconds)
        eager_seconds = math.inf if self._may_be_slow else min(sample.picture_seconds for sample in self._samples)
        if candidate.picture_seconds >= eager_seconds:
            self.problem = self.problem or "compiled code is no faster here"
        else:
            self.offer = candidate

    def _picture_seconds(self, program: Callable[[Tensor], object]) -> float:
        """The best of a few, as for the eager engine: the run goes on meanwhile, and is left at least half the time."""
        times = []
        for _ in range(_ROUNDS):
            begin = time.perf_counter()
            program(self._images)
            times.append(time.perf_counter() - begin)
            self._ending.wait(times[-1])
        return min(times) / len(self._images)

    def _last_words(self) -> str:
        assert self._folder is not None  # there is one where there is a compiler
        lines = (Path(self._folder.name) / _LOG).read_text(errors="replace").strip().splitlines()
        errors = [line for line in lines if re.match(r"[\w.]+(Error|Exception)\b", line)]
        return textwrap.shorten((errors or lines or ["it was killed"])[-1], 120, placeholder="...")


def _kill(compiler: subprocess.Popen[bytes]) -> None:
    """With what it has started, where that can be told."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError):
            os.killpg(compiler.pid, signal.SIGKILL)
    else:
        compiler.kill()
    compiler.wait()


def first_line(exc: BaseException) -> str:
    """What an error says, short enough for a line."""
    return textwrap.shorten((str(exc).strip().splitlines() or [type(exc).__name__])[0], 120, placeholder="...")

"""Getting a compiled program while the run goes on: compiled in another process, loaded and tried in another thread."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from livecam.explain.engines.agreement import Agreement, agreement
from livecam.explain.engines.cache import Entry
from livecam.explain.engines.compile import GRAPH, Job
from livecam.explain.engines.compiled import CompiledProgram
from livecam.explain.engines.graph import Graph
from livecam.explain.program import Answer

log = logging.getLogger("livecam")

_POLL_SECONDS = 0.2
_ROUNDS = 5
_SAMPLES = 4


@dataclass(frozen=True)
class Sample:
    """What the eager engine says of some pictures, and how long it took for each of them."""

    images: Tensor
    answer: Answer
    picture_seconds: float


@dataclass(frozen=True)
class Offer:
    """A compiled program that agrees with the eager one on the sample."""

    program: CompiledProgram
    precision: str
    agreement: Agreement
    picture_seconds: float
    compile_seconds: float


class Compilation:
    """The way from a traced graph to an `offer`, which may be replaced by a better one later.

    Of several `precisions` those that agree with the sample are offered, and only what is faster. A single one is the
    user's own choice: it is offered as it is. `problem` says why there is no offer, once there will be none. `settled`
    is set when nothing will change any more.
    """

    def __init__(self, graph: Graph, images: Tensor, precisions: tuple[str, ...], device: torch.device) -> None:
        self.offer: Offer | None = None
        self.problem: str | None = None
        self.settled = threading.Event()
        self._precisions = precisions
        self._images = images
        self._device = device
        self._samples: list[Sample] = []
        self._sampled, self._ending = threading.Event(), threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._folder = Path(tempfile.mkdtemp(prefix="livecam-"))
        Job(precisions, str(device), torch.get_num_threads()).write(self._folder, graph, images)
        self._entry = Entry.of(self._folder / GRAPH, images.shape, device)
        self._thread = threading.Thread(target=self._run, name="livecam-compilation", daemon=True)
        self.is_started = False

    @property
    def is_known(self) -> bool:
        """Whether all was compiled in an earlier run."""
        return all(precision in self._entry.results for precision in self._precisions)

    def start(self, *, patient: bool) -> None:
        """Begin; `patient` leaves the processor to whoever else wants it."""
        self.is_started = True
        if not self.is_known:
            self._entry.path.mkdir(parents=True, exist_ok=True)
            command = [sys.executable, "-m", "livecam.explain.engines.compile", self._folder, self._entry.path]
            # In a session of its own, so that Ctrl-C ends the run but does not fill the terminal with its traceback.
            self._child = subprocess.Popen(
                [*map(str, command), *(["--patient"] if patient else [])],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=(self._folder / "log.txt").open("wb"),
                start_new_session=True,
            )
        self._thread.start()

    def wait(self) -> None:
        """Until there is an offer, or it is settled that there will be none."""
        while not (self.offer or self.settled.is_set()):
            self.settled.wait(_POLL_SECONDS)

    def take(self, sample: Sample) -> None:
        """What the eager engine said of pictures of this run; the first few are kept."""
        if len(self._samples) < _SAMPLES:
            self._samples.append(sample)
            self._sampled.set()

    def end(self) -> None:
        """Give up what is not done."""
        self._ending.set()
        self._sampled.set()
        if self._child is not None and self._child.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()
        if self._thread.is_alive():
            self._thread.join()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self) -> None:
        try:
            self._sampled.wait()
            self._follow()
        except Exception as exc:  # a package that C++ cannot load, say; the run goes on as it is
            log.debug("the compiled program cannot be used", exc_info=True)
            self.problem = self.problem or f"the compiled program cannot be used ({first_line(exc)})"
        finally:
            self.settled.set()

    def _follow(self) -> None:
        """Try each precision as it comes out of the compiler."""
        tried: set[str] = set()
        while not self._ending.is_set():
            over = self._child is None or self._child.poll() is not None
            for precision, result in self._entry.results.items():
                if precision in self._precisions and precision not in tried and "ms" in result:
                    tried.add(precision)
                    self._try(precision, result)
            if over:
                break
            self._ending.wait(_POLL_SECONDS)
        if self._child is not None and self._child.returncode and not tried:
            self.problem = f"the compiler failed ({self._last_words()})"

    def _try(self, precision: str, result: dict[str, Any]) -> None:
        samples = list(self._samples)
        if not samples or (self.offer and result["ms"] >= self._entry.results[self.offer.precision]["ms"]):
            return  # what is offered already is faster
        program = CompiledProgram(self._entry.package(precision), self._images, self._device)
        answers = [Answer(*program(sample.images)) for sample in samples]
        agreed = agreement(answers, [sample.answer for sample in samples])
        picture_seconds = self._picture_seconds(program)
        if len(self._precisions) > 1:
            if not agreed.suffices:
                self.problem = f"no compiled program agrees with the model (cosine {agreed.cosine:.4f} in {precision})"
                return
            if picture_seconds >= min(sample.picture_seconds for sample in samples):
                self.problem = "compiled code is no faster here"
                return
        self._entry.touch()
        self.offer = Offer(program, precision, agreed, picture_seconds, result["compile_seconds"])

    def _picture_seconds(self, program: CompiledProgram) -> float:
        times = []
        for _ in range(_ROUNDS):
            begin = time.perf_counter()
            program(self._images)
            times.append((time.perf_counter() - begin) / len(self._images))
        return median(times)

    def _last_words(self) -> str:
        lines = (self._folder / "log.txt").read_text(errors="replace").strip().splitlines()
        return lines[-1][:200] if lines else "it was killed"


def first_line(exc: BaseException) -> str:
    """What an error says, short enough for a line."""
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0][:200]

"""The engine: runs a program eagerly at first, then in a compiled form once that agrees on pictures of the run."""

from __future__ import annotations

import importlib.util
import logging
import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from livecam.errors import ModelError
from livecam.explain.answer import Answer, Program
from livecam.explain.device import DTYPES, likely_fast, precision_of
from livecam.explain.engines.compilation import Candidate, Compilation, Sample, first_line
from livecam.explain.engines.eager import EagerEngine
from livecam.explain.engines.graph import Graph, Weights, trace
from livecam.explain.engines.openvino import HINTS
from livecam.explain.preprocess import noise
from livecam.models.classifier import Classifier
from livecam.names import ENGINES, PRECISIONS

log = logging.getLogger("livecam")

_GAIN = 0.5
"""The fraction of the eager engine's time that compiled code is expected to save."""
_WORTH_TRYING_SECONDS = {"cpu": 1.0, "cuda": 0.0}
"""The gain, by device, that justifies tracing a program and looking it up on disk; on a GPU it is also captured."""
_WORTH_BUILDING_SECONDS = {"cpu": 4.0, "cuda": 30.0}
"""The gain, by device, that justifies building the program."""
_LONG_SECONDS = 4.0
"""The gain that justifies building if the number of pictures to follow is unknown."""


class Engine:
    """Runs a program on pictures, in the fastest form that is ready and agrees with the eager engine.

    `expect` begins a run, such as a video. Each run starts eagerly and compares the faster forms on its own pictures,
    so that its answers do not depend on the runs before it. What was compiled for these is used again.

    Args:
        classifier: The model, on the device.
        make_program: Called with a dtype; returns the program in it.
        own: The dtype of the model's weights.
        device: The device that it runs on.
        engine: "auto", "eager" or "compiled", as in `Explainer`; so is `precision`.
        obstacle: Why the program cannot be compiled; empty if it is one function of tensors.

    Raises:
        ModelError: The engine or the precision does not exist.
    """

    def __init__(
        self,
        classifier: Classifier,
        make_program: Callable[[torch.dtype], Program],
        own: torch.dtype,
        device: torch.device,
        *,
        engine: str,
        precision: str,
        obstacle: str,
    ) -> None:
        _check_choice("engine", engine, ENGINES)
        _check_choice("precision", precision, PRECISIONS)
        self._classifier = classifier
        self.make_program = make_program
        self._own = precision_of(own)
        self._device = device
        self._wanted = engine
        self._obstacle = obstacle
        if precision == "auto":
            self._worthwhile = likely_fast(device) if self._own == "fp32" else (self._own,)
        else:
            self._worthwhile = (precision,)
        self._eager_precision = self._own if precision == "auto" else precision
        self.eager = self._eager_engine(self._eager_precision)
        self._compilation: Compilation | None = None
        self._weights: Weights | None = None
        self._is_untraceable = self._has_told = False
        self._batch = 1
        self._pictures_to_come: float | None = None
        self._is_separate = self._overflows = False
        self._earlier_seconds = self._spent_seconds = 0.0
        self.not_finite = 0
        """How many pictures of the run were explained again, because a map in half precision was not finite."""
        self._start_over()

    @property
    def engine(self) -> str:
        """The form in use: "eager", "compiled", or "captured" for a CUDA graph without compiled code."""
        return "eager" if self._candidate is None else self._candidate.engine

    @property
    def precision(self) -> str:
        """The precision in use, such as "bf16"."""
        return precision_of(self.eager.program.dtype) if self._candidate is None else self._candidate.precision

    def report(self) -> dict[str, Any]:
        """Return the engine in use and the reasons for it, as plain data for JSON."""
        choice: dict[str, Any] = {"engine": self.engine, "precision": self.precision, "not_finite": self.not_finite}
        if (candidate := self._candidate) is not None:
            choice["compiled"] = {
                "cosine_to_eager": candidate.agreement.cosine,
                "picture_ms": 1000 * candidate.picture_seconds,
            }
        return choice

    def expect(self, pictures: float | None, batch: int, *, separate: bool) -> None:
        """Begin a run, unless it is the live one that goes on.

        Args:
            pictures: How many will follow; None: unknown, inf: live.
            batch: How many are explained at once.
            separate: They are no frames of one video.
        """
        if not (pictures == self._pictures_to_come == math.inf and batch == self._batch):
            self._begin_run()
        self._batch, self._pictures_to_come, self._is_separate = batch, pictures, separate
        if self._wanted == "compiled" or pictures == math.inf:
            self._consider(math.inf)  # now, while no picture waits

    def __call__(self, images: Tensor) -> Answer:
        """Return the answer, on the CPU, to pictures (B, h, w, channels) uint8 on the CPU or the device."""
        if self._wanted == "compiled":
            self._consider(math.inf)
        if self._candidate is None:
            answer = self._answer_eagerly(images)
            if self._wanted != "compiled" or self._compilation is None or not self._is_comparing:
                return self._finite(answer, images)
            self._compilation.wait()  # needed only to compare with this first answer
        candidate = self._candidate
        if candidate is None:
            self._tell_of_problem()
            return self._finite(answer, images)
        return self._finite(Answer(*candidate.program(images, *self.eager.program.inputs)), images)

    def check_weights(self) -> None:
        """Drop compiled code if weights have changed since it was traced, because it contains them."""
        if self._weights is not None and self._weights.have_changed():
            self._drop_compilation()
            self._start_over()

    def end(self) -> None:
        """Restore the model and stop compiling."""
        self._drop_compilation()
        self.eager.close()

    def settle(self) -> None:
        """Wait until the engine will not change before more pictures come."""
        if self._compilation is not None and self._is_comparing:
            self._compilation.settle()

    @property
    def _candidate(self) -> Candidate | None:
        return self._compilation.candidate if self._compilation else None

    @property
    def _precisions(self) -> tuple[str, ...]:
        """The precisions to try in this run.

        Of separate pictures no precision but the model's own: those that it was compared on say nothing of the others.
        """
        if self._overflows or (self._is_separate and self._own in self._worthwhile):
            return (self._own,)
        return self._worthwhile

    def _begin_run(self) -> None:
        """Forget all of the run before that would decide about the answers of this one."""
        self._earlier_seconds += self._spent_seconds
        self._start_over()
        self.not_finite = 0
        self._overflows = False
        self._compute_eagerly_in(self._eager_precision)

    def _start_over(self) -> None:
        """Go on eagerly, and measure and compare anew."""
        if self._compilation is not None:
            self._compilation.pause()
        self._is_comparing = self._stays_eager = self._is_warm = False
        self._spent_seconds, self._picture_seconds = 0.0, math.inf

    def _compute_eagerly_in(self, precision: str) -> None:
        """Let the eager engine compute in a precision; if it does not yet, it is closed."""
        if self.eager.program.dtype != DTYPES[precision]:
            self.eager.close()
            self.eager = self._eager_engine(precision)

    def _eager_engine(self, precision: str) -> EagerEngine:
        return EagerEngine(self.make_program(DTYPES[precision]), self._device)

    def _answer_eagerly(self, images: Tensor) -> Answer:
        """Run eagerly, then decide if compiling would pay off."""
        begin = time.perf_counter()
        answer = self.eager.within_memory(images)
        seconds = time.perf_counter() - begin
        if self._pictures_to_come is not None:
            self._pictures_to_come -= len(images)
        if self._is_warm:
            self._spent_seconds += seconds
            self._picture_seconds = min(self._picture_seconds, seconds / len(images))
            # If the number of pictures to follow is unknown, expect as many as there have been.
            to_come = self._pictures_to_come
            self._consider(self._spent_seconds if to_come is None else to_come * self._picture_seconds)
        if self._compilation is not None and self._is_comparing:
            if self._is_warm or self._wanted == "compiled":
                self._compilation.take(Sample(images, self.eager.program.inputs, answer, self._picture_seconds))
            self._tell_of_problem()
        self._is_warm = True
        return answer

    def _finite(self, answer: Answer, images: Tensor) -> Answer:
        """Return the answer if its maps are finite; else switch to the model's own precision and compute it again."""
        # A sum is finite if all values are, and takes a tenth of the time that a look at each of them takes.
        if self.precision == self._own or math.isfinite(answer.maps.sum(dtype=torch.float64).item()):
            return answer
        self.not_finite += len(images)
        log.warning("maps in %s are not finite: switching to %s", self.precision, self._own)
        self._overflows = True
        self._start_over()
        self._compute_eagerly_in(self._own)
        self.eager.open()
        return self.eager.within_memory(images)

    def _consider(self, eager_seconds_to_come: float) -> None:
        """Compile, or look up what is compiled already, if that saves this run more time than it costs.

        If it saves less than building costs, it may still be built: for runs to come, if as many as before follow.
        """
        if self._wanted == "eager" or self._is_untraceable or self._stays_eager:
            return
        kind, gain_seconds = self._device.type, _GAIN * eager_seconds_to_come
        build_seconds = _WORTH_BUILDING_SECONDS.get(kind, 0.0)
        least_seconds = _LONG_SECONDS if self._pictures_to_come is None else _WORTH_TRYING_SECONDS.get(kind, 0.0)
        may_build = max(gain_seconds, _GAIN * self._earlier_seconds) > build_seconds
        compilation = self._compilation if self._is_comparing else None
        is_begun = compilation is not None and (compilation.may_build or not may_build)
        if not is_begun and gain_seconds > min(build_seconds, least_seconds):
            self._compile(may_build=may_build)

    def _compile(self, *, may_build: bool) -> None:
        """Trace the program unless it is traced, and compile and compare it in the background."""
        if self._compilation is not None and self._compilation.batch != self._batch:
            self._drop_compilation()
        if self._compilation is None:
            self._compilation = self._traced()
        if self._compilation is None:
            return
        self._is_comparing = True
        self._compilation.start(self._precisions, may_build=may_build, is_live=self._pictures_to_come == math.inf)
        if self._wanted == "compiled":  # before anything is explained
            self._compilation.wait_for_builder()

    def _traced(self) -> Compilation | None:
        """Trace the program, to be compiled. If it cannot be traced, log the reason and return None."""
        try:
            self._check_compilable()
            images = noise(self._classifier.preprocessing, self._batch)
            with self.eager.suspended():
                graph = self._graph(images)
        except Exception as exc:  # a model that cannot be traced may raise anything
            self._is_untraceable = True
            self._tell(str(exc) if isinstance(exc, ModelError) else f"the model cannot be traced ({first_line(exc)})")
            return None
        self._weights = Weights(self._classifier.module)
        return Compilation(self, graph, images, self._device, may_be_slow=self._wanted == "compiled")

    def _check_compilable(self) -> None:
        if self._obstacle:
            raise ModelError(self._obstacle)
        if self._device.type not in _WORTH_BUILDING_SECONDS:
            raise ModelError(f"compiling is not supported on {self._device.type}, only on cpu and cuda")
        if self._device.type == "cpu" and self._precisions[0] not in HINTS:
            raise ModelError(f"OpenVINO does not compute in {self._precisions[0]}")
        if self._device.type == "cpu" and importlib.util.find_spec("openvino") is None:
            raise ModelError("OpenVINO, which is faster, is not installed; install it with: pip install openvino")

    def _graph(self, images: Tensor) -> Graph:
        """Trace the program: in fp32 for OpenVINO, else in the fastest precision, from which fp32 can be derived."""
        first, *others = ("fp32",) if self._device.type == "cpu" else self._worthwhile
        try:
            return trace(self.make_program(DTYPES[first]), self._classifier.module, images.to(self._device))
        except Exception:
            if not others:
                raise
            self._worthwhile = tuple(others)  # the model does not run in the fastest precision
            return self._graph(images)

    def _drop_compilation(self) -> None:
        """Drop what was compiled, which does not fit other batches or weights."""
        if self._compilation is not None:
            self._compilation.end()
        self._compilation = self._weights = None
        self._is_untraceable = self._has_told = False

    def _tell_of_problem(self) -> None:
        compilation = self._compilation
        if compilation and compilation.settled.is_set() and compilation.candidate is None and compilation.problem:
            self._tell(compilation.problem)

    def _tell(self, problem: str) -> None:
        """Log once in a run why it stays with the eager engine: as a detail if a run before has told it."""
        if not self._stays_eager:
            log.log(logging.DEBUG if self._has_told else logging.WARNING, "explained by the eager engine: %s", problem)
        self._stays_eager = self._has_told = True


def _check_choice(what: str, name: str, names: tuple[str, ...]) -> None:
    if name not in names:
        raise ModelError(f"{what} is one of {', '.join(names)}, not {name!r}")

"""The engine: runs a program eagerly at first, then in a compiled form once that is ready and verified."""

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
    """Runs a program on pictures, in the fastest form that is ready.

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
            self._precisions = likely_fast(device) if self._own == "fp32" else (self._own,)
        else:
            self._precisions = (precision,)
        self.eager = self._eager_engine(self._own if precision == "auto" else precision)
        self._batch = 1
        self._pictures_to_come: float | None = None
        self._spent_seconds, self._picture_seconds = 0.0, math.inf
        self._is_warm = False
        self._compilation: Compilation | None = None
        self._weights: Weights | None = None
        self._told = False
        self.not_finite = 0
        """How many pictures had to be explained again, because a map in half precision was not finite."""

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

    def expect(self, pictures: float | None, batch: int) -> None:
        """Tell how many pictures will follow (None: unknown, inf: live), and how many are explained at once."""
        if batch != self._batch:
            self._drop_compilation()
        self._batch, self._pictures_to_come = batch, pictures
        if self._wanted == "compiled" or pictures == math.inf:
            self._consider(math.inf)  # now, while no picture waits

    def __call__(self, images: Tensor) -> Answer:
        """Return the answer, on the CPU, to pictures (B, h, w, channels) uint8 on the CPU or the device."""
        if self._wanted == "compiled":
            self._consider(math.inf)
        if self._candidate is None:
            answer = self._answer_eagerly(images)
            if self._wanted != "compiled" or self._compilation is None:
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

    def end(self) -> None:
        """Restore the model and stop compiling."""
        self._drop_compilation()
        self.eager.close()

    def settle(self) -> None:
        """Wait until nothing is being compiled any more."""
        if self._compilation is not None:
            self._compilation.settled.wait()

    @property
    def _candidate(self) -> Candidate | None:
        return self._compilation.candidate if self._compilation else None

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
        if self._compilation is not None:
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
        self._precisions = (self._own,)
        self._drop_compilation()
        if self.eager.program.dtype != DTYPES[self._own]:
            self.eager.close()
            self.eager = self._eager_engine(self._own)
            self.eager.open()
        return self.eager.within_memory(images)

    def _consider(self, eager_seconds_to_come: float) -> None:
        """Start to compile if that saves more time than it costs."""
        if self._wanted == "eager" or self._told:
            return
        gain_seconds, kind = _GAIN * eager_seconds_to_come, self._device.type
        may_build = gain_seconds > _WORTH_BUILDING_SECONDS.get(kind, 0.0)
        is_begun = self._compilation is not None and (self._compilation.may_build or not may_build)
        least_seconds = _LONG_SECONDS if self._pictures_to_come is None else _WORTH_TRYING_SECONDS.get(kind, 0.0)
        if not is_begun and (may_build or gain_seconds > least_seconds):
            if self._compilation is not None:
                self._drop_compilation()
            self._compile(may_build=may_build)

    def _compile(self, *, may_build: bool) -> None:
        """Trace the program and compile it in the background. If it cannot be traced, log the reason."""
        try:
            self._check_compilable()
            images = noise(self._classifier.preprocessing, self._batch)
            with self.eager.suspended():
                graph = self._graph(images)
        except Exception as exc:  # a model that cannot be traced may raise anything
            self._tell(str(exc) if isinstance(exc, ModelError) else f"the model cannot be traced ({first_line(exc)})")
            return
        self._weights = Weights(self._classifier.module)
        is_wanted = self._wanted == "compiled"
        compilation = self._compilation = Compilation(
            self,
            graph,
            images,
            self._precisions,
            self._device,
            may_build=may_build,
            may_be_slow=is_wanted,
            is_patient=self._pictures_to_come == math.inf and not is_wanted,
        )
        compilation.start()
        if is_wanted:  # before anything is explained
            compilation.wait_for_builder()

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
        first, *others = ("fp32",) if self._device.type == "cpu" else self._precisions
        try:
            return trace(self.make_program(DTYPES[first]), self._classifier.module, images.to(self._device))
        except Exception:
            if not others:
                raise
            self._precisions = tuple(others)  # the model does not run in the fastest precision
            return self._graph(images)

    def _drop_compilation(self) -> None:
        """Drop the compiled program, which does not fit other batches or weights."""
        if self._compilation is not None:
            self._compilation.end()
        self._compilation = self._weights = None
        self._told = self._is_warm = False
        self._spent_seconds, self._picture_seconds = 0.0, math.inf

    def _tell_of_problem(self) -> None:
        compilation = self._compilation
        if compilation and compilation.settled.is_set() and compilation.candidate is None and compilation.problem:
            self._tell(compilation.problem)

    def _tell(self, problem: str) -> None:
        if not self._told:
            log.warning("explained by the eager engine: %s", problem)
        self._told = True


def _check_choice(what: str, name: str, names: tuple[str, ...]) -> None:
    if name not in names:
        raise ModelError(f"{what} is one of {', '.join(names)}, not {name!r}")

"""Which program explains: the eager one at once, a faster one as soon as it is ready and known to agree."""

from __future__ import annotations

import importlib.util
import logging
import math
import time
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from livecam.errors import ModelError
from livecam.explain.answer import Answer, Program
from livecam.explain.device import DTYPES, likely_fast, precision_of
from livecam.explain.engines.compilation import Compilation, Offer, Sample, first_line
from livecam.explain.engines.eager import EagerEngine
from livecam.explain.engines.graph import Graph, Weights, trace
from livecam.explain.engines.openvino import HINTS
from livecam.explain.preprocess import noise
from livecam.models.classifier import Classifier
from livecam.names import ENGINES, PRECISIONS

log = logging.getLogger("livecam")

_GAIN = 0.5
"""The share of the eager engine's time that compiled code is expected to save."""
_WORTH_TRYING_SECONDS = {"cpu": 1.0, "cuda": 0.0}
"""The gain that repays tracing a program and looking for it on disk; on a GPU it is captured at once."""
_WORTH_BUILDING_SECONDS = {"cpu": 4.0, "cuda": 30.0}
"""The gain that repays building it."""
_LONG_SECONDS = 4.0
"""The gain from which on something is done for a caller who does not say how many pictures are to come."""


class Engine:
    """Explains pictures with whichever program is best by now, from call to call.

    `make_program` gives the program of a dtype, with taps of its own; `own` is the model's dtype, `picture_shape`
    (h, w, channels). `engine` and `precision` are as in `Explainer`; `traceable` says if the method is a function of
    tensors. Raises ModelError for an engine or a precision that there is not.
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
        traceable: bool,
    ) -> None:
        _check_choice("engine", engine, ENGINES)
        _check_choice("precision", precision, PRECISIONS)
        self._classifier = classifier
        self.make_program = make_program
        self._own = precision_of(own)
        self._device = device
        self._wanted = engine
        self._is_traceable = traceable
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
        self._end_compilation: Callable[[], object] = lambda: None
        self._weights: Weights | None = None
        self._told = False
        self.not_finite = 0
        """How many pictures had to be explained again since a map in half precision was not finite."""

    @property
    def engine(self) -> str:
        """The one in use: "eager", "compiled", or "captured" for a CUDA graph of what is not compiled."""
        return "eager" if self._offer is None else self._offer.engine

    @property
    def precision(self) -> str:
        """Precision in use, such as "bf16"."""
        return precision_of(self.eager.program.dtype) if self._offer is None else self._offer.precision

    def report(self) -> dict[str, Any]:
        """The choice and what it rests on, for JSON."""
        choice: dict[str, Any] = {"engine": self.engine, "precision": self.precision, "not_finite": self.not_finite}
        if (offer := self._offer) is not None:
            choice["compiled"] = {
                "cosine_to_eager": offer.agreement.cosine,
                "picture_ms": 1000 * offer.picture_seconds,
            }
        return choice

    def expect(self, pictures: float | None, batch: int) -> None:
        """Tell how many pictures will follow (None: unknown, inf: live) and in what batch size."""
        if batch != self._batch:
            self._drop_compilation()
        self._batch, self._pictures_to_come = batch, pictures
        if self._wanted == "compiled" or pictures == math.inf:
            self._consider(math.inf)  # now, while no picture waits

    def __call__(self, images: Tensor) -> Answer:
        """Pictures (B, h, w, channels) uint8, on the CPU or the device -> their answer, on the CPU."""
        if self._wanted == "compiled":
            self._consider(math.inf)
        if self._offer is None:
            answer = self._answer_eagerly(images)
            if self._wanted != "compiled" or self._compilation is None:
                return self._finite(answer, images)
            self._compilation.wait()  # which was for this first answer to compare with
        offer = self._offer
        if offer is None:
            self._tell_of_problem()
            return self._finite(answer, images)
        return self._finite(Answer(*offer.program(images)), images)

    def check_weights(self) -> None:
        """Drop compiled code, which has the weights of when it was traced, if they have changed."""
        if self._weights is not None and self._weights.have_changed():
            self._drop_compilation()

    def end(self) -> None:
        """Restore the model and stop compiling."""
        self._drop_compilation()
        self.eager.close()

    def settle(self) -> None:
        """Wait until no other program is on its way."""
        if self._compilation is not None:
            self._compilation.settled.wait()

    @property
    def _offer(self) -> Offer | None:
        return self._compilation.offer if self._compilation else None

    def _eager_engine(self, precision: str) -> EagerEngine:
        return EagerEngine(self.make_program(DTYPES[precision]), self._device)

    def _answer_eagerly(self, images: Tensor) -> Answer:
        """Run eagerly, then decide if it would pay to compile."""
        begin = time.perf_counter()
        answer = self.eager.within_memory(images)
        seconds = time.perf_counter() - begin
        if self._pictures_to_come is not None:
            self._pictures_to_come -= len(images)
        if self._is_warm:
            self._spent_seconds += seconds
            self._picture_seconds = min(self._picture_seconds, seconds / len(images))
            # Of a caller who does not say how much is to come it is taken that as much is as there was.
            to_come = self._pictures_to_come
            self._consider(self._spent_seconds if to_come is None else to_come * self._picture_seconds)
        if self._compilation is not None:
            if self._is_warm or self._wanted == "compiled":
                self._compilation.take(Sample(images, answer, self._picture_seconds))
            self._tell_of_problem()
        self._is_warm = True
        return answer

    def _finite(self, answer: Answer, images: Tensor) -> Answer:
        """An answer with finite maps; where half precision overflows, the model's own is used from here on."""
        if self.precision == self._own or bool(torch.isfinite(answer.maps).all()):
            return answer
        self.not_finite += len(images)
        log.warning("maps in %s are not finite: going on in %s", self.precision, self._own)
        self._precisions = (self._own,)
        self._drop_compilation()
        if self.eager.program.dtype != DTYPES[self._own]:
            self.eager.close()
            self.eager = self._eager_engine(self._own)
            self.eager.open()
        return self.eager.within_memory(images)

    def _consider(self, eager_seconds_to_come: float) -> None:
        """Begin to compile where that repays what it costs."""
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
        """Trace the program, and go on from there beside the run; where it cannot be traced, say why."""
        try:
            self._check_compilable()
            images = noise(self._classifier.preprocessing, self._batch)
            with self.eager.suspended():
                graph = self._graph(images)
        except Exception as exc:  # whatever a model raises that cannot be traced
            self._tell(str(exc) if isinstance(exc, ModelError) else f"the model cannot be traced ({first_line(exc)})")
            return
        self._weights = Weights(self._classifier.module)
        is_wanted = self._wanted == "compiled"
        compilation = self._compilation = Compilation(
            graph,
            images,
            self._precisions,
            self._device,
            may_build=may_build,
            may_be_slow=is_wanted,
            is_patient=self._pictures_to_come == math.inf and not is_wanted,
        )
        self._end_compilation = weakref.finalize(self, compilation.end)
        compilation.start()
        if is_wanted:  # before anything is explained
            compilation.wait_for_builder()

    def _check_compilable(self) -> None:
        if not self._is_traceable:
            raise ModelError("the method is no single function of the picture")
        if self._device.type not in _WORTH_BUILDING_SECONDS:
            raise ModelError(f"nothing compiles for {self._device.type}, only for cpu and cuda")
        if self._device.type == "cpu" and self._precisions[0] not in HINTS:
            raise ModelError(f"OpenVINO does not compute in {self._precisions[0]}")
        if self._device.type == "cpu" and importlib.util.find_spec("openvino") is None:
            raise ModelError("OpenVINO is not installed, which is faster; install it with: pip install openvino")

    def _graph(self, images: Tensor) -> Graph:
        """Traced in single precision for OpenVINO; for a GPU in the shortest, from which single can be had as well."""
        first, *others = ("fp32",) if self._device.type == "cpu" else self._precisions
        try:
            return trace(self.make_program(DTYPES[first]), self._classifier.module, images.to(self._device))
        except Exception:
            if not others:
                raise
            self._precisions = tuple(others)  # the model cannot be computed in the first
            return self._graph(images)

    def _drop_compilation(self) -> None:
        """For other batches or weights everything begins anew."""
        if self._compilation is not None:
            self._end_compilation()
        self._compilation = self._weights = None
        self._told = self._is_warm = False
        self._spent_seconds, self._picture_seconds = 0.0, math.inf

    def _tell_of_problem(self) -> None:
        compilation = self._compilation
        if compilation and compilation.settled.is_set() and compilation.offer is None and compilation.problem:
            self._tell(compilation.problem)

    def _tell(self, problem: str) -> None:
        if not self._told:
            log.warning("explained by the eager engine: %s", problem)
        self._told = True


def _check_choice(what: str, name: str, names: tuple[str, ...]) -> None:
    if name not in names:
        raise ModelError(f"{what} is one of {', '.join(names)}, not {name!r}")

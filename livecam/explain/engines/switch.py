"""Which engine explains: the eager one at once, the compiled one as soon as it is ready and known to agree."""

from __future__ import annotations

import logging
import math
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from livecam.choices import ENGINES, PRECISIONS
from livecam.errors import ModelError
from livecam.explain.engines import cache
from livecam.explain.engines.background import Compilation, Offer, Sample, first_line
from livecam.explain.engines.eager import EagerEngine, fastest
from livecam.explain.engines.graph import Graph, trace
from livecam.explain.engines.runner import CompilerError
from livecam.explain.precision import DTYPES, likely_fast, precision_of
from livecam.explain.program import Answer, Program

log = logging.getLogger("livecam")

_GAIN = 0.5
"""The share of the eager engine's time that compiled code is expected to save."""
_LOOKUP_SECONDS, _COMPILE_SECONDS = 2.0, 30.0
"""What it costs to trace a program and look for it among the compiled ones, and to compile it, about."""


class Switch:
    """Explains pictures with whichever engine is best by now, from call to call.

    `make_program` gives the program of a dtype, with taps of its own; `own` is the model's dtype, `picture_shape`
    (h, w, channels). `engine` and `precision` are as in `Explainer`, `traceable` says whether the method is a function
    of tensors, `description` what is computed, if not by which weights. Raises ModelError for an engine or a precision
    that there is not.
    """

    def __init__(
        self,
        model: nn.Module,
        make_program: Callable[[torch.dtype], Program],
        own: torch.dtype,
        picture_shape: Sequence[int],
        device: torch.device,
        *,
        engine: str,
        precision: str,
        traceable: bool,
        description: str,
    ) -> None:
        _check_choice("engine", engine, ENGINES)
        _check_choice("precision", precision, PRECISIONS)
        self._model = model
        self._make_program = make_program
        self._picture_shape = tuple(picture_shape)
        self._device = device
        self._wanted = engine
        self._is_traceable = traceable
        self._description = description
        if precision == "auto":
            self._precisions = likely_fast(device) if own == torch.float32 else (precision_of(own),)
        else:
            self._precisions = (precision,)
        self.eager = EagerEngine(make_program(own if precision == "auto" else DTYPES[precision]), device)
        self._must_choose = engine == "eager" and len(self._precisions) > 1
        self._batch = 1
        self._pictures_to_come: float | None = None
        self._spent_seconds, self._picture_seconds = 0.0, math.inf
        self._is_warm = False
        self._compilation: Compilation | None = None
        self._end_compilation: Callable[[], object] = lambda: None
        self._traced_versions: list[int] = []
        self._used: Offer | None = None
        self._told = False

    @property
    def engine(self) -> str:
        """The one in use: "eager", "compiled", or "captured" for a CUDA graph of what is not compiled yet."""
        return "eager" if self._offer is None else self._offer.engine

    @property
    def precision(self) -> str:
        """What is computed in."""
        return precision_of(self.eager.program.dtype) if self._offer is None else self._offer.precision

    def report(self) -> dict[str, Any]:
        """The choice and what it rests on, for JSON."""
        choice = {"engine": self.engine, "precision": self.precision}
        offer = self._offer
        if offer is None:
            return choice
        return {
            **choice,
            "compiled": {
                "cosine_to_eager": offer.agreement.cosine,
                "picture_ms": 1000 * offer.picture_seconds,
                "compile_seconds": offer.compile_seconds,
            },
        }

    def expect(self, pictures: float | None, batch: int) -> None:
        """So many pictures are to come, infinity for a live source, None if nobody knows, in batches of so many."""
        if batch != self._batch:
            self._drop_compilation()
        self._batch, self._pictures_to_come = batch, pictures
        self._compile_now()
        if pictures == math.inf:
            self._consider(math.inf)  # now, while no picture waits

    def __call__(self, images: Tensor) -> Answer:
        """Pictures (B, h, w, channels) uint8 on the CPU -> their answer there."""
        if self._must_choose:
            self._choose_precision(images)
        if self._compilation is not None and self._traced_versions != self._versions():
            self._drop_compilation()  # compiled code has the weights of when it was traced
        self._compile_now()
        if self._offer is None:
            answer = self._answer_eagerly(images)
            if self._wanted != "compiled" or self._compilation is None:
                return answer
            self._compilation.wait()  # which was for this first answer to compare with
        offer = self._offer
        if offer is None:
            self._tell_of_problem()
            return answer
        if offer is not self._used:
            self._used = offer
            log.info("%s in %s: %.1f ms a picture", offer.engine, offer.precision, 1000 * offer.picture_seconds)
        return Answer(*offer.program(images))

    def end(self) -> None:
        """Give the model back, and up what is being compiled."""
        self._drop_compilation()
        self.eager.close()

    def settle(self) -> None:
        """Wait until no other engine is on its way."""
        if self._compilation is not None and self._compilation.is_started:
            self._compilation.settled.wait()

    @property
    def _description_for_batch(self) -> str:
        return f"{self._batch} of {self._picture_shape} on {self._device}: {self._description}"

    @property
    def _offer(self) -> Offer | None:
        return self._compilation.offer if self._compilation else None

    def _answer_eagerly(self, images: Tensor) -> Answer:
        """By the eager engine, with a thought on whether it should go on so."""
        begin = time.perf_counter()
        answer = self.eager(images)
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

    def _consider(self, eager_seconds_to_come: float) -> None:
        """Begin to compile where that repays what it costs."""
        if self._wanted == "eager" or self._told or (self._compilation and self._compilation.is_started):
            return
        gain_seconds = _GAIN * eager_seconds_to_come
        may_be_known = gain_seconds > _LOOKUP_SECONDS and cache.is_marked(self._description_for_batch)
        if self._compilation is None and (may_be_known or gain_seconds > _COMPILE_SECONDS):
            self._compilation = self._traced()
        if self._compilation and (gain_seconds > _COMPILE_SECONDS or self._compilation.is_known):
            self._compilation.start(patient=self._pictures_to_come == math.inf)

    def _compile_now(self) -> None:
        """Compile before anything is explained, as the user wants it; once."""
        if self._wanted != "compiled" or self._compilation is not None or self._told:
            return
        self._compilation = self._traced()
        if self._compilation is not None:
            if not self._compilation.is_known:
                log.info("compiling, which takes about half a minute, once")
            self._compilation.start(patient=False)
            self._compilation.wait_for_compiler()

    def _traced(self) -> Compilation | None:
        """The program's graph, ready to be compiled; None, and the reason is told, where there cannot be one."""
        try:
            if not self._is_traceable:
                raise CompilerError("the method is no single function of the picture")
            if self._device.type not in ("cpu", "cuda"):
                raise CompilerError(f"there is no compiler for {self._device.type}, only for cpu and cuda")
            images = self._noise()
            with self.eager.suspended():
                graph = self._graph(images)
            self._traced_versions = self._versions()
            cache.mark(self._description_for_batch)
            compilation = Compilation(
                graph, images, self._precisions, self._device, may_be_slow=self._wanted == "compiled"
            )
        except (CompilerError, OSError) as exc:  # a full disk, or a cache that cannot be written
            self._tell(str(exc))
            return None
        except Exception as exc:  # whatever a model raises that cannot be traced
            self._tell(f"the model cannot be traced ({first_line(exc)})")
            return None
        self._end_compilation = weakref.finalize(self, compilation.end)
        return compilation

    def _noise(self) -> Tensor:
        """Pictures of the shape to be compiled for."""
        generator = torch.Generator().manual_seed(0)
        return torch.randint(0, 256, (self._batch, *self._picture_shape), generator=generator).byte()

    def _graph(self, images: Tensor) -> Graph:
        """Traced in the shortest of the precisions, from which single precision can be had as well."""
        try:
            program = self._make_program(DTYPES[self._precisions[0]])
            return trace(program, self._model, images.to(self._device))
        except Exception:
            if len(self._precisions) == 1:
                raise
            self._precisions = self._precisions[1:]  # the model cannot be computed in it
            return self._graph(images)

    def _choose_precision(self, images: Tensor) -> None:
        """The fastest for the eager engine, of those that agree with the model's own."""
        self._must_choose = False
        with self.eager.suspended():
            engines = [EagerEngine(self._make_program(DTYPES[name]), self._device) for name in self._precisions]
            chosen = fastest(engines, self.eager, images)
        self.eager.close()
        self.eager = chosen
        self.eager.open()

    def _drop_compilation(self) -> None:
        """For other batches or weights everything begins anew."""
        if self._compilation is not None:
            self._end_compilation()
        self._compilation = None
        self._told = self._is_warm = False
        self._spent_seconds, self._picture_seconds = 0.0, math.inf

    def _versions(self) -> list[int]:
        """Of the weights; they count up with every change that is made in place."""
        return [each._version for each in (*self._model.parameters(), *self._model.buffers())]

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
